"""A streamed chat answer of an upstream, chunk by chunk.

Grammar: `data: {chunk}`*, then `data: [DONE]`. A stream is complete when `[DONE]` came, or when every choice has its
finish reason (some hosts never send the mark). Nearly all chunks only add text: those are read by one typed decoding;
all others, and the first of every choice, by the reader that knows everything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import KEEP_ALIVE, Delta, Event, Failure
from gatewright.dialects.openai.chat.read_answer import UPSTREAM, AnswerReader, ChoiceReader
from gatewright.dialects.openai.chat.stream_members import Chunk, ChunkDelta, ChunkPiece
from gatewright.wire.json_object import JsonObject
from gatewright.wire.sse import EventBuffer, event_data, split_events

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""A base64 image in one event fits."""


_decoder = msgspec.json.Decoder(Chunk)


class ChunkDecoder(ABC):
    """What the streams of all OpenAI-form APIs share; `read_chunk` is the API's own."""

    def __init__(self) -> None:
        self._buffer = EventBuffer(MAX_EVENT_BYTES)
        self._is_over = False

    def feed(self, data: bytes) -> list[Event]:
        """See `StreamDecoder.feed`."""
        if self._is_over:
            return []
        if (
            data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data[-1:] == b"\n"
            and b"\r" not in data
            and not self._buffer.held
        ):  # nearly every piece is one event of one line
            plain = self.read_plain(data[6:-2])
            if plain is None:
                plain = []
                self._read_data(data[6:-2], plain)
            return plain
        try:
            block = self._buffer.feed(data)
        except ValueError as error:
            raise GatewayError(UPSTREAM, f"The provider's stream is not usable: {error}.") from None
        out: list[Event] = []
        if block:
            for event in split_events(block):
                if not self._is_over:
                    self._read_event(event, out)
        return out

    def end(self) -> list[Event]:
        """See `StreamDecoder.end`."""
        out: list[Event] = []
        rest = self._buffer.end()
        if rest and not self._is_over:
            self._read_rest(rest, out)
        if not self._is_over:
            self._is_over = True
            if self.is_finished():
                self.finish(out)
            else:
                out.append(Failure(kind=Kind.UPSTREAM_CUT, message="The provider broke off before the answer's end"))
        return out

    # -- the API's own

    def read_plain(self, data: bytes) -> list[Event] | None:
        """Read the JSON of one event that only adds to what is open; None for all others."""
        return None

    @abstractmethod
    def read_chunk(self, data: bytes, out: list[Event]) -> None:
        """Read the JSON of one event. Raises GatewayError (upstream_bad_response)."""

    @abstractmethod
    def is_finished(self) -> bool:
        """Whether every choice has its finish reason."""

    @abstractmethod
    def finish(self, out: list[Event]) -> None:
        """The answer is complete."""

    # -- events

    def _read_rest(self, rest: bytes, out: list[Event]) -> None:
        """The last event, when the blank line behind it is missing; a piece of one is not read."""
        data = rest if rest[:1] == b"{" else event_data(rest)
        if data.strip() != b"[DONE]":
            try:
                msgspec.json.decode(data, type=msgspec.Raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return
        self._read_data(data, out)

    def _read_event(self, event: bytes, out: list[Event]) -> None:
        if event[:6] == b"data: " and event.find(b"\n") == len(event) - 2:
            data = event[6:-2]
            plain = self.read_plain(data)
            if plain is None:
                self._read_data(data, out)
            else:
                out += plain
            return
        data = event_data(event)
        if data:
            self._read_data(data, out)
            if event[:12] == b"event: error" and not self._is_over:
                self._is_over = True
                out.append(Failure(kind=Kind.UPSTREAM_FAILED, message="it gave no reason"))
        elif event[:1] == b":":
            out.append(KEEP_ALIVE)

    def _read_data(self, data: bytes, out: list[Event]) -> None:
        if data[:1] != b"{" and data.strip() == b"[DONE]":
            self._is_over = True
            self.finish(out)
            return
        before = len(out)
        self.read_chunk(data, out)
        for event in out[before:]:
            if type(event) is Failure:
                self._is_over = True
                del out[out.index(event) + 1 :]
                return


class ChatDecoder(ChunkDecoder):
    """Chat completions."""

    def __init__(self) -> None:
        super().__init__()
        self._reader = AnswerReader()

    def read_plain(self, data: bytes) -> list[Event] | None:
        """See `ChunkDecoder.read_plain`: text, thoughts or arguments that continue what one choice began."""
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        choices = chunk.choices
        if len(choices) != 1 or chunk.usage or chunk.error or chunk.x_groq:
            return None
        choice = choices[0]
        reader = self._reader.choices.get(choice.index)
        if reader is None or choice.finish_reason is not None or choice.logprobs or choice.error:
            return None
        delta = choice.delta
        if (
            delta.refusal
            or delta.function_call
            or delta.reasoning_details
            or delta.thinking_blocks
            or delta.annotations
            or delta.audio
            or delta.images
            or delta.extra_content
        ):
            return None
        text, thoughts = delta.content, delta.reasoning_content or delta.reasoning
        if delta.tool_calls:
            return None if text or thoughts else _read_arguments(reader, delta.tool_calls)
        if type(text) is str and text and not thoughts and reader.open_kind == "text" and reader.open >= 0:
            return [Delta(choice.index, reader.open, text)]
        return _read_strings(reader, delta)

    def read_chunk(self, data: bytes, out: list[Event]) -> None:
        self._reader.read(JsonObject.parse(data, "", UPSTREAM), out)

    def is_finished(self) -> bool:
        choices = self._reader.choices
        return bool(choices) and all(choice.has_finish for choice in choices.values())

    def finish(self, out: list[Event]) -> None:
        if not self._reader.choices:
            message = "The provider's stream ended without an answer"
            out.append(Failure(kind=Kind.UPSTREAM_BAD_RESPONSE, message=message))
            return
        self._reader.end(out)


def _read_strings(reader: ChoiceReader, delta: ChunkDelta) -> list[Event] | None:
    """The thoughts and the text of a delta that holds nothing else."""
    text, thoughts, others = delta.content, delta.reasoning_content, delta.reasoning
    if not (_is_string(text) and _is_string(thoughts) and _is_string(others)):
        return None
    out: list[Event] = []
    if thoughts:
        reader.add_thoughts(thoughts, "reasoning_content", out)
    elif others:
        reader.add_thoughts(others, "reasoning", out)
    if text:
        reader.add_text(text, out)
    return out


def _read_arguments(reader: ChoiceReader, pieces: list[ChunkPiece]) -> list[Event] | None:
    """More of the arguments of one call that has begun."""
    piece = pieces[0]
    text = piece.function.arguments
    if len(pieces) > 1 or piece.id or piece.type == "custom" or piece.extra_content or piece.function.name:
        return None
    return reader.continue_call(piece.index, text) if type(text) is str else None


def _is_string(value: Any) -> bool:
    return value is None or type(value) is str
