"""A Converse answer as a stream of frames → events (docs.aws.amazon.com/bedrock/latest/APIReference, ConverseStream).

`messageStart`, then per block of content deltas and `contentBlockStop`, then `messageStop` and `metadata`. Only blocks
of tools and pictures have a `contentBlockStart`: words and thoughts begin with their first delta. Blocks are told apart
by `contentBlockIndex`. A failure is a frame of its own kind. Each payload holds padding, `p`, against eavesdroppers.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Extension, Image, Native, Opaque, Part, Reasoning, Text, ToolCall
from gatewright.core.chat import Source as MediaSource
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    CitationDelta,
    Delta,
    Event,
    Failure,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
)
from gatewright.dialects.bedrock.errors import read_exception
from gatewright.dialects.bedrock.media import IMAGES
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME, read_tool_name
from gatewright.dialects.bedrock.read_blocks import OWN, read_citation
from gatewright.dialects.bedrock.response import read_finish
from gatewright.dialects.bedrock.usage import take_account
from gatewright.wire.aws_event_stream import Message, MessageDecoder
from gatewright.wire.json_object import JsonObject, mend_surrogates, render_json

_CUT: Final = "The provider's stream ended before the answer was complete."


_ABSENT: Final = Raw(b"")


class _ToolDelta(Struct, gc=False):
    input: str = ""


class _ThoughtDelta(Struct, gc=False):
    text: str | None = None
    signature: str | None = None
    redactedContent: str | None = None


class _AnyDelta(Struct, gc=False):
    text: str | None = None
    toolUse: _ToolDelta | None = None
    reasoningContent: _ThoughtDelta | None = None
    citation: Raw = _ABSENT
    toolResult: list[Raw] | None = None
    image: Raw = _ABSENT


class _BlockDelta(Struct, gc=False):
    delta: _AnyDelta
    contentBlockIndex: int = 0


class _ToolStart(Struct):
    toolUseId: str
    name: str
    type: str | None = None


class _AnyStart(Struct):
    toolUse: _ToolStart | None = None
    toolResult: dict[str, Raw] | None = None
    image: dict[str, Raw] | None = None


class _BlockStart(Struct):
    start: _AnyStart
    contentBlockIndex: int = 0


class _BlockStop(Struct):
    contentBlockIndex: int = 0


_delta = msgspec.json.Decoder(_BlockDelta)
_start = msgspec.json.Decoder(_BlockStart)
_stop = msgspec.json.Decoder(_BlockStop)


class _Block:
    """A block of content that has begun: a part of the answer, or something collected until it is whole."""

    __slots__ = ("collected", "kind", "number", "start", "was_written")

    def __init__(self, kind: str, number: int, start: dict[str, Any] | None = None) -> None:
        self.kind = kind
        """`text`, `thought`, `call`, `json` (a call that is the answer); collected: `use`, `result`, `image`."""
        self.number = number
        """Of the part; -1 while it is collected."""
        self.start = start
        self.collected: list[Any] = []
        self.was_written = False


class ConverseStreamDecoder:
    """Reads one streamed answer (`StreamDecoder`)."""

    __slots__ = ("_blocks", "_frames", "_has_calls", "_has_failed", "_has_json", "_is_finished", "_next", "_started")

    def __init__(self) -> None:
        self._frames = MessageDecoder()
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._started = False
        self._has_calls = False
        self._has_json = False
        self._is_finished = False
        self._has_failed = False

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises GatewayError (upstream_bad_response) on frames nobody could read."""
        if self._has_failed:
            return []
        events: list[Event] = []
        try:
            for message in self._frames.feed(data):
                if self._read(message, events):
                    break
        except (ValueError, RecursionError) as error:
            # msgspec's errors are ValueErrors too.
            text = f"The provider's stream is not usable: {error}."
            raise GatewayError(Kind.UPSTREAM_BAD_RESPONSE, text) from None
        return events

    def end(self) -> list[Event]:
        """Nothing when the answer is whole; otherwise a failure."""
        if self._is_finished or self._has_failed:
            return []
        self._has_failed = True
        return [Failure(kind=Kind.UPSTREAM_CUT, message=_CUT)]

    def _read(self, message: Message, events: list[Event]) -> bool:
        """Read one frame; whether it is a failure, after which nothing counts."""
        headers = message.headers
        if headers.get(":message-type") in ("exception", "error"):
            self._has_failed = True
            events.append(read_exception(message))
            return True
        self._read_event(headers.get(":event-type"), message.payload, events)
        return False

    def _read_event(self, kind: object, payload: bytes, events: list[Event]) -> None:
        if not self._started:
            self._started = True
            events.append(Start(id="", model=""))
        if kind == "metadata":
            self._read_account(payload, events)
        elif self._is_finished:
            return
        elif kind == "contentBlockDelta":
            self._read_delta(_decoded(_delta, payload), events)
        elif kind == "contentBlockStart":
            self._begin(_decoded(_start, payload), events)
        elif kind == "contentBlockStop":
            index = _decoded(_stop, payload).contentBlockIndex
            block = self._blocks.pop(index, None)
            if block is not None:
                self._close(block, events)
        elif kind == "messageStop":
            self._finish(payload, events)

    def _finish(self, payload: bytes, events: list[Event]) -> None:
        stop = JsonObject.parse(payload, kind=Kind.UPSTREAM_BAD_RESPONSE)
        for block in self._blocks.values():
            self._close(block, events)
        self._blocks = {}
        self._is_finished = True
        events.append(
            read_finish(
                stop.string("stopReason"),
                stop.raw("additionalModelResponseFields"),
                has_calls=self._has_calls,
                has_json=self._has_json,
            )
        )

    def _read_account(self, payload: bytes, events: list[Event]) -> None:
        usage, members = take_account(JsonObject.parse(payload, kind=Kind.UPSTREAM_BAD_RESPONSE))
        if usage is not None:
            events.append(UsageReport(usage=usage, extra=Extension(NAME, members)))

    def _begin(self, message: _BlockStart, events: list[Event]) -> None:
        start, index = message.start, message.contentBlockIndex
        if start.toolUse is not None:
            use = start.toolUse
            if use.type is not None and use.type != "tool_use":
                said = {"toolUseId": use.toolUseId, "name": use.name, "type": use.type}
                self._put(index, _Block("use", -1, said), events)
            elif use.name == JSON_TOOL:
                self._has_json = True
                self._put(index, self._open("json", Text(text=""), events), events)
            else:
                self._has_calls = True
                extra = None if use.type is None else Extension(NAME, {"type": render_json(use.type)})
                call = ToolCall(id=use.toolUseId, name=read_tool_name(use.name), arguments="", extra=extra)
                self._put(index, self._open("call", call, events), events)
        elif start.toolResult is not None:
            self._put(index, _Block("result", -1, dict(start.toolResult)), events)
        elif start.image is not None:
            self._put(index, _Block("image", -1, dict(start.image)), events)

    def _put(self, index: int, block: _Block, events: list[Event]) -> None:
        before = self._blocks.pop(index, None)
        if before is not None:
            self._close(before, events)
        self._blocks[index] = block

    def _open(self, kind: str, content: Part, events: list[Event]) -> _Block:
        block = _Block(kind, self._next)
        self._next += 1
        events.append(PartBegin(0, block.number, content))
        return block

    def _read_delta(self, message: _BlockDelta, events: list[Event]) -> None:
        delta, index = message.delta, message.contentBlockIndex
        block = self._blocks.get(index)
        if delta.text is not None:
            if delta.text:
                if block is None or block.kind != "text":
                    block = self._open_in(index, "text", Text(text=""), events)
                events.append(Delta(0, block.number, delta.text))
        elif delta.toolUse is not None:
            self._read_input(block, delta.toolUse.input, events)
        elif delta.reasoningContent is not None:
            self._read_thought(index, block, delta.reasoningContent, events)
        elif _is_there(delta.citation):
            if block is None or block.kind != "text":
                block = self._open_in(index, "text", Text(text=""), events)
            citation = read_citation(JsonObject.parse(delta.citation, "delta.citation", Kind.UPSTREAM_BAD_RESPONSE))
            events.append(CitationDelta(0, block.number, citation))
        elif block is not None and block.kind == "result" and delta.toolResult is not None:
            block.collected += delta.toolResult
        elif block is not None and block.kind == "image" and _is_there(delta.image):
            block.collected.append(delta.image)

    def _open_in(self, index: int, kind: str, content: Part, events: list[Event]) -> _Block:
        before = self._blocks.pop(index, None)
        if before is not None:
            self._close(before, events)
        block = self._blocks[index] = self._open(kind, content, events)
        return block

    def _read_input(self, block: _Block | None, piece: str, events: list[Event]) -> None:
        if not piece:
            return
        if block is not None and block.kind in ("call", "json"):
            block.was_written = True
            events.append(Delta(0, block.number, piece))
        elif block is not None and block.kind == "use":
            block.collected.append(piece)
        else:
            raise ValueError("input of a tool that was not named")

    def _read_thought(self, index: int, block: _Block | None, thought: _ThoughtDelta, events: list[Event]) -> None:
        if thought.redactedContent is not None:
            hidden = Reasoning(encrypted=Opaque(NAME, thought.redactedContent), extra=OWN)
            self._open_in(index, "hidden", hidden, events)
            return
        if not thought.text and thought.signature is None:
            return
        if block is None or block.kind != "thought":
            block = self._open_in(index, "thought", Reasoning(extra=OWN), events)
        if thought.text:
            events.append(Delta(0, block.number, thought.text))
        if thought.signature is not None:
            events.append(SignatureDelta(0, block.number, Opaque(NAME, thought.signature)))

    def _close(self, block: _Block, events: list[Event]) -> None:
        if block.start is None:
            if block.kind in ("call", "json") and not block.was_written:
                events.append(Delta(0, block.number, "{}"))
            events.append(PartEnd(0, block.number))
            return
        opened = self._open(block.kind, _collected(block.kind, block.start, block.collected), events)
        events.append(PartEnd(0, opened.number))


def _is_there(raw: Raw) -> bool:
    return bytes(raw) not in (b"", b"null")


def _collected(kind: str, start: dict[str, Any], pieces: list[Any]) -> Part:
    """The part that a start and its deltas make."""
    if kind == "use":
        text = "".join(pieces) or "{}"
        msgspec.json.decode(text)
        whole = render_json({"toolUse": {**start, "input": Raw(text.encode())}})
        return Native(dialect=NAME, kind="toolUse", raw=whole)
    if kind == "result":
        return Native(dialect=NAME, kind="toolResult", raw=render_json({"toolResult": {**start, "content": pieces}}))
    word = msgspec.json.decode(start.get("format", b'""'))
    data: str | None = None
    for piece in pieces:
        source = JsonObject.parse(piece, "delta.image", Kind.UPSTREAM_BAD_RESPONSE).object("source")
        if source is not None:
            data = (data or "") + (source.string("bytes") or "")
    if data is None:
        whole = render_json({"image": {**start, "source": {}}})
        return Native(dialect=NAME, kind="image", raw=whole)
    return Image(source=MediaSource(media_type=IMAGES.get(str(word)), data=data))


def _decoded(decoder: Any, payload: bytes) -> Any:
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        return decoder.decode(mend_surrogates(payload))
