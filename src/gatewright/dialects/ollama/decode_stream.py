"""Reads a streamed answer of the Ollama API: one JSON object a line (docs.ollama.com/api/streaming).

Every line holds a message with what is new of it; calls of tools come whole. The last says `done`; one with `error`
ends the stream too.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Image, Reasoning, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Delta, Event, LogprobsDelta, PartBegin, PartEnd, Start
from gatewright.dialects.ollama.clock import parse_time
from gatewright.dialects.ollama.message import read_calls, read_images
from gatewright.dialects.ollama.names import NAME, OWN, bad_answer
from gatewright.dialects.ollama.response import (
    CUT,
    call_seed,
    read_failure,
    read_logprobs,
    start_extra,
    take_finish,
)
from gatewright.dialects.ollama.usage import take_usage
from gatewright.wire.json_object import JsonObject

_MAX_LINE_BYTES: Final = 16 * 1024 * 1024
_PIECE, _THOUGHT = Text(text=""), Reasoning(text="", extra=OWN)


class _Message(Struct, gc=False):
    """What nearly every line holds; a line with more is read member by member."""

    content: str | None = None
    thinking: str | None = None
    images: Raw | None = None
    tool_calls: Raw | None = None


class _Line(Struct, gc=False):
    message: _Message
    done: bool = False
    error: Raw | None = None
    logprobs: Raw | None = None


_line = msgspec.json.Decoder(_Line)


class StreamDecoder:
    """Bytes in, events out (`core.codec.StreamDecoder`)."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_begun = False
        self._is_over = False
        self._seed = call_seed(None)
        self._calls = 0
        self._parts = 0
        self._open: type[Text] | type[Reasoning] | None = None
        """What the part that grows is; None when there is none."""

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, cut anywhere; give the events of the lines they complete."""
        events: list[Event] = []
        if self._is_over:
            return events
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return events
        block = data[:end]
        if self._held:
            block = b"".join((*self._held, block))
            self._held, self._held_bytes = [], 0
        if end < len(data):
            self._hold(data[end:])
        for line in block.split(b"\n"):
            if line and not self._is_over:
                self._read(line, events)
        return events

    def end(self) -> list[Event]:
        """The body is complete: a last line may lack its line end; without one that says `done` it was cut."""
        events: list[Event] = []
        rest = b"".join(self._held).strip()
        self._held, self._held_bytes = [], 0
        if rest and not self._is_over:
            if not _is_whole(rest):
                events.append(CUT)
                self._is_over = True
            else:
                self._read(rest, events)
        if not self._is_over:
            self._is_over = True
            events.append(CUT)
        return events

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > _MAX_LINE_BYTES:
            raise bad_answer(f"a line exceeds {_MAX_LINE_BYTES} bytes")
        self._held.append(piece)

    def _read(self, line: bytes, events: list[Event]) -> None:
        try:
            found = _line.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._read_slowly(line, events)
            return
        message = found.message
        if (
            not self._is_begun
            or found.done
            or found.error is not None
            or found.logprobs is not None
            or message.tool_calls is not None
            or message.images is not None
        ):
            self._read_slowly(line, events)
            return
        if message.thinking:
            self._grow(Reasoning, message.thinking, events)
        if message.content:
            self._grow(Text, message.content, events)

    def _grow(self, kind: type[Text] | type[Reasoning], text: str, events: list[Event]) -> None:
        if self._open is not kind:
            self._close(events)
            events.append(PartBegin(0, self._parts, _PIECE if kind is Text else _THOUGHT))
            self._parts += 1
            self._open = kind
        events.append(Delta(0, self._parts - 1, text))

    def _close(self, events: list[Event]) -> None:
        if self._open is not None:
            events.append(PartEnd(0, self._parts - 1))
            self._open = None

    def _whole(self, part: ToolCall | Image, events: list[Event]) -> None:
        self._close(events)
        events.append(PartBegin(0, self._parts, part))
        events.append(PartEnd(0, self._parts))
        self._parts += 1

    def _read_slowly(self, line: bytes, events: list[Event]) -> None:
        if not line.strip():
            return
        answer = JsonObject.parse(line, kind=Kind.UPSTREAM_BAD_RESPONSE)
        error = answer.any("error")
        if error:
            self._is_over = True
            events.append(read_failure(error))
            return
        self._begin(answer, events)
        message = answer.object("message")
        is_done = answer.boolean("done")
        if message is not None:
            message.drop("role")
            self._read_message(message, events)
        logprobs = read_logprobs(answer)
        if logprobs:
            events.append(LogprobsDelta(0, logprobs))
        if is_done:
            self._close(events)
            self._is_over = True
            report = take_usage(answer)
            rest = None if message is None else message.rest(NAME)
            events.append(take_finish(answer, rest, has_calls=self._calls > 0))
            if report is not None:
                events.append(report)

    def _begin(self, answer: JsonObject, events: list[Event]) -> None:
        raw_time = answer.peek("created_at")
        moment = answer.string("created_at")
        model = answer.string("model") or ""
        if not self._is_begun:
            self._is_begun = True
            self._seed = call_seed(moment)
            events.append(Start(id="", model=model, created=parse_time(moment), extra=start_extra(raw_time)))

    def _read_message(self, message: JsonObject, events: list[Event]) -> None:
        thinking = message.string("thinking")
        if thinking:
            self._grow(Reasoning, thinking, events)
        content = message.string("content")
        if content:
            self._grow(Text, content, events)
        for image in read_images(message):
            self._whole(image, events)
        for call in read_calls(message, self._seed, self._calls):
            self._calls += 1
            self._whole(call, events)


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end is a JSON object, so that nothing of it is missing."""
    try:
        JsonObject.parse(line)
    except GatewayError:
        return False
    return True
