"""Events → a Converse answer as a stream of frames (docs.aws.amazon.com/bedrock/latest/APIReference, ConverseStream).

Blocks are numbered as they are first written, so that a part of no words leaves no hole. `messageStop` and `metadata`
are written at the end, when it is certain that the answer is complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatewright.core.chat import Image, Native, Opaque, Part, Reasoning, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError
from gatewright.core.events import (
    AudioDelta,
    CitationDelta,
    Delta,
    Event,
    Finish,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
)
from gatewright.core.loss import Feature
from gatewright.dialects.bedrock.carried import carry_as, redacted, sealed, write_signature
from gatewright.dialects.bedrock.errors import render_stream_error
from gatewright.dialects.bedrock.media import IMAGES, format_of, own
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.response import noting, write_finish
from gatewright.dialects.bedrock.usage import write_account
from gatewright.dialects.bedrock.write_blocks import words_of, write_citation
from gatewright.wire.aws_event_stream import render_headers, render_message
from gatewright.wire.json_object import JsonObject

_encoder = msgspec.json.Encoder()


def _headers(kind: str) -> bytes:
    return render_headers({":event-type": kind, ":content-type": "application/json", ":message-type": "event"})


_DELTA: Final = _headers("contentBlockDelta")
_START: Final = _headers("contentBlockStart")
_STOP: Final = _headers("contentBlockStop")
_MESSAGE_START: Final = render_message(_headers("messageStart"), b'{"role":"assistant"}')
_MESSAGE_STOP: Final = _headers("messageStop")
_METADATA: Final = _headers("metadata")


class ConverseStreamEncoder:
    """Writes one streamed answer to a client (`StreamEncoder`)."""

    __slots__ = ("_finish", "_has_begun", "_index", "_note", "_open", "_part", "_signature", "_usage", "_was_called")

    def __init__(self, context: StreamContext) -> None:
        self._note = noting(context)
        self._has_begun = False
        self._index = 0
        """Of the block that is open or the next."""
        self._open = False
        self._part: Part | None = None
        self._signature: list[Opaque] = []
        """What has come of the open part's signature."""
        self._was_called = False
        """Whether arguments of the open call were written."""
        self._finish: Finish | None = None
        self._usage: UsageReport | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        """The frames for `events`; choices beyond the first are left out."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                if event.choice == 0:
                    self._write_delta(event.text, out)
            elif isinstance(event, PartBegin):
                if event.choice == 0:
                    self._begin_part(event.content, out)
                else:
                    self._note(Feature.N, f"choices[{event.choice}]", "is left out")
            elif isinstance(event, PartEnd):
                if event.choice == 0:
                    self._end_part(out)
            else:
                self._write_rare(event, out)
        return b"".join(out)

    def end(self) -> bytes:
        """The frames that close the answer."""
        out: list[bytes] = []
        self._begin(out)
        self._end_part(out)
        out.append(render_message(_MESSAGE_STOP, _encoder.encode(write_finish(self._finish))))
        if self._usage is not None:
            account = write_account(self._usage.usage, self._usage.extra)
            out.append(render_message(_METADATA, _encoder.encode(account)))
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The exception that ends the stream."""
        return render_stream_error(error, request_id)

    def _write_rare(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Start():
                self._begin(out)
            case SignatureDelta() if event.choice == 0:
                self._signature.append(event.signature)
            case CitationDelta() if event.choice == 0:
                self._write({"citation": write_citation(event.citation)}, out)
            case AudioDelta() if event.choice == 0 and event.transcript:
                self._write({"text": event.transcript}, out)
            case Finish() if event.choice == 0:
                self._finish = event
            case UsageReport():
                self._usage = event
            case _:
                pass

    def _begin(self, out: list[bytes]) -> None:
        if not self._has_begun:
            self._has_begun = True
            out.append(_MESSAGE_START)

    def _write_delta(self, text: str, out: list[bytes]) -> None:
        if not text:
            return
        part = self._part
        if isinstance(part, ToolCall):
            self._was_called = True
            form = b'{"contentBlockIndex":%d,"delta":{"toolUse":{"input":%b}}}'
        elif isinstance(part, Reasoning):
            form = b'{"contentBlockIndex":%d,"delta":{"reasoningContent":{"text":%b}}}'
        else:
            form = b'{"contentBlockIndex":%d,"delta":{"text":%b}}'
        self._open = True
        out.append(render_message(_DELTA, form % (self._index, _encoder.encode(text))))

    def _write(self, delta: dict[str, Any], out: list[bytes]) -> None:
        self._open = True
        payload = {"contentBlockIndex": self._index, "delta": delta}
        out.append(render_message(_DELTA, _encoder.encode(payload)))

    def _start(self, start: dict[str, Any], out: list[bytes]) -> None:
        self._open = True
        payload = {"contentBlockIndex": self._index, "start": start}
        out.append(render_message(_START, _encoder.encode(payload)))

    def _begin_part(self, content: Part, out: list[bytes]) -> None:
        self._begin(out)
        self._end_part(out)
        self._part = content
        match content:
            case Text():
                self._write_delta(content.text, out)
                for citation in content.citations:
                    self._write({"citation": write_citation(citation)}, out)
            case Reasoning():
                self._write_delta(content.text, out)
            case ToolCall():
                self._was_called = False
                self._start({"toolUse": {"toolUseId": content.id, "name": content.name, **own(content.extra)}}, out)
                self._write_delta(content.arguments, out)
            case Image() if content.source.data is not None:
                self._start({"image": {"format": format_of(IMAGES, content.source) or "png"}}, out)
                self._write({"image": {"source": {"bytes": content.source.data}}}, out)
            case Native() if content.dialect == NAME:
                self._write_native(content, out)
            case _:
                self._write_delta(words_of(content, "choices[0]", self._note), out)

    def _write_native(self, content: Native, out: list[bytes]) -> None:
        """A call of the vendor's own tool, or its result: what is said at once in an answer is said in two."""
        block = JsonObject.parse(content.raw)
        for kind, rest in (("toolUse", "input"), ("toolResult", "content")):
            inner = block.object(kind)
            if inner is None:
                continue
            said = inner.raw(rest)
            members = inner.rest(NAME)
            self._start({kind: {} if members is None else members.members}, out)
            if said is not None and kind == "toolUse":
                self._write({kind: {"input": bytes(said).decode("utf-8", "replace")}}, out)
            elif said is not None:
                self._write({kind: said}, out)
            return
        self._note(Feature.NATIVE_TOOLS, "choices[0]", f"{content.kind} is left out")

    def _end_part(self, out: list[bytes]) -> None:
        part, self._part = self._part, None
        pieces, self._signature = self._signature, []
        if isinstance(part, Reasoning):
            self._end_thought(part, pieces, out)
        elif isinstance(part, ToolCall) and not self._was_called:
            self._part = part
            self._write_delta("{}", out)
            self._part = None
        self._end_block(out)
        signature = None if part is None else write_signature(part, pieces)
        if signature is not None:
            self._write({"reasoningContent": {"redactedContent": signature}}, out)
            self._end_block(out)

    def _end_thought(self, part: Reasoning, pieces: list[Opaque], out: list[bytes]) -> None:
        """A signature is written whole, since a mark stands before it; so are encrypted thoughts."""
        blobs = [*([] if part.signature is None else [part.signature]), *pieces]
        hidden = part.encrypted
        if blobs:
            blob = Opaque(blobs[0].dialect, "".join(piece.value for piece in blobs))
            self._write({"reasoningContent": {"signature": carry_as(blob, "", part.id)}}, out)
        elif hidden is not None and hidden.dialect != NAME and self._open:
            self._write({"reasoningContent": {"signature": carry_as(hidden, sealed(part), part.id)}}, out)
            return
        if hidden is not None:
            self._end_block(out)
            self._write({"reasoningContent": {"redactedContent": redacted(hidden, sealed(part), part.id)}}, out)

    def _end_block(self, out: list[bytes]) -> None:
        if self._open:
            out.append(render_message(_STOP, b'{"contentBlockIndex":%d}' % self._index))
            self._open = False
            self._index += 1
