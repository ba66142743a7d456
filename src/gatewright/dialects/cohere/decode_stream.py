"""Reads a streamed answer of Cohere's API, version 2 (docs.cohere.com/docs/streaming).

Server-sent events: `message-start`; `content-start`, `-delta` and `-end` by index; `tool-plan-delta`, which has no
beginning of its own; `tool-call-start`, `-delta`, `-end`; `citation-start` and `-end`; `message-end` with the reason
and the usage, or with an error. Citations may come after their content ended, so a text stays open until something else
begins; a citation that comes later still travels with the finish.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Native, Part, Reasoning, Text, ToolCall
from gatewright.core.errors import Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    CitationDelta,
    Delta,
    Event,
    Failure,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    Start,
)
from gatewright.dialects.cohere.citations import content_index, is_of_text, read_citation
from gatewright.dialects.cohere.errors import read_fault
from gatewright.dialects.cohere.logprobs import read_logprob
from gatewright.dialects.cohere.message import read_call
from gatewright.dialects.cohere.names import NAME, OWN, PLAN, bad_answer
from gatewright.dialects.cohere.response import finished, read_failure
from gatewright.dialects.cohere.usage import read_report
from gatewright.wire.json_object import JsonObject
from gatewright.wire.sse import EventBuffer, event_data, split_events

_MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
_BAD: Final = Kind.UPSTREAM_BAD_RESPONSE
_CUT: Final = Failure(kind=Kind.UPSTREAM_CUT, message="The provider ended the stream before the answer was complete.")


class _Content(Struct, gc=False):
    text: str | None = None
    thinking: str | None = None


class _Message(Struct, gc=False):
    content: _Content


class _Delta(Struct, gc=False):
    message: _Message


class _ContentDelta(Struct, gc=False):
    """The event that nearly all are; any other is read member by member."""

    type: str
    index: int
    delta: _Delta
    logprobs: Raw | None = None


_raw = msgspec.json.Decoder(Raw)
_content_delta = msgspec.json.Decoder(_ContentDelta)


class StreamDecoder:
    """Bytes in, events out (`core.codec.StreamDecoder`)."""

    def __init__(self) -> None:
        self._buffer = EventBuffer(_MAX_EVENT_BYTES)
        self._is_over = False
        self._parts = 0
        self._open: Part | None = None
        """What the part that grows is; None when there is none."""
        self._content = -1
        """The index of the content that is open."""
        self._arguments: list[str] | None = None
        """The call's arguments so far, while they may still turn out to be none; None when they were passed on."""
        self._has_calls = False
        self._citations: list[Raw] = []
        self._logprobs: list[Raw] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, cut anywhere; give the events they complete."""
        out: list[Event] = []
        if self._is_over:
            return out
        try:
            block = self._buffer.feed(data)
        except ValueError as error:
            raise bad_answer(str(error)) from None
        if block:
            for event in split_events(block):
                if not self._is_over:
                    self._read_event(event, out)
        return out

    def end(self) -> list[Event]:
        """The body is complete: without a `message-end` it was cut."""
        out: list[Event] = []
        rest = self._buffer.end()
        if rest and not self._is_over:
            # Some servers leave out the last blank line; half an event is no JSON and counts as cut.
            try:
                _raw.decode(event_data(rest))
                self._read_event(rest, out)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        if not self._is_over:
            self._is_over = True
            out.append(_CUT)
        return out

    def _read_event(self, event: bytes, out: list[Event]) -> None:
        data = _data(event)
        if not data:
            if event.startswith(b":"):
                out.append(KEEP_ALIVE)
            return
        if b'"content-delta"' in data:
            try:
                found = _content_delta.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass  # unusual or malformed: the careful reader tells
            else:
                piece = found.delta.message.content
                if found.type == "content-delta" and found.logprobs is None and found.index == self._content:
                    text = piece.text if type(self._open) is Text else piece.thinking
                    if text:
                        out.append(Delta(0, self._parts - 1, text))
                    return
        self._read_slowly(data, out)

    def _read_slowly(self, data: bytes, out: list[Event]) -> None:
        if data.strip() == b"[DONE]":
            return
        event = JsonObject.parse(data, kind=_BAD)
        type_ = event.string("type")
        if type_ is None:
            if event.has("message"):
                self._is_over = True
                out.append(Failure(kind=Kind.UPSTREAM_FAILED, message=read_fault(data, {}).message))
            return
        read = _READERS.get(type_)
        if read is not None:
            read(self, event, out)

    def _begin(self, part: Part, out: list[Event]) -> None:
        self._close(out)
        self._open = part
        out.append(PartBegin(0, self._parts, part))
        self._parts += 1

    def _close(self, out: list[Event]) -> None:
        if self._open is None:
            return
        if self._arguments is not None:
            spelled = "".join(self._arguments)
            self._arguments = None
            out.append(Delta(0, self._parts - 1, "{}" if spelled.strip() in ("", "null") else spelled))
        out.append(PartEnd(0, self._parts - 1))
        self._open, self._content = None, -1

    def _message_start(self, event: JsonObject, out: list[Event]) -> None:
        out.append(Start(id=event.string("id") or "", model=""))

    def _content_start(self, event: JsonObject, out: list[Event]) -> None:
        index = event.integer("index") or 0
        raw = _inner(event, "content")
        content = JsonObject.parse(Raw(b"{}") if raw is None else raw, "delta.message.content", _BAD)
        type_ = content.string("type")
        text, thinking = content.string("text"), content.string("thinking")
        part: Part = Text(text="", extra=content.rest(NAME))
        if type_ == "thinking":
            part = Reasoning(text="", extra=content.rest(NAME) or OWN)
        elif type_ not in (None, "text"):
            part = Native(dialect=NAME, kind=type_, raw=Raw(b"{}") if raw is None else raw)
        self._begin(part, out)
        self._content = index
        begun = thinking if type_ == "thinking" else text
        if begun:
            out.append(Delta(0, self._parts - 1, begun))

    def _content_delta(self, event: JsonObject, out: list[Event]) -> None:
        index = event.integer("index") or 0
        raw = _inner(event, "content")
        if raw is not None:
            content = JsonObject.parse(raw, "delta.message.content", _BAD)
            thinking = content.string("thinking")
            text = content.string("text")
            self._grow(index, Reasoning if thinking else Text, thinking or text, out)
        logprobs = event.raw("logprobs")
        if logprobs is not None:
            self._logprobs.append(logprobs)
            out.append(LogprobsDelta(0, (read_logprob(logprobs, "logprobs"),)))

    def _grow(self, index: int, kind: type[Text] | type[Reasoning], text: str | None, out: list[Event]) -> None:
        if not text or isinstance(self._open, Native):
            return
        if index != self._content or not isinstance(self._open, kind):  # its beginning was not told
            self._begin(Text(text="") if kind is Text else Reasoning(text="", extra=OWN), out)
            self._content = index
        out.append(Delta(0, self._parts - 1, text))

    def _content_end(self, event: JsonObject, out: list[Event]) -> None:
        if not isinstance(self._open, Text):
            self._close(out)

    def _tool_plan(self, event: JsonObject, out: list[Event]) -> None:
        raw = _inner(event, "tool_plan")
        text = None if raw is None else JsonObject({"tool_plan": raw}, "", _BAD).string("tool_plan")
        if not text:
            return
        if self._open is not _PLAN:
            self._begin(_PLAN, out)
        out.append(Delta(0, self._parts - 1, text))

    def _tool_call_start(self, event: JsonObject, out: list[Event]) -> None:
        raw = _inner(event, "tool_calls")
        call = read_call(JsonObject.parse(Raw(b"{}") if raw is None else raw, "delta.message.tool_calls", _BAD))
        begun = "" if call.arguments == "{}" else call.arguments
        self._begin(msgspec.structs.replace(call, arguments=""), out)
        self._has_calls = True
        self._arguments = []
        self._argue(begun, out)

    def _tool_call_delta(self, event: JsonObject, out: list[Event]) -> None:
        raw = _inner(event, "tool_calls")
        call = None if raw is None else JsonObject.parse(raw, "delta.message.tool_calls", _BAD)
        function = None if call is None else call.object("function")
        if function is not None and isinstance(self._open, ToolCall):
            self._argue(function.string("arguments") or "", out)

    def _argue(self, piece: str, out: list[Event]) -> None:
        """More of a call's arguments: held while they may turn out to be none, which is spelled `""` or `null`."""
        if not piece:
            return
        if self._arguments is not None:
            self._arguments.append(piece)
            spelled = "".join(self._arguments).lstrip()
            if "null".startswith(spelled.rstrip()) and len(self._arguments) < 64:
                return
            piece, self._arguments = spelled, None
        out.append(Delta(0, self._parts - 1, piece))

    def _tool_call_end(self, event: JsonObject, out: list[Event]) -> None:
        self._close(out)

    def _citation_start(self, event: JsonObject, out: list[Event]) -> None:
        raw = _inner(event, "citations")
        if raw is None:
            return
        citation = JsonObject.parse(raw, "delta.message.citations", _BAD)
        index = content_index(citation)
        if isinstance(self._open, Text) and index in (None, self._content) and is_of_text(citation):
            out.append(CitationDelta(0, self._parts - 1, read_citation(citation)))
        else:
            self._citations.append(raw)

    def _message_end(self, event: JsonObject, out: list[Event]) -> None:
        self._close(out)
        self._is_over = True
        delta = event.object("delta") or JsonObject({}, "delta", _BAD)
        raw_usage = delta.raw("usage")
        report = None if raw_usage is None else read_report(raw_usage)
        if report is not None:
            out.append(report)
        native = delta.string("finish_reason")
        failure = read_failure(native, delta.string("error"))
        if failure is not None:
            out.append(failure)
            return
        out.append(
            finished(
                native,
                has_calls=self._has_calls,
                citations=self._citations,
                logprobs=self._logprobs,
                message=None,
                end=delta,
            )
        )


_PLAN: Final = Reasoning(text="", extra=PLAN)
_READERS: Final[dict[str, Callable[[StreamDecoder, JsonObject, list[Event]], None]]] = {
    "message-start": StreamDecoder._message_start,
    "content-start": StreamDecoder._content_start,
    "content-delta": StreamDecoder._content_delta,
    "content-end": StreamDecoder._content_end,
    "tool-plan-delta": StreamDecoder._tool_plan,
    "tool-call-start": StreamDecoder._tool_call_start,
    "tool-call-delta": StreamDecoder._tool_call_delta,
    "tool-call-end": StreamDecoder._tool_call_end,
    "citation-start": StreamDecoder._citation_start,
    "message-end": StreamDecoder._message_end,
}


def _data(event: bytes) -> bytes:
    """The data of an event; quick for the usual one, whose only `data` line is its last."""
    start = event.find(b"data:")
    if start >= 0 and b"\r" not in event and event.find(b"\n", start) == len(event) - 2:
        if start == 0 or event[start - 1 : start] == b"\n":
            return event[start + 5 : -2]
    return event_data(event)


def _inner(event: JsonObject, name: str) -> Raw | None:
    """`delta.message.<name>`."""
    delta = event.object("delta")
    message = None if delta is None else delta.object("message")
    return None if message is None else message.raw(name)
