"""Writes a streamed answer of Cohere's API, version 2: named events, closed by `message-end` and `[DONE]`.

The reason and the usage stand in the last event, so both wait for the end. Citations of other vendors tell no words of
the answer, so they wait for the end of their text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gatewright.core.chat import Citation, Part, Reasoning, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError
from gatewright.core.events import (
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
)
from gatewright.core.loss import Feature, Outcome
from gatewright.dialects.cohere.citations import write_citation
from gatewright.dialects.cohere.errors import render_stream_error
from gatewright.dialects.cohere.logprobs import write_logprob
from gatewright.dialects.cohere.message import is_plan, write_call
from gatewright.dialects.cohere.names import is_own, members_of, own, write_reason
from gatewright.dialects.cohere.response import shown
from gatewright.dialects.cohere.usage import write_usage
from gatewright.wire.sse import render_event

_encode = msgspec.json.Encoder().encode
_ROLE: Final = {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}
_BLOCK: Final = 256
"""Pieces that are joined at once."""
_PLAN: Final = b'event: tool-plan-delta\ndata: {"type":"tool-plan-delta","delta":{"message":{"tool_plan":'


class _Open:
    """A part that was begun."""

    __slots__ = ("_blocks", "_pieces", "citations", "end", "has_text", "head", "is_call", "is_plan", "number", "part")

    def __init__(self, part: Part, number: int) -> None:
        self.part = part
        self.number = number
        """Its number among the contents, or among the calls."""
        self.is_call = isinstance(part, ToolCall)
        self.is_plan = is_plan(part)
        self._pieces: list[str] = []
        self._blocks: list[str] = []
        self.has_text = False
        self.citations: list[Citation] = []
        self.head, self.end = _frame(part, number, is_plan=self.is_plan)

    def keep(self, text: str) -> None:
        """Keep a piece of the part's text; joined now and then, so that a long answer costs little but its length."""
        self._pieces.append(text)
        if len(self._pieces) == _BLOCK:
            self._blocks.append("".join(self._pieces))
            self._pieces.clear()

    def text(self) -> str:
        """All that was kept."""
        return "".join((*self._blocks, *self._pieces))


def _frame(part: Part, number: int, *, is_plan: bool) -> tuple[bytes, bytes]:
    """What stands around a piece of the part."""
    if is_plan:
        return _PLAN, b"}}}\n\n"
    if isinstance(part, ToolCall):
        head = b'event: tool-call-delta\ndata: {"type":"tool-call-delta","index":%d,' % number
        return head + b'"delta":{"message":{"tool_calls":{"function":{"arguments":', b"}}}}}\n\n"
    slot = b"thinking" if isinstance(part, Reasoning) else b"text"
    head = b'event: content-delta\ndata: {"type":"content-delta","index":%d,' % number
    return head + b'"delta":{"message":{"content":{"%b":' % slot, b"}}}}\n\n"


class StreamEncoder:
    """Events in, server-sent events out (`core.codec.StreamEncoder`)."""

    def __init__(self, context: StreamContext) -> None:
        self._context = context
        self._open: dict[int, _Open] = {}
        self._contents = 0
        self._calls = 0
        self._citations = 0
        self._is_begun = False
        self._finish: Finish | None = None
        self._usage: UsageReport | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        """The wire's events for `events`; the last waits for `end`, as usage may come after the finish."""
        out: list[bytes] = []
        for event in events:
            if type(event) is Delta:
                self._grow(event.choice, event.part, event.text, out)
            elif isinstance(event, PartBegin):
                self._begin_part(event, out)
            elif isinstance(event, PartEnd):
                self._end_part(event, out)
            else:
                self._take(event, out)
        return b"".join(out)

    def end(self) -> bytes:
        """The event that says the answer is complete, and the mark that the stream is."""
        out: list[bytes] = []
        self._begin(None, out)
        members = own(self._finish.extra) if self._finish is not None else {}
        delta: dict[str, Any] = {"finish_reason": write_reason(self._finish)}
        if self._usage is not None:
            delta["usage"] = write_usage(self._usage.usage, self._usage.extra)
        delta.update(members_of(members.get("end")))
        out.append(_event("message-end", {"delta": delta}))
        out.append(b"data: [DONE]\n\n")
        return b"".join(out)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """The event that ends an answer that failed."""
        return render_stream_error(error, request_id)

    def _begin(self, start: Start | None, out: list[bytes]) -> None:
        if self._is_begun:
            return
        self._is_begun = True
        ident = (start.id if start is not None else "") or self._context.response_id
        out.append(render_event(_encode({"id": ident, "type": "message-start", "delta": _ROLE}), "message-start"))

    def _grow(self, choice: int, number: int, text: str, out: list[bytes]) -> None:
        part = None if choice else self._open.get(number)
        if part is None or not text:
            return
        if part.is_call:
            call = part.part
            if isinstance(call, ToolCall) and call.is_custom:
                part.keep(text)  # wrapped in an object when it is whole
                return
        else:
            part.keep(text)
        part.has_text = True
        out.append(b"".join((part.head, _encode(text), part.end)))

    def _begin_part(self, event: PartBegin, out: list[bytes]) -> None:
        self._begin(None, out)
        report = self._context.report
        if event.choice:
            report.note(Feature.N, Outcome.DROPPED, f"choices[{event.choice}]", "the API has one answer")
            return
        part = shown(event.content, f"choices[0].parts[{event.part}]", report)
        if isinstance(part, ToolCall):
            opened = _Open(part, self._calls)
            self._open[event.part] = opened
            self._calls += 1
            if part.is_custom:
                opened.keep(part.arguments)
                return
            call = write_call(part) | {"type": "function"}
            call["function"] = {**call["function"], "arguments": ""}
            out.append(_event("tool-call-start", {"index": opened.number, "delta": {"message": {"tool_calls": call}}}))
            self._grow(0, event.part, part.arguments, out)
        elif isinstance(part, Text | Reasoning):
            self._begin_text(event.part, part, out)

    def _begin_text(self, number: int, part: Text | Reasoning, out: list[bytes]) -> None:
        opened = _Open(part, self._contents)
        self._open[number] = opened
        if not opened.is_plan:
            self._contents += 1
            slot = "thinking" if isinstance(part, Reasoning) else "text"
            content = {"type": slot, slot: "", **own(part.extra)}
            out.append(_event("content-start", {"index": opened.number, "delta": {"message": {"content": content}}}))
        self._grow(0, number, part.text, out)
        if isinstance(part, Text):
            for citation in part.citations:
                self._cite(opened, citation, out)

    def _end_part(self, event: PartEnd, out: list[bytes]) -> None:
        opened = None if event.choice else self._open.pop(event.part, None)
        if opened is None:
            return
        if isinstance(opened.part, ToolCall):
            if opened.part.is_custom:
                whole = msgspec.structs.replace(opened.part, arguments=opened.text())
                delta = {"message": {"tool_calls": write_call(whole)}}
                out.append(_event("tool-call-start", {"index": opened.number, "delta": delta}))
            elif not opened.has_text:
                self._open[event.part] = opened
                self._grow(0, event.part, "{}", out)
                del self._open[event.part]
            out.append(_event("tool-call-end", {"index": opened.number}))
            return
        if opened.citations:
            text = opened.text()
            for citation in opened.citations:
                self._write_citation(opened, write_citation(citation, text), out)
        if not opened.is_plan:
            out.append(_event("content-end", {"index": opened.number}))

    def _cite(self, opened: _Open, citation: Citation, out: list[bytes]) -> None:
        if is_own(citation.extra):
            self._write_citation(opened, write_citation(citation, ""), out)
        else:
            opened.citations.append(citation)

    def _write_citation(self, opened: _Open, citation: dict[str, Any], out: list[bytes]) -> None:
        if opened.number:
            citation.setdefault("content_index", opened.number)
        index = self._citations
        self._citations += 1
        out.append(_event("citation-start", {"index": index, "delta": {"message": {"citations": citation}}}))
        out.append(_event("citation-end", {"index": index}))

    def _take(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Start():
                self._begin(event, out)
            case Finish(choice=0):
                self._finish = event
            case UsageReport():
                self._usage = event
            case KeepAlive():
                out.append(b": keep-alive\n\n")
            case CitationDelta(choice=0, part=number, citation=citation):
                opened = self._open.get(number)
                if opened is not None:
                    self._cite(opened, citation, out)
            case SignatureDelta():
                note = "the API has no place for signatures"
                self._context.report.note(Feature.REASONING_REPLAY, Outcome.DROPPED, "choices[0]", note)
            case LogprobsDelta(choice=0):
                self._write_logprobs(event, out)
            case _:
                pass

    def _write_logprobs(self, event: LogprobsDelta, out: list[bytes]) -> None:
        delta = {"message": {"content": {"text": ""}}}
        index = max(self._contents - 1, 0)
        for token in event.tokens:
            members = {"index": index, "delta": delta, "logprobs": write_logprob(token)}
            out.append(_event("content-delta", members))


def _event(type_: str, members: dict[str, Any]) -> bytes:
    return render_event(_encode({"type": type_, **members}), type_)
