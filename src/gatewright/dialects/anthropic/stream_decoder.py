"""Reads a streamed answer (platform.claude.com/docs/en/build-with-claude/streaming).

Grammar: `message_start`, then per block `content_block_start`, deltas, `content_block_stop`, then `message_delta` with
the stop reason and cumulative usage, then `message_stop`; `ping` and `error` anywhere. The finish is held until
`message_stop`, so that an answer cut before it never looks complete. Blocks of hosted tools are held until they are
whole, as they travel as they are spelled. After `message_stop` or an error nothing more is read.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Extension, Native, Opaque, Part, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    CitationDelta,
    Delta,
    Event,
    Failure,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
    merge_extensions,
)
from gatewright.core.fields import Fields
from gatewright.dialects.anthropic.citations import read_citation
from gatewright.dialects.anthropic.errors import read_failure
from gatewright.dialects.anthropic.finish import read_finish
from gatewright.dialects.anthropic.read_blocks import read_block
from gatewright.dialects.anthropic.usage import overlay, read_extra, read_usage
from gatewright.dialects.anthropic.vocabulary import JSON_TOOL, NAME
from gatewright.wire.json_object import JsonObject, mend_surrogates, render_json
from gatewright.wire.sse import EventBuffer, event_data, split_events
from gatewright.wire.tool_arguments import arguments_object

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
_BAD: Final = Kind.UPSTREAM_BAD_RESPONSE
_DATA: Final = b"\ndata: "
_DONE: Final = b"[DONE]"
_EMPTY_INPUT: Final = frozenset(("", "{}"))
_LATER: Final = frozenset(("id", "type", "role", "model", "content", "usage", "stop_reason", "stop_sequence"))


class _Delta(Struct):
    """A `content_block_delta`'s delta: the strings of the frequent kinds; others are read again by member."""

    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None


class _Event(Struct):
    type: str = ""
    index: int = -1
    delta: _Delta | None = None


_event_decoder = msgspec.json.Decoder(_Event)
_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Block:
    """A block that is open."""

    __slots__ = ("arguments", "default", "fields", "part")

    def __init__(self, part: int) -> None:
        self.part = part
        self.fields: Fields | None = None
        """What is known of a block that is held until it is whole."""
        self.arguments: list[str] = []
        self.default: str | None = None
        """The arguments of a call for which no delta brings any."""


class StreamDecoder:
    """The codec of one streamed answer."""

    __slots__ = (
        "_blocks",
        "_buffer",
        "_extra",
        "_has_answer",
        "_has_calls",
        "_id",
        "_is_over",
        "_parts",
        "_started",
        "_stop",
        "_usage",
    )

    def __init__(self) -> None:
        self._buffer = EventBuffer(MAX_EVENT_BYTES)
        self._blocks: dict[int, _Block] = {}
        self._parts = 0
        self._started = False
        self._id = ""
        self._usage = b""
        self._extra: Extension | None = None
        self._stop: tuple[str | None, str | None] = (None, None)
        self._has_calls = False
        self._has_answer = False
        self._is_over = False

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, cut anywhere; give the events they complete."""
        out: list[Event] = []
        if self._is_over:
            return out
        try:
            block = self._buffer.feed(data)
        except ValueError as error:
            raise GatewayError(_BAD, f"The provider's stream is not usable: {error}.") from None
        if block:
            for event in split_events(block):
                self._read(event, out)
        return out

    def end(self) -> list[Event]:
        """A failure unless `message_stop` or an error has come. A last event without its blank line is discarded."""
        if self._is_over:
            return []
        self._is_over = True
        return [
            Failure(kind=Kind.UPSTREAM_CUT, message="The provider ended the stream before the answer was complete.")
        ]

    def _read(self, event: bytes, out: list[Event]) -> None:
        if self._is_over:
            return
        at = event.find(_DATA)
        # One data line, LF line ends: as the vendor writes events.
        if at >= 0 and event.count(b"\n") == 3 and b"\r" not in event and event.startswith(b"event:"):
            data = event[at + 7 : -2]
        else:
            data = event_data(event)
        if not data or data == _DONE:
            return
        try:
            read = _decode(data)
        except _FAILURES:
            raise GatewayError(
                _BAD, "The provider's stream is not usable: an event is not what its API promises."
            ) from None
        if read.type == "content_block_delta" and read.delta is not None:
            self._delta(read.index, read.delta, data, out)
        else:
            self._rare(read, data, out)

    def _delta(self, index: int, delta: _Delta, data: bytes, out: list[Event]) -> None:
        block = self._blocks.get(index)
        if block is None:
            raise GatewayError(
                _BAD, f"The provider's stream is not usable: a delta of block {index}, which is not open."
            )
        if block.fields is not None:
            self._held_delta(block, delta, data)
            return
        match delta.type:
            case "text_delta":
                text = delta.text
            case "input_json_delta":
                text = delta.partial_json
                if text:
                    block.default = None
            case "thinking_delta":
                text = delta.thinking
            case _:
                self._rare_delta(block, delta.type, data, out)
                return
        if text:
            out.append(Delta(0, block.part, text))

    def _held_delta(self, block: _Block, delta: _Delta, data: bytes) -> None:
        if delta.partial_json is not None:
            block.arguments.append(delta.partial_json)
            return
        # What other kinds bring replaces the block's members (the summary of a compaction).
        members = _members(data, "delta")
        members.pop("type", None)
        if block.fields is not None:
            block.fields.update(members)

    def _rare_delta(self, block: _Block, kind: str, data: bytes, out: list[Event]) -> None:
        if kind not in ("signature_delta", "citations_delta"):
            return
        delta = JsonObject.parse(data, kind=_BAD).object("delta")
        if delta is None:
            return
        if kind == "signature_delta":
            signature = delta.string("signature")
            if signature:
                out.append(SignatureDelta(0, block.part, Opaque(NAME, signature)))
            return
        citation = delta.object("citation")
        if citation is not None:
            out.append(CitationDelta(0, block.part, read_citation(citation)))

    def _rare(self, event: _Event, data: bytes, out: list[Event]) -> None:
        match event.type:
            case "content_block_start":
                self._begin(event.index, data, out)
            case "content_block_stop":
                self._end_block(event.index, out)
            case "ping":
                out.append(KEEP_ALIVE)
            case "message_start":
                self._start(data, out)
            case "message_delta":
                self._message_delta(data, out)
            case "message_stop":
                self._finish(out)
            case "error":
                self._fail(read_failure(data), out)
            case "" if b'"error"' in data:
                # Google's form, from Claude on Vertex AI.
                if "error" in _members(data):
                    self._fail(read_failure(data), out)
            case _:
                pass

    def _start(self, data: bytes, out: list[Event]) -> None:
        message = JsonObject.parse(data, kind=_BAD).object("message")
        if message is None:
            raise GatewayError(_BAD, "The provider's stream is not usable: `message_start` holds no message.")
        id_, model = message.string("id") or "", message.string("model") or ""
        usage = message.raw("usage")
        if self._started:
            # Some intermediaries send it twice; another answer inside this one leaves this one's parts in pieces.
            if id_ != self._id and self._parts:
                failure = "The provider began another answer before this one was complete."
                self._fail(Failure(kind=_BAD, message=failure), out)
            return
        self._started = True
        self._id = id_
        out.append(Start(id=id_, model=model))
        self._report(usage, out)
        content = message.items("content") or ()
        message.drop(*_LATER)
        self._extra = message.rest(NAME)
        for index, raw in enumerate(content):
            self._open(index, raw, out)
            self._end_block(index, out)

    def _report(self, usage: Raw | None, out: list[Event]) -> None:
        if usage is None:
            return
        self._usage = overlay(self._usage or b"{}", usage)
        read = read_usage(self._usage)
        if read is not None:
            out.append(UsageReport(usage=read, extra=read_extra(self._usage)))

    def _begin(self, index: int, data: bytes, out: list[Event]) -> None:
        if not self._started:
            self._started = True
            out.append(Start(id="", model=""))
        self._end_block(index, out)
        raw = JsonObject.parse(data, kind=_BAD).raw("content_block")
        if raw is None:
            raise GatewayError(_BAD, "The provider's stream is not usable: a block begins without being told.")
        self._open(index, raw, out)

    def _open(self, index: int, raw: Raw, out: list[Event]) -> None:
        part = read_block(raw, f"content[{index}]", _BAD)
        block = self._blocks[index] = _Block(self._parts)
        self._parts += 1
        if isinstance(part, Native):
            block.fields = _members(bytes(raw))
            return
        if isinstance(part, ToolCall):
            part = self._call(part, block)
        out.append(PartBegin(0, block.part, part))

    def _call(self, call: ToolCall, block: _Block) -> Part:
        block.default = call.arguments if call.arguments not in _EMPTY_INPUT else "{}"
        if call.name == JSON_TOOL:
            self._has_answer = True
            return Text(text="")
        self._has_calls = True
        return msgspec.structs.replace(call, arguments="")

    def _end_block(self, index: int, out: list[Event]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.fields is not None:
            self._end_held(block, block.fields, out)
            return
        if block.default is not None:
            out.append(Delta(0, block.part, block.default))
        out.append(PartEnd(0, block.part))

    def _end_held(self, block: _Block, fields: Fields, out: list[Event]) -> None:
        arguments = "".join(block.arguments)
        if arguments:
            # Cut off by the output limit it is no JSON, and kept as words.
            fields["input"] = arguments_object(ToolCall(id="", name="", arguments=arguments))
        kind = JsonObject(fields, kind=_BAD).required_string("type")
        out.append(PartBegin(0, block.part, Native(dialect=NAME, kind=kind, raw=render_json(fields))))
        out.append(PartEnd(0, block.part))

    def _message_delta(self, data: bytes, out: list[Event]) -> None:
        event = JsonObject.parse(data, kind=_BAD)
        event.drop("type")
        delta = event.object("delta")
        self._report(event.raw("usage"), out)
        if delta is not None:
            reason, sequence = self._stop
            self._stop = (delta.string("stop_reason") or reason, delta.string("stop_sequence") or sequence)
            self._extra = merge_extensions(self._extra, delta.rest(NAME))
        self._extra = merge_extensions(self._extra, event.rest(NAME))

    def _finish(self, out: list[Event]) -> None:
        for index in list(self._blocks):
            self._end_block(index, out)
        reason, sequence = self._stop
        out.append(read_finish(reason, sequence, self._extra, has_calls=self._has_calls, has_answer=self._has_answer))
        self._is_over = True

    def _fail(self, failure: Failure, out: list[Event]) -> None:
        out.append(failure)
        self._is_over = True


def _decode(data: bytes) -> _Event:
    try:
        return _event_decoder.decode(data)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _event_decoder.decode(mend_surrogates(data))


def _members(data: bytes, name: str | None = None) -> Fields:
    """The members of an event, or of an object in it."""
    event = JsonObject.parse(data, kind=_BAD)
    inner = event if name is None else event.object(name)
    rest = None if inner is None else inner.rest(NAME)
    return {} if rest is None else dict(rest.members)
