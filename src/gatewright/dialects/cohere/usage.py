"""The `usage` member of Cohere's answers in normal form (docs.cohere.com/reference/chat).

`tokens` is what the model read and wrote, prompts of the vendor's own included, and what of it was `cached_tokens`;
`billed_units` is what is paid for. The normal form holds the first; the second travels in the usage's extension.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from gatewright.core.chat import Extension
from gatewright.core.events import UsageReport
from gatewright.core.usage import Usage
from gatewright.dialects.cohere.names import NAME
from gatewright.wire.json_object import JsonObject, render_json

# The API writes counts as numbers that may have a fraction of zero.
_Count = Annotated[float, Meta(ge=0, le=1_000_000_000_000)]


class _Tokens(Struct):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    image_tokens: _Count | None = None


class _Reported(Struct):
    tokens: _Tokens | None = None
    billed_units: _Tokens | None = None
    cached_tokens: _Count | None = None


class _Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    usage: _Reported | None = None
    meta: _Reported | None = None
    """Where answers of embeddings tell it."""


class _AnyAnswer(Struct):
    pass


_NONE: Final = _Tokens()
_decoder: msgspec.json.Decoder[_Reported | None] = msgspec.json.Decoder(_Reported | None)
_answer = msgspec.json.Decoder(_Answer)
_members: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_any_answer = msgspec.json.Decoder(_AnyAnswer)


def read_answer(body: bytes) -> tuple[Raw | None, Usage | None]:
    """The usage of a complete answer, which names no model. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        _any_answer.decode(body)
        return None, None
    return None, _normalise(answer.usage or answer.meta)


def read_usage(raw: Raw) -> Usage | None:
    """The normal form; None when the member is null or makes no sense, so that no wrong number is ever recorded."""
    try:
        return _normalise(_decoder.decode(raw))
    except (msgspec.DecodeError, RecursionError):
        return None


def _normalise(reported: _Reported | None) -> Usage | None:
    if reported is None:
        return None
    tokens = reported.tokens or _NONE
    if tokens.input_tokens is None and tokens.output_tokens is None:
        # Embeddings, and hosts that copy the API, tell only what is paid for.
        tokens = reported.billed_units or _NONE
    if tokens.input_tokens is None and tokens.output_tokens is None and tokens.image_tokens is None:
        return None
    image = int(tokens.image_tokens or 0)
    input_total = int(tokens.input_tokens or 0) + image
    return Usage(
        input_total=input_total,
        input_cached_read=min(int(reported.cached_tokens or 0), input_total),
        input_image=image,
        output_total=int(tokens.output_tokens or 0),
    )


def read_report(raw: Raw) -> UsageReport | None:
    """The usage event of an answer's `usage` member; None when it tells nothing."""
    usage = read_usage(raw)
    if usage is None:
        return None
    reported = JsonObject.parse(raw)
    tokens = reported.object("tokens")
    extra = reported.rest(NAME)
    members = {} if extra is None else dict(extra.members)
    if tokens is None:
        members["tokens"] = Raw(b"null")  # the counts are those of `billed_units`
    else:
        tokens.drop("input_tokens", "output_tokens")
        rest = tokens.rest(NAME)
        if rest is not None:
            members["tokens"] = render_json(rest.members)
    if usage.input_cached_read:
        members.pop("cached_tokens", None)
    return UsageReport(usage=usage, extra=Extension(NAME, members))


def write_usage(usage: Usage, extra: Extension | None) -> dict[str, Any]:
    """The `usage` member. What is billed is not known of other vendors: their own counts stand there too."""
    counts: dict[str, Any] = {"input_tokens": usage.input_total, "output_tokens": usage.output_total}
    if extra is None or extra.dialect != NAME:
        written: dict[str, Any] = {"billed_units": dict(counts), "tokens": counts}
    else:
        written = dict(extra.members)
        rest = written.pop("tokens", None)
        if rest is None:
            written["tokens"] = counts
        elif bytes(rest) != b"null":
            written["tokens"] = counts | _members.decode(rest)
    if usage.input_cached_read:
        written["cached_tokens"] = usage.input_cached_read
    return written
