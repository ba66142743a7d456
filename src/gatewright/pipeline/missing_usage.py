"""The gateway's own count, where the provider reports nothing or was cut off: what came is paid for all the same.

Such numbers are marked `estimated` wherever they show. Input is counted from the request as the hub reads it; output of
a stream from its events and bytes, of a whole answer from its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Final

from gatewright.core.chat import ChatRequest, Message
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.pipeline.estimates import estimate_input
from gatewright.pipeline.targets import BoundTarget
from gatewright.translate.counting import estimate_tokens

BYTES_PER_COUNTED: Final = 4
"""Of a stream, around the text, at least, for each token that `stream_tokens` counts."""
_BYTES_PER_TOKEN: Final = 4
_ALL_BYTES: Final = 2_048
"""So much of a stream is looked at whole."""
_STRIDE_BYTES: Final = 1_536
"""Then one block in so many bytes: five to fifteen events."""
_CHARGED: Final = frozenset((Kind.DISCONNECTED, Kind.UPSTREAM_CUT, Kind.QUOTA_EXCEEDED, Kind.GUARDRAIL_BLOCKED))
"""Ends of an exchange behind which the provider charges for what it made, whether or not any of it came."""

_NOT_LATER: Final = (b"false", b"null")


def look_at(x: Exchange, block: bytes) -> None:
    """Note the text in a block of a stream that was just added to `x.bytes_out`. Call when that has reached
    `x.text_due`: the block then stands for those that went by since the last one, too.

    What is around the text is not the same for two vendors, nor in two events, and mostly more than the text: only
    reading tells. Everything in the beginning, and a part of the rest, costs little and is as good.
    """
    dialect = x.dialect
    if dialect is None:
        return
    found = dialect.streamed_text.findall(block)
    share = (x.bytes_out - x.text_looked_at) / len(block)
    if found:
        x.text_bytes += sum(map(len, found)) * share
        x.text_pieces += len(found) * share
    x.text_looked_at = x.bytes_out
    x.text_due = 0 if x.bytes_out < _ALL_BYTES else x.bytes_out + _STRIDE_BYTES


def stream_tokens(x: Exchange) -> int:
    """Output tokens that a stream has brought so far: one per piece of text, more where pieces hold more."""
    looked_at = x.text_looked_at
    if not looked_at:
        return 0
    count = x.text_bytes / _BYTES_PER_TOKEN
    if count < x.text_pieces:
        count = x.text_pieces
    return ceil(count * x.bytes_out / looked_at)


def asks_later(x: Exchange, dialect: Dialect, targets: Sequence[BoundTarget]) -> bool:
    """Whether the request has itself answered later, out of sight, if one of these targets gets it."""
    member = dialect.deferring_member
    asked = x.fields.get(member) if member else None
    if asked is None or bytes(asked) in _NOT_LATER:
        return False
    routes = [target.routes.get(dialect.name) for target in targets]
    return any([route is not None and route.is_identity for route in routes])


def fill_usage(x: Exchange) -> None:
    """Give the exchange a usage if it must have used something that nobody reported. Call once, at its end."""
    dialect: Dialect | None = x.dialect
    if dialect is None or x.target is None:
        return
    if dialect.family == "passing":
        _fill_units(x, dialect)
        return
    if dialect.family not in ("chat", "embeddings"):
        return
    usage, error = x.usage, x.error
    if error is None and usage is not None:
        return
    if error is not None:
        if x.is_complete and usage is not None:
            return
        if error.kind not in _CHARGED and not x.first_byte_s:
            return  # it failed before there was anything; whatever ends a stream later, what came is paid for
    if not x.sent_s:
        return  # nothing was asked of the upstream
    input_tokens = usage.input_total if usage is not None and usage.input_total else _count_input(x, dialect)
    output_tokens = 0 if dialect.family == "embeddings" else _count_output(x, usage)
    known = usage or Usage()
    # What is answered later is charged later, and nobody will tell of it.
    is_later = asks_later(x, dialect, (x.target,))
    x.usage = replace(known, input_total=input_tokens, output_total=output_tokens, estimated=True, uncounted=is_later)


def _fill_units(x: Exchange, dialect: Dialect) -> None:
    """Of surfaces that are passed through: what the request itself tells, where the answer told nothing."""
    error = x.error
    if x.usage is not None or not x.sent_s:
        return
    if error is None or error.kind in _CHARGED or x.first_byte_s:
        x.usage = dialect.asked_units(x.fields, x.body)
        surface = x.surface or dialect.surfaces[0]
        if x.usage is None and surface.names_model:
            x.usage = Usage(estimated=True, uncounted=True)


def _count_output(x: Exchange, usage: Usage | None) -> int:
    reported = 0 if usage is None else usage.output_total
    if x.first_byte_s:
        return max(reported, stream_tokens(x))
    return max(reported, x.answer_tokens)


def _count_input(x: Exchange, dialect: Dialect) -> int:
    chat, embeddings = dialect.chat, dialect.embeddings
    try:
        if x.wish is not None:
            return estimate_tokens(x.wish.request)
        if chat is not None:
            return estimate_tokens(chat.decode_request(x.fields, x.requested_model, x.stream))
        if embeddings is not None:
            return estimate_tokens(embeddings.decode_request(x.fields, x.requested_model))
    except GatewayError:
        pass  # what the upstream took, the hub need not be able to read
    return estimate_input(x)


def count_answer(dialect: Dialect, body: bytes) -> int:
    """Output tokens of a complete answer in the dialect's form, by its text; 0 when it cannot be read."""
    if dialect.chat is None:
        return 0
    try:
        response = dialect.chat.decode_response(body)
    except GatewayError:
        return 0
    messages = tuple([Message(role="assistant", parts=choice.parts) for choice in response.choices])
    return estimate_tokens(ChatRequest(model="", messages=messages))
