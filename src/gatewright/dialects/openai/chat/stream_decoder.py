"""A streamed chat answer of an upstream, chunk by chunk.

Grammar: `data: {chunk}`*, then `data: [DONE]`. A stream is complete when `[DONE]` came, or when every choice has its
finish reason (some hosts never send the mark). Nearly all chunks only add text: those are read by one typed decoding;
all others, and the first of every choice, by the reader that knows everything.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import KEEP_ALIVE, Delta, Event, Failure
from gatewright.dialects.openai.chat.read_answer import UPSTREAM, AnswerReader
from gatewright.wire.json_object import JsonObject
from gatewright.wire.sse import EventBuffer, event_data, split_events

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""A base64 image in one event fits."""


class _Delta(Struct, gc=False):
    """A delta; members other than the first three are not read here."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: Any = None
    refusal: Any = None
    function_call: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None
    extra_content: Any = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    finish_reason: Any = None
    logprobs: Any = None
    error: Any = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice]
    usage: Any = None
    error: Any = None
    x_groq: Any = None


_decoder = msgspec.json.Decoder(_Chunk)


class ChunkDecoder:
    """What the streams of all OpenAI-form APIs share; `read_chunk` is the API's own."""

    def __init__(self) -> None:
        self._buffer = EventBuffer(MAX_EVENT_BYTES)
        self._is_over = False

    def feed(self, data: bytes) -> list[Event]:
        """See `StreamDecoder.feed`."""
        if self._is_over:
            return []
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

    def read_chunk(self, data: bytes, out: list[Event]) -> None:
        """Read the JSON of one event. Raises GatewayError (upstream_bad_response)."""
        raise NotImplementedError

    def is_finished(self) -> bool:
        """Whether every choice has its finish reason."""
        raise NotImplementedError

    def finish(self, out: list[Event]) -> None:
        """The answer is complete."""
        raise NotImplementedError

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
            self._read_data(event[6:-2], out)
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

    def read_chunk(self, data: bytes, out: list[Event]) -> None:
        if self._reader.has_started:
            try:
                chunk = _decoder.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
            else:
                if self._read_plain(chunk, out):
                    return
        self._reader.read(JsonObject.parse(data, "", UPSTREAM), out)

    def _read_plain(self, chunk: _Chunk, out: list[Event]) -> bool:
        """Read a chunk that only adds text or thoughts to one choice; false when it may hold more."""
        choices = chunk.choices
        if len(choices) != 1 or chunk.usage or chunk.error or chunk.x_groq:
            return False
        choice = choices[0]
        delta = choice.delta
        reader = self._reader.choices.get(choice.index)
        if (
            reader is None
            or delta is None
            or choice.finish_reason is not None
            or choice.logprobs
            or choice.error
            or _has_more(delta)
        ):
            return False
        text, thoughts, others = delta.content, delta.reasoning_content, delta.reasoning
        if (
            type(text) is str
            and text
            and reader.open_kind == "text"
            and reader.open >= 0
            and not thoughts
            and not others
        ):
            out.append(Delta(choice.index, reader.open, text))
            return True
        if not (_is_string(text) and _is_string(thoughts) and _is_string(others)):
            return False
        if thoughts:
            reader.add_thoughts(thoughts, "reasoning_content", out)
        elif others:
            reader.add_thoughts(others, "reasoning", out)
        if text:
            reader.add_text(text, out)
        return True

    def is_finished(self) -> bool:
        choices = self._reader.choices
        return bool(choices) and all(choice.has_finish for choice in choices.values())

    def finish(self, out: list[Event]) -> None:
        if not self._reader.choices:
            message = "The provider's stream ended without an answer"
            out.append(Failure(kind=Kind.UPSTREAM_BAD_RESPONSE, message=message))
            return
        self._reader.end(out)


def _is_string(value: Any) -> bool:
    return value is None or type(value) is str


def _has_more(delta: _Delta) -> bool:
    return bool(
        delta.tool_calls
        or delta.refusal
        or delta.function_call
        or delta.reasoning_details
        or delta.thinking_blocks
        or delta.annotations
        or delta.audio
        or delta.images
        or delta.extra_content
    )
