"""Writes a streamed answer (platform.claude.com/docs/en/build-with-claude/streaming).

Blocks begin when they have something to hold, so no empty text block stands before a call; they are written one after
the other, as parts come. `message_start` waits for usage told in the same breath, `message_delta` for the end, so that
usage told after the finish is still in it. A signature is written whole, when its part ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatewright.core.chat import (
    Audio,
    Citation,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Video,
)
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError
from gatewright.core.events import (
    AudioDelta,
    CitationDelta,
    Delta,
    Event,
    Finish,
    KeepAlive,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
    merge_extensions,
)
from gatewright.core.loss import Feature, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.anthropic.carried import carry_as, hidden_block, thinking_block
from gatewright.dialects.anthropic.citations import write_citation
from gatewright.dialects.anthropic.errors import render_stream_error
from gatewright.dialects.anthropic.finish import IN_DELTA, stop_members
from gatewright.dialects.anthropic.response import native_blocks, tell_custom, tell_medium, tell_refusal
from gatewright.dialects.anthropic.usage import render_usage
from gatewright.dialects.anthropic.vocabulary import NAME, clean_id, own
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.sse import render_event
from gatewright.wire.tool_arguments import CUSTOM_INPUT

_encoder = msgspec.json.Encoder()
_encode = _encoder.encode
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_END: Final = b"}}\n\n"
_CUMULATIVE: Final = frozenset(
    ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
)


def _event(name: str, members: dict[str, Any]) -> bytes:
    return render_event(_encode({"type": name, **members}), name)


class _Open:
    """A part that is being written."""

    __slots__ = ("content", "extra", "index", "is_empty", "is_plain", "prefix", "signature")

    def __init__(self, content: Part) -> None:
        self.content = content
        self.extra: Extension | None = getattr(content, "extra", None)
        self.index = -1
        """The block's; -1 until it begins."""
        self.prefix = b""
        """What stands before the string of a delta."""
        self.is_empty = True
        self.is_plain = False
        """Whether its block has begun and takes more of its string as it is."""
        self.signature: list[Opaque] = []


class StreamEncoder:
    """The codec of one streamed answer."""

    __slots__ = (
        "_blocks",
        "_context",
        "_finish",
        "_has_calls",
        "_has_refusal",
        "_open",
        "_out",
        "_start",
        "_started",
        "_told",
        "_usage",
    )

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._out: list[bytes] = []
        self._open: dict[int, _Open] = {}
        self._blocks = 0
        self._start: Start | None = None
        self._started = False
        self._usage: tuple[Usage | None, Extension | None] = (None, None)
        self._told: dict[str, Any] = {}
        """The usage that `message_start` held."""
        self._finish: Finish | None = None
        self._has_calls = False
        self._has_refusal = False

    def encode(self, events: Sequence[Event]) -> bytes:
        """The wire's bytes for `events`."""
        if len(events) == 1 and isinstance(only := events[0], Delta):  # nearly always
            opened = self._open.get(only.part)
            if opened is not None and opened.is_plain and only.text and only.choice == 0:
                return b"%b%b%b" % (opened.prefix, _encode(only.text), _END)
        for event in events:
            if isinstance(event, Delta):
                opened = self._open.get(event.part)
                if opened is not None and event.text and event.choice == 0:
                    self._text(opened, event.text)
            elif isinstance(event, KeepAlive):
                self._out.append(_PING)
            elif getattr(event, "choice", 0) == 0:
                self._rare(event)
        if self._start is not None and not self._started:
            self._begin()
        data = b"".join(self._out)
        self._out.clear()
        return data

    def end(self) -> bytes:
        """`message_delta` with the stop reason and the usage, and `message_stop`."""
        self._begin()
        for part in list(self._open):
            self._end(part)
        members = stop_members(self._finish, has_calls=self._has_calls, has_refusal=self._has_refusal)
        inside = {name: members.pop(name) for name in ("stop_reason", "stop_sequence", *IN_DELTA) if name in members}
        usage = render_usage(*self._usage)
        usage = {name: value for name, value in usage.items() if name in _CUMULATIVE or self._told.get(name) != value}
        self._out.append(_event("message_delta", {"delta": inside, "usage": usage, **members}))
        self._out.append(_STOP)
        data = b"".join(self._out)
        self._out.clear()
        return data

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The error event; without `message_stop` no client takes the answer for complete."""
        return render_stream_error(error, request_id)

    def _rare(self, event: Event) -> None:
        match event:
            case PartBegin():
                self._begin()
                self._begin_part(event.part, event.content)
            case PartEnd():
                if event.extra is not None and event.part in self._open:
                    opened = self._open[event.part]
                    opened.extra = merge_extensions(opened.extra, event.extra)
                self._end(event.part)
            case SignatureDelta() if event.part in self._open:
                self._open[event.part].signature.append(event.signature)
            case CitationDelta() if event.part in self._open:
                self._cite(self._open[event.part], event.citation)
            case AudioDelta() if event.part in self._open and event.transcript:
                self._text(self._open[event.part], event.transcript)
            case Start():
                self._start = event
            case UsageReport():
                self._usage = (event.usage, event.extra)
            case Finish():
                self._finish = event
            case LogprobsDelta():
                note = "answers have no place for them"
                self._context.report.note(Feature.LOGPROBS, Outcome.DROPPED, "choices[0].logprobs", note)
            case _:
                pass

    def _begin(self) -> None:
        if self._started:
            return
        self._started = True
        start, context = self._start, self._context
        self._told = render_usage(*self._usage)
        message: dict[str, Any] = {
            "id": (start.id if start is not None else "") or context.response_id,
            "type": "message",
            "role": "assistant",
            "model": (start.model if start is not None else "") or context.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self._told,
        }
        self._out.append(_event("message_start", {"message": message}))

    def _begin_part(self, number: int, content: Part) -> None:
        self._end(number)
        opened = _Open(content)
        report = self._context.report
        path = f"choices[0].parts[{number}]"
        match content:
            case Native():
                for block in native_blocks(content, path, report):
                    self._whole(block)
                return
            case Image() | Video() | File():
                tell_medium(path, report)
                return
            case Audio():
                tell_medium(path, report)
            case Refusal():
                self._has_refusal = True
                tell_refusal(path, report)
            case ToolCall():
                self._has_calls = True
                self._begin_call(opened, content)
                if content.is_custom:
                    tell_custom(path, report)
            case _:
                pass
        self._open[number] = opened
        first = content.arguments if isinstance(content, ToolCall) else getattr(content, "text", "")
        first = content.transcript if isinstance(content, Audio) else first
        if first:
            self._text(opened, first)
        if isinstance(content, Text):
            for citation in content.citations:
                self._cite(opened, citation)

    def _begin_call(self, opened: _Open, call: ToolCall) -> None:
        ident = clean_id(call.id)
        if call.signature is not None and call.signature.dialect != NAME:
            self._whole(hidden_block(call.signature, "call", ident))
        block = {"type": "tool_use", "id": ident, "name": call.name, "input": {}, **own(call.extra)}
        self._block(opened, block, "input_json_delta", "partial_json")
        if call.is_custom:
            self._write(opened, _encode(f'{{"{CUSTOM_INPUT}":"'))

    def _text(self, opened: _Open, text: str) -> None:
        """More of the part's string."""
        if opened.index < 0:
            self._begin_block(opened)
        content = opened.content
        if isinstance(content, ToolCall) and content.is_custom:
            # The words become part of a JSON string, and that JSON a string again.
            self._write(opened, _encode(str(_encode(text)[1:-1], "utf-8")))
            return
        opened.is_empty = False
        opened.is_plain = True
        self._out.append(opened.prefix + _encode(text) + _END)

    def _write(self, opened: _Open, text: bytes) -> None:
        opened.is_empty = False
        self._out.append(opened.prefix + text + _END)

    def _begin_block(self, opened: _Open) -> None:
        if isinstance(opened.content, Reasoning):
            block: dict[str, Any] = {"type": "thinking", "thinking": "", "signature": ""}
            self._block(opened, {**block, **own(opened.extra)}, "thinking_delta", "thinking")
        else:
            extra = own(opened.extra) if isinstance(opened.content, Text) else {}
            self._block(opened, {"type": "text", "text": "", **extra}, "text_delta", "text")

    def _block(self, opened: _Open, block: dict[str, Any], kind: str, member: str) -> None:
        opened.index = index = self._blocks
        self._blocks += 1
        self._out.append(_event("content_block_start", {"index": index, "content_block": block}))
        opened.prefix = (
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
            % (index, kind.encode(), member.encode())
        )

    def _delta(self, opened: _Open, delta: dict[str, Any]) -> None:
        self._out.append(_event("content_block_delta", {"index": opened.index, "delta": delta}))

    def _cite(self, opened: _Open, citation: Citation) -> None:
        written = write_citation(citation)
        if written is None:
            note = "citations without an address have no form here"
            self._context.report.note(Feature.CITATIONS, Outcome.DROPPED, "choices[0]", note)
            return
        if opened.index < 0:
            self._begin_block(opened)
        self._delta(opened, {"type": "citations_delta", "citation": written})

    def _end(self, number: int) -> None:
        opened = self._open.pop(number, None)
        if opened is None:
            return
        content = opened.content
        if isinstance(content, Reasoning):
            self._end_reasoning(opened, content)
            return
        if isinstance(content, ToolCall):
            if content.is_custom:
                self._write(opened, _encode('"}'))
            elif opened.is_empty:
                self._delta(opened, {"type": "input_json_delta", "partial_json": ""})
        if opened.index >= 0:
            self._out.append(_event("content_block_stop", {"index": opened.index}))
        self._end_signed(opened, content)

    def _end_signed(self, opened: _Open, content: Part) -> None:
        """Carry the signature that a text, or a call after it had begun, came with."""
        if isinstance(content, Text):
            blobs = [*([] if content.signature is None else [content.signature]), *opened.signature]
        else:
            blobs = opened.signature
        if not blobs or blobs[0].dialect == NAME:
            return
        blob = Opaque(blobs[0].dialect, "".join([blob.value for blob in blobs]))
        if isinstance(content, ToolCall):
            self._whole(hidden_block(blob, "call", clean_id(content.id)))
        elif isinstance(content, Text):
            self._whole(hidden_block(blob, "text"))

    def _end_reasoning(self, opened: _Open, content: Reasoning) -> None:
        blobs = [*([] if content.signature is None else [content.signature]), *opened.signature]
        signature = Opaque(blobs[0].dialect, "".join([blob.value for blob in blobs])) if blobs else None
        if opened.index < 0:
            block = thinking_block(msgspec.structs.replace(content, signature=signature))
            if block is None:
                return
            if block["type"] == "redacted_thinking":
                self._whole(block | own(opened.extra))
                return
            self._begin_block(opened)
        if content.encrypted is not None:
            slot = "summary" if content.is_summary else "sealed"
            written = carry_as(content.encrypted, slot, content.id)  # type: ignore[arg-type]
        else:
            written = "" if signature is None else carry_as(signature, "", content.id)
        if written:
            self._delta(opened, {"type": "signature_delta", "signature": written})
        self._out.append(_event("content_block_stop", {"index": opened.index}))

    def _whole(self, block: Any) -> None:
        """A block that is known whole. The input of a hosted tool is told by a delta, as the vendor does."""
        index = self._blocks
        self._blocks += 1
        fields = JsonObject.parse(block if isinstance(block, msgspec.Raw) else render_json(block))
        given = fields.peek("input")
        deltas: list[bytes] = []
        if given is not None:
            rest = fields.rest(NAME)
            block = {**(rest.members if rest is not None else {}), "input": {}}
            text = str(bytes(given), "utf-8", "replace")
            delta = {"index": index, "delta": {"type": "input_json_delta", "partial_json": text}}
            deltas.append(_event("content_block_delta", delta))
        self._out.append(_event("content_block_start", {"index": index, "content_block": block}))
        self._out.extend(deltas)
        self._out.append(_event("content_block_stop", {"index": index}))
