"""The `usage` object of the Messages API in normal form.

`input_tokens` leaves out what was read from or written to the prompt cache, so the total is the sum of the three;
`output_tokens` includes thoughts (platform.claude.com/docs/en/build-with-claude/prompt-caching). In a stream
`message_delta` holds cumulative numbers, of which absent ones keep the value of `message_start`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from gatewright.core.chat import Extension
from gatewright.core.fields import Fields
from gatewright.core.usage import Usage, service_of
from gatewright.dialects.anthropic.vocabulary import NAME, own

# A count below zero would give allowances back; one that no model could reach does not fit where counts are kept.
_Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class _Creation(Struct):
    ephemeral_1h_input_tokens: _Count | None = None


class _Details(Struct):
    thinking_tokens: _Count | None = None


class _Reported(Struct):
    input_tokens: _Count | None = None
    output_tokens: _Count | None = None
    cache_creation_input_tokens: _Count | None = None
    cache_read_input_tokens: _Count | None = None
    cache_creation: _Creation | None = None
    output_tokens_details: _Details | None = None
    server_tool_use: Any = None
    service_tier: Any = None


class _Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    model: msgspec.Raw = msgspec.Raw(b"")
    usage: _Reported | None = None


class _AnyAnswer(Struct):
    model: msgspec.Raw = msgspec.Raw(b"")


_TAKEN: Final = frozenset(_Reported.__struct_fields__) - {"server_tool_use", "service_tier"}
_MAX_SEARCHES: Final = 1_000_000
"""What no answer could have made."""
_decoder: msgspec.json.Decoder[_Reported | None] = msgspec.json.Decoder(_Reported | None)
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_encoder = msgspec.json.Encoder()
_answer_decoder = msgspec.json.Decoder(_Answer)
_any_answer_decoder = msgspec.json.Decoder(_AnyAnswer)


def read_answer(body: bytes) -> tuple[msgspec.Raw | None, Usage | None]:
    """The model and the usage of a complete answer, in one pass. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer_decoder.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        return _any_answer_decoder.decode(body).model or None, None
    return answer.model or None, None if answer.usage is None else _normalise(answer.usage)


def read_usage(raw: msgspec.Raw | bytes) -> Usage | None:
    """The normal form; None when the member is null or makes no sense, so that no wrong number is ever recorded."""
    try:
        reported = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if reported is None else _normalise(reported)


def read_extra(raw: msgspec.Raw | bytes) -> Extension | None:
    """What the object tells beyond the normal form: the service tier, hosted tools used, iterations."""
    try:
        members = _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    rest = {name: value for name, value in members.items() if name not in _TAKEN and bytes(value) != b"null"}
    return Extension(NAME, rest) if rest else None


def overlay(first: bytes, second: msgspec.Raw | bytes) -> bytes:
    """The usage object `first` with the members of `second` that are not null."""
    try:
        members = _fields.decode(second)
        before = _fields.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return first
    return _encoder.encode(before | {name: raw for name, raw in members.items() if bytes(raw) != b"null"})


def _normalise(reported: _Reported) -> Usage | None:
    if reported.input_tokens is None and reported.output_tokens is None:
        return None
    written = reported.cache_creation_input_tokens or 0
    read = reported.cache_read_input_tokens or 0
    hour = 0 if reported.cache_creation is None else reported.cache_creation.ephemeral_1h_input_tokens or 0
    details = reported.output_tokens_details
    return Usage(
        input_total=(reported.input_tokens or 0) + written + read,
        input_cached_read=read,
        input_cache_write=written,
        input_cache_write_1h=min(hour, written),
        output_total=reported.output_tokens or 0,
        output_reasoning=0 if details is None else details.thinking_tokens or 0,
        web_searches=_searches(reported.server_tool_use),
        service=service_of(reported.service_tier),
    )


def _searches(tools: Any) -> int:
    """How often the vendor's own tool searched the web: charged apart from the tokens
    (platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool). Fetching pages is free."""
    count = tools.get("web_search_requests") if isinstance(tools, dict) else None
    return count if type(count) is int and 0 <= count <= _MAX_SEARCHES else 0


def render_usage(usage: Usage | None, extra: Extension | None) -> dict[str, Any]:
    """The usage object of an answer; zeros when nothing is known, as clients need the numbers to be there."""
    usage = usage or Usage()
    read, written, hour = usage.input_cached_read, usage.input_cache_write, usage.input_cache_write_1h
    rendered: dict[str, Any] = {
        "input_tokens": max(usage.input_total - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": usage.output_total,
    }
    if written:
        rendered["cache_creation"] = {
            "ephemeral_5m_input_tokens": max(written - hour, 0),
            "ephemeral_1h_input_tokens": hour,
        }
    if usage.output_reasoning:
        rendered["output_tokens_details"] = {"thinking_tokens": usage.output_reasoning}
    return rendered | own(extra)
