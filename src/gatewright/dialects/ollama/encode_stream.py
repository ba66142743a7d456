"""Writes a streamed answer of the Ollama API: a line for each piece, the last with the reason and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gatewright.core.chat import Image, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError
from gatewright.core.events import (
    CitationDelta,
    Delta,
    Event,
    Finish,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
)
from gatewright.core.loss import Feature, Outcome
from gatewright.dialects.ollama.errors import render_stream_error
from gatewright.dialects.ollama.message import write_call
from gatewright.dialects.ollama.names import NAME, own, write_reason
from gatewright.dialects.ollama.response import tell_part, write_created, write_logprob
from gatewright.dialects.ollama.usage import write_usage
from gatewright.wire.json_object import JsonObject, on_one_line, render_json

_encode = msgspec.json.Encoder().encode
_TEXT_END = b'},"done":false}\n'
_THOUGHT = b'","content":"","thinking":'


class StreamEncoder:
    """Events in, lines out (`core.codec.StreamEncoder`). Calls are written when they are whole."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._head: dict[str, Any] = {}
        self._text = b""
        self._thought = b""
        self._begin(Start(id="", model=context.request.model))
        self._open: dict[int, Part] = {}
        self._pieces: dict[int, list[str]] = {}
        self._finish: Finish | None = None
        self._usage: UsageReport | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        """The lines for `events`; the last line waits for `end`, as usage may come after the finish."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                self._grow(event, out)
            elif isinstance(event, PartBegin):
                self._begin_part(event, out)
            elif isinstance(event, PartEnd):
                self._end_part(event, out)
            else:
                self._take(event, out)
        return b"".join(out)

    def end(self) -> bytes:
        """The line that says the answer is complete."""
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        finish = self._finish
        members = own(finish.extra) if finish is not None else {}
        more = members.pop("message", None)
        if more is not None:
            found = JsonObject.parse(more).rest(NAME)
            message.update({} if found is None else found.members)
        line: dict[str, Any] = {**self._head, "message": message, "done": True}
        reason = write_reason(finish)
        if reason is not None:
            line["done_reason"] = reason
        if self._usage is not None:
            line.update(write_usage(self._usage.usage, self._usage.extra))
        return _line(line | members)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The line that ends an answer that failed; clients raise it as an error."""
        return render_stream_error(error, request_id)

    def _begin(self, start: Start) -> None:
        model = start.model or self._context.request.model
        created = write_created(start.created, start.extra, self._context)
        self._head = {"model": model, "created_at": created}
        head = _encode({**self._head, "message": {"role": "assistant"}})
        # …"message":{"role":"assistant"}} → …"message":{"role":"assistant
        head = head.removesuffix(b'"}}')
        self._text = head + b'","content":'
        self._thought = head + _THOUGHT

    def _grow(self, event: Delta, out: list[bytes]) -> None:
        if event.choice or not event.text:
            return
        kind = type(self._open.get(event.part))
        if kind is Text or kind is Refusal:
            out.append(b"".join((self._text, _encode(event.text), _TEXT_END)))
        elif kind is Reasoning:
            out.append(b"".join((self._thought, _encode(event.text), _TEXT_END)))
        elif kind is ToolCall:
            self._pieces[event.part].append(event.text)

    def _begin_part(self, event: PartBegin, out: list[bytes]) -> None:
        part = event.content
        if event.choice:
            self._context.report.note(Feature.N, Outcome.DROPPED, f"choices[{event.choice}]", "the API has one answer")
            return
        self._open[event.part] = part
        tell_part(part, f"choices[0].parts[{event.part}]", self._context.report)
        match part:
            case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
                self._grow(Delta(0, event.part, text), out)
            case ToolCall():
                self._pieces[event.part] = [part.arguments]
            case Image(source=source) if source.data is not None:
                out.append(self._line({"content": "", "images": [source.data]}))
            case _:
                pass

    def _end_part(self, event: PartEnd, out: list[bytes]) -> None:
        part = None if event.choice else self._open.pop(event.part, None)
        if isinstance(part, ToolCall):
            call = msgspec.structs.replace(part, arguments="".join(self._pieces.pop(event.part)))
            out.append(self._line({"content": "", "tool_calls": [write_call(call)]}))

    def _line(self, message: dict[str, Any], **members: Any) -> bytes:
        return _line({**self._head, "message": {"role": "assistant", **message}, "done": False, **members})

    def _take(self, event: Event, out: list[bytes]) -> None:
        report = self._context.report
        match event:
            case Start():
                self._begin(event)
            case Finish(choice=0):
                self._finish = event
            case UsageReport():
                self._usage = event
            case LogprobsDelta(choice=0):
                spelled: list[Raw] = [render_json(write_logprob(token)) for token in event.tokens]
                out.append(self._line({"content": ""}, logprobs=spelled))
            case CitationDelta():
                report.note(Feature.CITATIONS, Outcome.DROPPED, "choices[0]", "the API has no citations")
            case SignatureDelta():
                report.note(Feature.REASONING_REPLAY, Outcome.DROPPED, "choices[0]", "the API has no signatures")
            case _:
                # Keep-alives have no form: an empty line is no JSON, and clients parse every line.
                pass


def _line(value: dict[str, Any]) -> bytes:
    """A value on one line: arguments of calls keep their spelling, but no line end between their members."""
    return on_one_line(_encode(value)) + b"\n"
