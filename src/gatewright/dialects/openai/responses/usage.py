"""The `usage` member of the Responses API in normal form.

`input_tokens` includes cached ones and `output_tokens` includes reasoning, which is the normal form's own rule
(platform.openai.com/docs/api-reference/responses/object). What the normal form lacks is kept as it was spelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Extension
from gatewright.core.usage import Usage, with_service
from gatewright.dialects.openai.responses.names import NAME, object_members, own
from gatewright.dialects.openai.usage_members import Count, Details, with_cached, write_cached


class _Reported(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    total_tokens: Count | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class _Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    model: Raw = Raw(b"")
    usage: _Reported | None = None
    service_tier: Raw = Raw(b"")
    output: Raw = Raw(b"")


class _AnyAnswer(Struct):
    model: Raw = Raw(b"")


class _Action(Struct):
    type: Any = None


class _Item(Struct):
    type: Any = None
    action: _Action | None = None


_SEARCH: Final = b'"web_search_call"'
_NONE = Details()
_items = msgspec.json.Decoder(list[_Item])
_decoder = msgspec.json.Decoder(_Reported | None)
_fields: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])
_answer_decoder = msgspec.json.Decoder(_Answer)
_any_answer_decoder = msgspec.json.Decoder(_AnyAnswer)


def read_answer(body: bytes) -> tuple[Raw | None, Usage | None]:
    """The model and the usage of a complete answer, in one pass. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer_decoder.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        return _any_answer_decoder.decode(body).model or None, None
    usage = None if answer.usage is None else _normalise(answer.usage)
    return answer.model or None, None if usage is None else complete_usage(usage, answer.service_tier, answer.output)


def read_usage(raw: Raw | None) -> Usage | None:
    """The normal form; None when the member is null or makes no sense, so that no wrong number is ever recorded."""
    if raw is None:
        return None
    try:
        reported = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return None if reported is None else _normalise(reported)


def complete_usage(usage: Usage, tier: Raw | None, output: Raw | None) -> Usage:
    """The usage with what the answer tells of it elsewhere: the service that gave it, and its searches of the web.

    Calls that open a page or look for words in one are none (platform.openai.com/docs/guides/tools-web-search).
    """
    if tier:
        usage = with_service(usage, tier)
    if not output or _SEARCH not in bytes(output):
        return usage
    try:
        items = _items.decode(output)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return usage
    calls = [item.action for item in items if item.type == "web_search_call"]
    searches = sum(1 for action in calls if action is None or action.type in (None, "search"))
    return replace(usage, web_searches=searches) if searches else usage


def usage_extension(raw: Raw, usage: Usage) -> Extension:
    """The members of a usage that `read_usage` took nothing or not all from."""
    members = _fields.decode(raw)
    total = members.pop("total_tokens", None)
    if total is not None and bytes(total) != b"%d" % (usage.input_total + usage.output_total):
        members["total_tokens"] = total
    for name in ("input_tokens", "output_tokens"):
        members.pop(name, None)
    return Extension(NAME, members)


def _normalise(reported: _Reported) -> Usage | None:
    if reported.input_tokens is None and reported.output_tokens is None:
        return None
    given = reported.input_tokens_details or _NONE
    made = reported.output_tokens_details or _NONE
    usage = Usage(
        input_total=reported.input_tokens or 0,
        input_cached_read=given.cached_tokens or 0,
        input_cache_write=given.cache_write_tokens or 0,
        input_audio=given.audio_tokens or 0,
        input_image=given.image_tokens or 0,
        output_total=reported.output_tokens or 0,
        output_reasoning=made.reasoning_tokens or 0,
        output_audio=made.audio_tokens or 0,
        output_image=made.image_tokens or 0,
    )
    return with_cached(usage, given.cached_tokens_details) if given.cached_tokens_details else usage


def write_usage(usage: Usage | None, extra: Extension | None) -> dict[str, Any] | None:
    """The normal form as this API reports it; `extra` as it was kept of a usage in this dialect."""
    if usage is None:
        return None
    kept: dict[str, Any] = dict(own(extra))
    given = {
        "cached_tokens": usage.input_cached_read,
        "cache_write_tokens": usage.input_cache_write,
        "audio_tokens": usage.input_audio,
        "image_tokens": usage.input_image,
    }
    made = {
        "reasoning_tokens": usage.output_reasoning,
        "audio_tokens": usage.output_audio,
        "image_tokens": usage.output_image,
    }
    known_given = _object(kept.pop("input_tokens_details", None))
    known_made = _object(kept.pop("output_tokens_details", None))
    always = () if known_given or known_made or kept else ("cached_tokens", "cache_write_tokens", "reasoning_tokens")
    details = {
        "input_tokens_details": _details(given, _with_kinds(known_given, usage), always),
        "output_tokens_details": _details(made, known_made, always),
    }
    return {
        "input_tokens": usage.input_total,
        "output_tokens": usage.output_total,
        "total_tokens": usage.input_total + usage.output_total,
        **{name: counts for name, counts in details.items() if counts},
        **kept,
    }


def _with_kinds(known: dict[str, Raw], usage: Usage) -> dict[str, Any]:
    """What was told of the input, or else the kinds of its cached tokens as another API told them."""
    kinds = write_cached(usage)
    return {"cached_tokens_details": kinds, **known} if kinds else {**known}


def _object(raw: Raw | None) -> dict[str, Raw]:
    return object_members(raw) if raw is not None and bytes(raw).startswith(b"{") else {}


def _details(counts: dict[str, int], known: Mapping[str, Any], always: tuple[str, ...]) -> dict[str, Any]:
    """Counts that are not zero, that were told, or that clients rely on."""
    told = {name: count for name, count in counts.items() if count or name in known or name in always}
    return {**known, **told}
