"""`usageMetadata` (ai.google.dev/api/generate-content#UsageMetadata) in normal form, and back.

The rule of today's servers: total = prompt + candidates + thoughts + tool-use prompt, so candidates leave thoughts out
and prompt leaves the tool-use prompt out; cached tokens are part of prompt, of each modality. Where the total says that
the candidates include the thoughts already, the total is believed. Members that the normal form lacks, and counts that
it would not give back as they were, are kept beside it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from gatewright.core.chat import Extension
from gatewright.core.usage import Usage, service_of
from gatewright.dialects.google.members import NAME, fields_of, own_members

# A count below zero would give allowances back; one that no model could reach does not fit where counts are kept.
_Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class _Modality(Struct):
    modality: str | int = ""
    tokenCount: _Count | None = None


class _Counts(Struct):
    promptTokenCount: _Count | None = None
    candidatesTokenCount: _Count | None = None
    totalTokenCount: _Count | None = None
    thoughtsTokenCount: _Count | None = None
    cachedContentTokenCount: _Count | None = None
    toolUsePromptTokenCount: _Count | None = None
    serviceTier: Any = None
    trafficType: Any = None


class _Details(Struct):
    promptTokensDetails: list[_Modality] | None = None
    cacheTokensDetails: list[_Modality] | None = None
    candidatesTokensDetails: list[_Modality] | None = None


class _Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    modelVersion: Raw = Raw(b"")
    usageMetadata: Raw = Raw(b"")


_IMAGE: Final[frozenset[str | int]] = frozenset(("IMAGE", 2))
_AUDIO: Final[frozenset[str | int]] = frozenset(("AUDIO", 4))
_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_counts = msgspec.json.Decoder(_Counts)
_details = msgspec.json.Decoder(_Details)
_answer = msgspec.json.Decoder(_Answer)
_count: msgspec.json.Decoder[_Count | None] = msgspec.json.Decoder(_Count | None)


def read_answer(body: bytes) -> tuple[Raw | None, Usage | None]:
    """The model and the usage of a complete answer, in one pass. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer.decode(body)
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None
    return answer.modelVersion or None, read_usage(answer.usageMetadata)[0] if answer.usageMetadata else None


def read_counts(raw: Raw) -> Usage | None:
    """The totals alone, for the chunks before the last; None when the member counts nothing yet."""
    try:
        counts = _counts.decode(raw)
    except _FAILURES:
        return None
    return _totals(counts, _Details())


def read_usage(raw: Raw | None) -> tuple[Usage | None, Extension | None]:
    """The normal form and what it lacks; None for a member that makes no sense, so that no wrong number is kept."""
    if raw is None:
        return None, None
    try:
        counts = _counts.decode(raw)
        details = _details.decode(raw)
    except msgspec.ValidationError:
        try:
            counts, details = _counts.decode(raw), _Details()
        except _FAILURES:
            return None, None
    except _FAILURES:
        return None, None
    usage = _totals(counts, details)
    if usage is None:
        return None, None
    return usage, _kept(raw, usage)


def write_usage(usage: Usage, extra: Extension | None) -> dict[str, Any]:
    """`usageMetadata` in Google's own counting."""
    kept = own_members(extra, NAME)
    tool_use = _kept_count(kept.get("toolUsePromptTokenCount"))
    written: dict[str, Any] = {
        "promptTokenCount": usage.input_total - min(tool_use, usage.input_total),
        "candidatesTokenCount": max(usage.output_total - usage.output_reasoning, 0),
        "totalTokenCount": usage.input_total + usage.output_total,
    }
    if usage.output_reasoning:
        written["thoughtsTokenCount"] = usage.output_reasoning
    if usage.input_cached_read:
        written["cachedContentTokenCount"] = usage.input_cached_read
    return {**written, **kept}


def _totals(counts: _Counts, details: _Details) -> Usage | None:
    prompt, candidates, total = counts.promptTokenCount, counts.candidatesTokenCount, counts.totalTokenCount
    if prompt is None and total is None:
        return None
    thoughts = counts.thoughtsTokenCount or 0
    tool_use = counts.toolUsePromptTokenCount or 0
    if prompt is None:
        prompt = max((total or 0) - (candidates or 0) - thoughts - tool_use, 0)
    if candidates is None:
        output = max((total or 0) - prompt - tool_use, thoughts)
    elif thoughts and total == prompt + tool_use + candidates and thoughts <= candidates:
        output = candidates
    else:
        output = candidates + thoughts
    inputs, outputs = details.promptTokensDetails, details.candidatesTokensDetails
    cached = details.cacheTokensDetails
    return Usage(
        input_total=prompt + tool_use,
        input_cached_read=counts.cachedContentTokenCount or 0,
        input_audio=_of(inputs, _AUDIO) if inputs else 0,
        input_image=_of(inputs, _IMAGE) if inputs else 0,
        input_cached_audio=_of(cached, _AUDIO) if cached else 0,
        input_cached_image=_of(cached, _IMAGE) if cached else 0,
        output_total=output,
        output_reasoning=thoughts,
        output_audio=_of(outputs, _AUDIO) if outputs else 0,
        output_image=_of(outputs, _IMAGE) if outputs else 0,
        # Gemini names the tier, Vertex AI the kind of traffic.
        service=service_of(counts.serviceTier) or service_of(counts.trafficType),
    )


def _of(details: list[_Modality], names: frozenset[str | int]) -> int:
    return sum(each.tokenCount or 0 for each in details if each.modality in names)


def _kept(raw: Raw, usage: Usage) -> Extension | None:
    members = {name: value for name, value in fields_of(raw).items() if bytes(value) != b"null"}
    if not members:
        return None
    tool_use = members.get("toolUsePromptTokenCount")
    written = write_usage(usage, None if tool_use is None else Extension(NAME, {"toolUsePromptTokenCount": tool_use}))
    for name, value in written.items():
        # What is left out counts as zero, in both directions.
        if name != "toolUsePromptTokenCount" and _kept_count(members.get(name)) == value:
            members.pop(name, None)
        elif name not in members:
            members[name] = Raw(b"0")
    return Extension(NAME, members) if members else None


def _kept_count(raw: Any) -> int:
    if raw is None:
        return 0
    try:
        return _count.decode(raw) or 0
    except _FAILURES:
        return 0
