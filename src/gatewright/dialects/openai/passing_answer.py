"""What answers that are passed through say of their model and their usage, whole and streamed.

Usage comes in many shapes. OpenAI's images and speech count `input_tokens` and `output_tokens`
(platform.openai.com/docs/api-reference/images/object); transcriptions count tokens, or seconds as
`{"type": "duration"}` (…/docs/api-reference/audio/json-object). Hosts that copy the API use chat's member names (vLLM,
Together), or `prompt_audio_seconds` beside them (Mistral). Reranks count searches in `meta.billed_units`
(docs.cohere.com/reference/rerank) or tokens in `usage` (api.jina.ai/redoc).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Event, Failure, UsageReport
from gatewright.core.fields import Fields
from gatewright.core.usage import Usage
from gatewright.dialects.openai.errors import read_fault
from gatewright.wire.sse import EventBuffer, event_data, split_events

Medium = Literal["text", "image", "audio"]

_MAX_COUNT: Final = 1_000_000_000_000
"""What no answer could cost; a larger number does not fit where counts are kept."""
_MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
_GOING_ON: Final = (b'.delta"', b'.partial_image"')
_DRAWN: Final = b'.completed"'
_ENDING: Final = (b'.done"', _DRAWN)
"""How the types of events end that are one of several, or the last (`transcript.text.delta`, `speech.audio.done`)."""


class _Answer(Struct):
    """The members that are read on the side; all others, images by the megabyte, are skipped, not decoded."""

    model: Raw = Raw(b"")
    usage: Raw = Raw(b"null")
    meta: Raw = Raw(b"null")
    duration: Raw = Raw(b"null")
    data: Raw = Raw(b"")


_answer_decoder = msgspec.json.Decoder(_Answer)
_list_decoder = msgspec.json.Decoder(list[Raw])
_fields_decoder: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def read_answer(body: bytes, output: Medium = "text", *, has_duration: bool = False) -> tuple[Raw | None, Usage | None]:
    """The model and the usage of a complete answer. Raises msgspec.DecodeError when it is not a JSON object.

    `output` is what output tokens are, where the answer does not break them down. `has_duration` tells that a
    `duration` at the top is the length of the audio that was heard.
    """
    answer = _answer_decoder.decode(body)
    usage = _normalise(_object(answer.usage), _object(answer.meta), output)
    if has_duration and (usage is None or usage.audio_s is None):
        heard_s = _amount(_any(answer.duration))
        if heard_s is not None:
            usage = replace(usage or Usage(), audio_s=heard_s)
    if output == "image" and answer.data:
        images = _length(answer.data)
        if images is not None:
            usage = replace(usage or Usage(), images=images)
    return answer.model or None, usage


def _length(raw: Raw) -> int | None:
    try:
        return len(_list_decoder.decode(raw))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_nothing(body: bytes) -> tuple[Raw | None, Usage | None]:
    """For answers whose numbers belong to other exchanges: a batch tells its usage each time it is asked for."""
    _answer_decoder.decode(body)
    return None, None


def _any(raw: Raw) -> Any:
    try:
        return _any_decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Raw):
        value = _any(value)
    return value if isinstance(value, dict) else {}


def _count(members: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = members.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
            return value
    return None


def _amount(*values: Any) -> float | None:
    """The first that is a number; whisper's own duration is a string on some hosts."""
    for value in values:
        if isinstance(value, str):
            value = _any(Raw(value.encode("utf-8", "replace")))
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MAX_COUNT:
            return float(value)
    return None


def _normalise(usage: Mapping[str, Any], meta: Mapping[str, Any], output: Medium) -> Usage | None:
    tokens = _object(meta.get("tokens"))
    input_total = _first(_count(usage, "input_tokens", "prompt_tokens"), _count(tokens, "input_tokens"))
    output_total = _first(_count(usage, "output_tokens", "completion_tokens"), _count(tokens, "output_tokens"))
    total = _count(usage, "total_tokens")
    heard_s = _amount(usage.get("seconds"), usage.get("prompt_audio_seconds"))
    searches = _amount(_object(meta.get("billed_units")).get("search_units"))
    if input_total is None and output_total is None and total is None and heard_s is None and searches is None:
        return None
    if input_total is None:
        input_total = max((total or 0) - (output_total or 0), 0)
    if output_total is None:
        output_total = max((total or 0) - input_total, 0)
    taken = _details(usage, "input_tokens_details", "input_token_details", "prompt_tokens_details")
    kinds = _object(taken.get("cached_tokens_details"))
    given = _details(usage, "output_tokens_details", "output_token_details", "completion_tokens_details")
    return Usage(
        input_total=input_total,
        input_cached_read=_count(taken, "cached_tokens") or 0,
        input_audio=_count(taken, "audio_tokens") or 0,
        input_image=_count(taken, "image_tokens") or 0,
        input_cached_audio=_count(kinds, "audio_tokens") or 0,
        input_cached_image=_count(kinds, "image_tokens") or 0,
        output_total=output_total,
        output_reasoning=_count(given, "reasoning_tokens") or 0,
        output_audio=_of_medium(given, "audio", output_total, output),
        output_image=_of_medium(given, "image", output_total, output),
        audio_s=heard_s,
        search_units=searches,
    )


def _first(*counts: int | None) -> int | None:
    return next((count for count in counts if count is not None), None)


def _details(usage: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((details for name in names if (details := _object(usage.get(name)))), {})


def _of_medium(details: Mapping[str, Any], medium: Medium, total: int, output: Medium) -> int:
    reported = _count(details, f"{medium}_tokens")
    if reported is not None:
        return reported
    return total if medium == output and not details else 0


class EventReader:
    """Reads what the events of a streamed answer say on the side: usage, failures, and whether the last one came."""

    __slots__ = ("_buffer", "_images", "_is_open", "_output")

    def __init__(self, output: Medium = "text") -> None:
        self._buffer = EventBuffer(_MAX_EVENT_BYTES)
        self._output: Medium = output
        self._images = 0
        """Pictures that have come."""
        self._is_open = False
        """Whether an event was seen that must be followed by a last one."""

    def feed(self, data: bytes) -> list[Event]:
        try:
            block = self._buffer.feed(data)
        except ValueError as error:
            raise GatewayError(Kind.UPSTREAM_BAD_RESPONSE, f"The provider's stream is not usable: {error}.") from None
        events: list[Event] = []
        for event in split_events(block) if block else ():
            if any([mark in event for mark in _ENDING]):
                self._is_open = False
                if self._output == "image" and _DRAWN in event:
                    self._images += 1
                    if b'"usage"' not in event:
                        events.append(UsageReport(usage=Usage(images=self._images)))
            elif any([mark in event for mark in _GOING_ON]):
                self._is_open = True
            # An image may be megabytes of base64: only events that say something else are decoded.
            if b'"usage"' in event or b'"error"' in event:
                events += self._read(event_data(event))
        return events

    def end(self) -> list[Event]:
        if not self._is_open:
            return []
        message = "The provider ended the stream before the answer was complete."
        return [Failure(kind=Kind.UPSTREAM_CUT, message=message)]

    def _read(self, data: bytes) -> list[Event]:
        try:
            fields = _fields_decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return []  # not ours to judge: the client's own parser decides
        if bytes(fields.get("type", b"")) == b'"error"' or bytes(fields.get("error", b"null")) != b"null":
            fault = read_fault(data, {})
            return [Failure(kind=Kind.UPSTREAM_CUT, message=fault.message, code=fault.code)]
        usage = _normalise(_object(fields.get("usage")), {}, self._output)
        if usage is not None and self._images:
            usage = replace(usage, images=self._images)
        return [] if usage is None else [UsageReport(usage=usage)]
