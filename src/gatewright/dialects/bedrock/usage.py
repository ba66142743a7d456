"""Converse's `usage` in normal form, and back.

`inputTokens` leaves out what was read from and written to the cache; `totalTokens` is the sum of all four
(docs.aws.amazon.com/bedrock/latest/APIReference, TokenUsage; so in every recorded answer with a cache). Answers also
hold members that the reference does not know (`cacheReadInputTokenCount`, `serverToolUsage`): they are kept.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from gatewright.core.chat import Extension
from gatewright.core.fields import Fields
from gatewright.core.usage import Usage, with_service
from gatewright.dialects.bedrock.media import own
from gatewright.wire.json_object import JsonObject, render_json

# A count below zero would give allowances back; one that no model could reach does not fit where counts are kept.
_Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class _CacheDetail(Struct):
    ttl: str | None = None
    inputTokens: _Count | None = None


class _Reported(Struct):
    inputTokens: _Count | None = None
    outputTokens: _Count | None = None
    cacheReadInputTokens: _Count | None = None
    cacheWriteInputTokens: _Count | None = None
    cacheDetails: list[_CacheDetail] | None = None


class _Answer(Struct):
    usage: _Reported | None = None
    serviceTier: Raw = Raw(b"")


class _AnyAnswer(Struct):
    pass


_decoder = msgspec.json.Decoder(_Reported)
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_answer_decoder = msgspec.json.Decoder(_Answer)
_any_answer_decoder = msgspec.json.Decoder(_AnyAnswer)
_OWN_NUMBERS: Final = ("inputTokens", "outputTokens")


def read_answer(body: bytes) -> tuple[Raw | None, Usage | None]:
    """The usage of a complete answer; it names no model. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer_decoder.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        _any_answer_decoder.decode(body)
        return None, None
    usage = None if answer.usage is None else _normalise(answer.usage)
    return None, None if usage is None else with_service(usage, answer.serviceTier)


def read_usage(raw: Raw | None) -> tuple[Usage | None, dict[str, Raw]]:
    """The normal form, None when it makes no sense; and what it lacks, so that `write_usage` can say the same again."""
    if raw is None:
        return None, {}
    try:
        reported, members = _decoder.decode(raw), _fields.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None, {}
    usage = _normalise(reported)
    for name in _OWN_NUMBERS:
        members.pop(name, None)
    if usage is not None and bytes(members.get("totalTokens", b"")) == b"%d" % (usage.input_total + usage.output_total):
        del members["totalTokens"]
    return usage, members


def _normalise(reported: _Reported) -> Usage | None:
    if reported.inputTokens is None and reported.outputTokens is None:
        return None
    read = reported.cacheReadInputTokens or 0
    written = reported.cacheWriteInputTokens or 0
    return Usage(
        input_total=(reported.inputTokens or 0) + read + written,
        input_cached_read=read,
        input_cache_write=written,
        input_cache_write_1h=sum(
            detail.inputTokens or 0 for detail in reported.cacheDetails or () if detail.ttl == "1h"
        ),
        output_total=reported.outputTokens or 0,
    )


def write_usage(usage: Usage, kept: dict[str, Raw]) -> dict[str, Any]:
    """The `usage` member; `kept` is what `read_usage` gave beside an own answer's numbers."""
    read, written = usage.input_cached_read, usage.input_cache_write
    out: dict[str, Any] = {
        "inputTokens": max(usage.input_total - read - written, 0),
        "outputTokens": usage.output_total,
        "totalTokens": usage.input_total + usage.output_total,
    }
    if read:
        out["cacheReadInputTokens"] = read
    if written:
        out["cacheWriteInputTokens"] = written
    hour = min(usage.input_cache_write_1h, written)
    if hour:
        short = [{"ttl": "5m", "inputTokens": written - hour}] if written > hour else []
        out["cacheDetails"] = [{"ttl": "1h", "inputTokens": hour}, *short]
    return {**out, **kept}


_ACCOUNT: Final = ("metrics", "trace", "performanceConfig", "serviceTier")
"""What stands beside `usage` in a complete answer, and in the `metadata` event of a stream."""


def take_account(answer: JsonObject) -> tuple[Usage | None, dict[str, Raw]]:
    """Take `usage` and what goes with it, in the form of an extension's members."""
    usage, kept = read_usage(answer.raw("usage"))
    members = {name: raw for name in _ACCOUNT if (raw := answer.raw(name)) is not None}
    if kept:
        members["usage"] = render_json(kept)
    return None if usage is None else with_service(usage, members.get("serviceTier")), members


def write_account(usage: Usage | None, extra: Extension | None) -> dict[str, Any]:
    """`usage`, `metrics` and what else stands with them: the reverse of `take_account`."""
    kept = own(extra)
    out: dict[str, Any] = {name: kept[name] for name in _ACCOUNT if name in kept}
    if usage is not None:
        out["usage"] = write_usage(usage, _fields.decode(kept["usage"]) if "usage" in kept else {})
        if not kept and extra is None:
            # A required member; what another vendor's answer took is not known here.
            out["metrics"] = {"latencyMs": 0}
    return out
