"""Writes an answer, streamed or whole (platform.openai.com/docs/api-reference/responses-streaming).

Theory of operation: parts come one after another; those of one item stay together. A part, and the item it belongs to,
is closed only when the next begins or the answer ends, since what comes late (log probabilities, the signature of a
part) still has to go into it. A whole answer is written by the same code with its events thrown away, so that both
forms cannot disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    Citation,
    Extension,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
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
    TokenLogprob,
    UsageReport,
    merge_extensions,
)
from gatewright.core.loss import Feature, Outcome
from gatewright.dialects.openai.responses.answer import echo, ending, last_event
from gatewright.dialects.openai.responses.errors import error_event, failed_code
from gatewright.dialects.openai.responses.names import NAME, NO_BLOB, PREVIOUS, id_stem, is_own, own, response_id
from gatewright.dialects.openai.responses.usage import write_usage
from gatewright.dialects.openai.responses.write_content import write_citation, write_logprobs
from gatewright.dialects.openai.responses.write_items import (
    answer_content,
    continues,
    item_members,
    previous_signature,
    write_call,
    write_message,
    write_reasoning,
)
from gatewright.wire.sse import render_event

_encoder = msgspec.json.Encoder()
_encode = _encoder.encode
replace = msgspec.structs.replace

_PREFIXES: Final = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_DONE: Final = {"status": "completed"}


class _Slot:
    """The part being written: a content part, a part of the summary, or a call's arguments."""

    def __init__(self, content: Part) -> None:
        self.content = content
        self.pieces: list[str] = []
        self.citations: list[Citation] = []
        self.annotations = 0
        """How many citations events have told of."""
        self.signatures: list[Opaque] = []
        self.extra: Extension | None = getattr(content, "extra", None)
        self.tokens: list[TokenLogprob] = []
        self.places: dict[str, Any] = {}
        """The members of its events that say where it stands."""
        self.event = ""
        """What its events are called, without `.delta` and `.done`; empty while it has not been told of."""

        self._counted = (0, 0)

    def length(self) -> int:
        """How many characters there are so far; each piece is counted once."""
        count, total = self._counted
        total += sum(map(len, self.pieces[count:]))
        self._counted = len(self.pieces), total
        return total

    def part(self) -> Part:
        """The whole part."""
        text = "".join(self.pieces)
        part = self.content
        signature = self._signature()
        match part:
            case Text():
                citations = (*part.citations, *self.citations)
                return replace(part, text=text, citations=citations, signature=signature, extra=self.extra)
            case Reasoning():
                return replace(part, text=text, signature=signature, extra=self.extra)
            case Refusal():
                return replace(part, text=text, extra=self.extra)
            case ToolCall():
                return replace(part, arguments=text, signature=signature, extra=self.extra)
            case _:
                return part

    def _signature(self) -> Opaque | None:
        known = getattr(self.content, "signature", None)
        blobs = [*([known] if known is not None else []), *self.signatures]
        return Opaque(blobs[0].dialect, "".join(blob.value for blob in blobs)) if blobs else None


class ResponsesEncoder:
    """The `StreamEncoder` of this dialect."""

    def __init__(self, context: StreamContext, *, is_silent: bool = False) -> None:
        self._context = context
        self._is_silent = is_silent
        self._out: list[bytes] = []
        self._sequence = 0
        self._head: dict[str, Any] = {}
        """Id, model and date; empty until the answer has begun."""
        reasoning = context.request.reasoning
        self._shows_summaries = reasoning is not None and reasoning.summary not in (None, "omitted")
        """Whether the client asked to see thoughts as summaries: then another dialect's are given in that place."""
        self._is_ours = False
        self._echo: dict[str, Any] = {}
        self._output: list[Any] = []
        """The items that are complete."""
        self._kind = ""
        """The type of the open item."""
        self._item_id = ""
        self._group: list[Part] = []
        """The complete parts of the open item."""
        self._logprobs: list[list[TokenLogprob]] = []
        self._places = {"content": 0, "summary": 0}
        self._slot: _Slot | None = None
        self._delta: tuple[bytes, bytes] | None = None
        """What stands before and behind the text in the events of the open slot."""
        self._tokens: list[TokenLogprob] = []
        """Log probabilities that no event has told of."""
        self._finish: Finish | None = None
        self._usage: UsageReport | None = None
        self._is_told_of_choices = False

    def encode(self, events: Sequence[Event]) -> bytes:
        """The events of the wire for `events`."""
        for event in events:
            if type(event) is Delta and self._delta is not None and not self._tokens and event.choice == 0:
                self._slot.pieces.append(event.text)  # type: ignore[union-attr]  # `_delta` is set with it
                if event.text and not self._is_silent:
                    before, behind = self._delta
                    self._out.append(b"%b%b%b%d}\n\n" % (before, _encode(event.text), behind, self._sequence))
                    self._sequence += 1
            else:
                self._write(event)
        out = b"".join(self._out)
        self._out.clear()
        return out

    def end(self) -> bytes:
        """The last event, with the whole answer."""
        answer = self.answer()
        self._emit({"type": last_event(answer.get("status")), "response": answer})
        out = b"".join(self._out)
        self._out.clear()
        return out

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """An `error` event, at which the SDKs raise, and `response.failed`, as the vendor sends them."""
        self._begin(None)
        self._emit_numbered(error_event(error, request_id, self._sequence))
        failed = {"code": failed_code(error), "message": error.public_message}
        answer = {**self._echo, **self._head, "error": failed, "incomplete_details": None, "status": "failed"}
        answer |= {"output": self._output, "usage": self._write_usage()}
        self._emit({"type": "response.failed", "response": answer})
        out = b"".join(self._out)
        self._out.clear()
        return out

    def answer(self) -> dict[str, Any]:
        """The whole answer; closes what is open."""
        self._begin(None)
        self._close_item()
        if self._tokens:
            note = "they came after the text they belong to"
            self._context.report.note(Feature.LOGPROBS, Outcome.DROPPED, "logprobs", note)
        finish = self._finish
        if finish is not None and is_own(finish.extra):
            ours: dict[str, Any] = {"error": None, "incomplete_details": None, **own(finish.extra)}
            return {**ours, **self._head, "output": self._output, "usage": self._write_usage()}
        return {
            **self._echo,
            **self._head,
            **ending(finish),
            "output": self._output,
            "usage": self._write_usage(),
        }

    def _write_usage(self) -> dict[str, Any] | None:
        return None if self._usage is None else write_usage(self._usage.usage, self._usage.extra)

    # -- events in

    def _write(self, event: Event) -> None:
        match event:
            case Start():
                self._begin(event)
            case UsageReport():
                self._usage = event
            case KeepAlive():
                if not self._is_silent:
                    self._out.append(b": keep-alive\n\n")
            case _ if getattr(event, "choice", 0) != 0:
                if not self._is_told_of_choices:
                    self._is_told_of_choices = True
                    self._context.report.note(Feature.N, Outcome.DROPPED, "choices", "the API gives one answer")
            case Finish():
                self._finish = event
                self._close_item()
            case LogprobsDelta():
                self._tokens.extend(event.tokens)
            case PartBegin():
                self._begin(None)
                self._begin_part(event.content)
            case _:
                self._write_part(event)

    def _write_part(self, event: Event) -> None:
        """What belongs to the open part."""
        slot = self._slot
        if slot is None:
            return
        match event:
            case Delta():
                self._add_text(slot, event.text)
            case AudioDelta():
                self._add_text(slot, event.transcript)
            case SignatureDelta():
                slot.signatures.append(event.signature)
            case CitationDelta():
                slot.citations.append(event.citation)
                self._emit_citation(slot, event.citation)
            case PartEnd():
                slot.extra = merge_extensions(slot.extra, event.extra)
            case _:
                pass

    def _begin(self, start: Start | None) -> None:
        if self._head:
            return
        context = self._context
        self._is_ours = start is not None and is_own(start.extra)
        upstream_id = "" if start is None else start.id
        created = None if start is None else start.created
        self._head = {
            "id": response_id(upstream_id, context.response_id, is_ours=self._is_ours),
            "object": "response",
            "created_at": context.created if created is None else created,
            "model": context.request.model if start is None or not start.model else start.model,
        }
        self._echo = echo(context)
        progress = {**self._echo, **self._head, "status": "in_progress", "error": None, "incomplete_details": None}
        progress |= {"output": [], "usage": None}
        self._emit({"type": "response.created", "response": progress})
        self._emit({"type": "response.in_progress", "response": progress})

    # -- parts

    def _begin_part(self, content: Part) -> None:
        self._close_part()
        if isinstance(content, Reasoning) and self._shows_summaries and not own(content.extra):
            content = replace(content, is_summary=True)
        if self._group and not continues(self._group[-1], content, joins_reasoning=False):
            self._close_item()
        match content:
            case Text() | Refusal():
                self._open_item("message", content)
            case Audio():
                self._tell_media("audio", "its transcript is given as text")
                content = Text(text=content.transcript or "")
                self._open_item("message", content)
            case Reasoning():
                self._open_item("reasoning", content)
            case ToolCall():
                self._open_item("custom_tool_call" if content.is_custom else "function_call", content)
            case _:
                self._write_whole(content)
                return
        slot = self._slot = _Slot(content)
        text = content.arguments if isinstance(content, ToolCall) else content.text
        if not isinstance(content, Reasoning):
            self._open_slot(slot)
        if text:
            self._add_text(slot, text)
        if isinstance(content, Text):
            for citation in content.citations:
                self._emit_citation(slot, citation)

    def _tell_media(self, what: str, note: str) -> None:
        outcome = Outcome.APPROXIMATED if what == "audio" else Outcome.DROPPED
        self._context.report.note(Feature.MEDIA_OUTPUT, outcome, f"output[{len(self._output)}]", note)

    def _write_whole(self, content: Part) -> None:
        """A part that is an item of its own and comes whole."""
        at = f"output[{len(self._output)}]"
        item: Any
        match content:
            case Native(dialect=dialect, raw=raw) if dialect == NAME:
                item = raw
            case Native():
                note = f"a {content.kind} of {content.dialect} has no form here"
                self._context.report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, at, note)
                return
            case Image(source=source) if source.data is not None:
                item = {"id": self._make_id("ig"), "type": "image_generation_call", **_DONE, "result": source.data}
            case _:
                self._tell_media("media", "the API has no form for it")
                return
        index = len(self._output)
        self._emit({"type": "response.output_item.added", "output_index": index, "item": item})
        self._emit({"type": "response.output_item.done", "output_index": index, "item": item})
        self._output.append(item)

    def _make_id(self, prefix: str) -> str:
        return f"{prefix}_{id_stem(self._context.response_id)}{len(self._output):03d}"

    def _open_item(self, kind: str, content: Part) -> None:
        if self._kind:
            return
        self._kind = kind
        members = item_members([content])
        known = members.get("id")
        self._item_id = _string(known) if known is not None else self._make_id(_PREFIXES[kind])
        item: dict[str, Any] = {"id": self._item_id, "type": kind, **members}
        match content:
            case Reasoning():
                item["summary"] = []
            case ToolCall():
                item |= {"call_id": content.id, "name": content.name}
                item |= {"input": ""} if content.is_custom else {"arguments": "", "status": "in_progress"}
            case _:
                item |= {"status": "in_progress", "role": "assistant", "content": []}
        self._emit({"type": "response.output_item.added", "output_index": len(self._output), "item": item})

    def _open_slot(self, slot: _Slot) -> None:
        """Tell of a part, and make ready for its text."""
        places: dict[str, Any] = {"item_id": self._item_id, "output_index": len(self._output)}
        behind: dict[str, Any] = {}
        match slot.content:
            case ToolCall(is_custom=is_custom):
                slot.event = "response.custom_tool_call_input" if is_custom else "response.function_call_arguments"
            case Reasoning(is_summary=True):
                slot.event = "response.reasoning_summary_text"
                places["summary_index"] = self._place("summary")
                part = {"type": "summary_text", "text": ""}
                self._emit({"type": "response.reasoning_summary_part.added", **places, "part": part})
            case _:
                places["content_index"] = self._place("content")
                slot.event, part, behind = _content_slot(slot.content)
                self._emit({"type": "response.content_part.added", **places, "part": part})
        slot.places = places
        head = _encode({"type": f"{slot.event}.delta", **places})[:-1]
        tail = b"".join(b',"%b":%b' % (name.encode(), _encode(value)) for name, value in behind.items())
        before = b'event: %b.delta\ndata: %b,"delta":' % (slot.event.encode(), head)
        self._delta = before, tail + b',"sequence_number":'

    def _place(self, member: str) -> int:
        index = self._places[member]
        self._places[member] = index + 1
        return index

    def _add_text(self, slot: _Slot, text: str) -> None:
        if not slot.event:
            if not text:
                return
            self._open_slot(slot)
        slot.pieces.append(text)
        if not text:
            return
        told: dict[str, Any] = {}
        if isinstance(slot.content, Text):
            told["logprobs"] = write_logprobs(self._tokens)
            slot.tokens += self._tokens
            self._tokens = []
        self._emit({"type": f"{slot.event}.delta", **slot.places, "delta": text, **told})

    def _emit_citation(self, slot: _Slot, citation: Citation) -> None:
        if not isinstance(slot.content, Text):
            return
        annotation = write_citation(citation, slot.length())
        if annotation is None:
            where = f"output[{len(self._output)}]"
            self._context.report.note(Feature.CITATIONS, Outcome.DROPPED, where, "the source has no address")
            return
        places = {**slot.places, "annotation_index": slot.annotations}
        slot.annotations += 1
        self._emit({"type": "response.output_text.annotation.added", **places, "annotation": annotation})

    def _close_part(self) -> None:
        """End the open part."""
        slot, self._slot, self._delta = self._slot, None, None
        if slot is None:
            return
        if isinstance(slot.content, ToolCall) and not slot.content.is_custom and not "".join(slot.pieces).strip():
            self._add_text(slot, "{}")
        if isinstance(slot.content, Text):
            slot.tokens += self._tokens
            self._tokens = []
        part = slot.part()
        self._group.append(part)
        self._logprobs.append(slot.tokens)
        if not slot.event:
            return
        done = {"type": f"{slot.event}.done", **slot.places}
        match part:
            case Text():
                content = answer_content(part, write_logprobs(slot.tokens))
                self._emit({**done, "text": part.text, "logprobs": content.get("logprobs", [])})
                self._emit({"type": "response.content_part.done", **slot.places, "part": content})
            case Refusal():
                self._emit({**done, "refusal": part.text})
                self._emit({"type": "response.content_part.done", **slot.places, "part": answer_content(part, [])})
            case Reasoning():
                self._emit({**done, "text": part.text})
                kind = "summary_text" if part.is_summary else "reasoning_text"
                name = "response.reasoning_summary_part.done" if part.is_summary else "response.content_part.done"
                self._emit({"type": name, **slot.places, "part": {"type": kind, "text": part.text}})
            case ToolCall():
                member = "input" if part.is_custom else "arguments"
                self._emit({**done, member: part.arguments})
            case _:
                pass

    def _close_item(self) -> None:
        """End the open item."""
        self._close_part()
        if not self._kind:
            return
        group, self._group = self._group, []
        item = self._write_item(group)
        if not self._is_silent and "id" in item:
            item["id"] = self._item_id  # some servers change it on the way, which the SDKs do not take
        self._finish_item(item)
        self._kind = ""
        self._logprobs = []
        self._places = {"content": 0, "summary": 0}
        last = group[-1]
        if isinstance(last, Text | ToolCall) and last.signature is not None:
            signature = {"id": self._make_id("rs"), **previous_signature(last.signature, PREVIOUS)}
            index = len(self._output)
            self._emit({"type": "response.output_item.added", "output_index": index, "item": signature})
            self._finish_item(signature)

    def _finish_item(self, item: dict[str, Any]) -> None:
        self._emit({"type": "response.output_item.done", "output_index": len(self._output), "item": item})
        self._output.append(item)

    def _write_item(self, group: list[Part]) -> dict[str, Any]:
        first = group[0]
        is_ours = bool(own(getattr(first, "extra", None)))
        added: dict[str, Any] = {} if is_ours else {"id": self._item_id}
        match first:
            case Reasoning():
                item = write_reasoning(group)
                if not is_ours and "encrypted_content" not in item:
                    item["encrypted_content"] = f"gatewright.{NO_BLOB.dialect}:{NO_BLOB.value}"
                return added | item
            case ToolCall():
                if not is_ours and not first.is_custom:
                    added["status"] = self._status()
                return added | write_call(first)
            case _:
                contents = [
                    answer_content(part, write_logprobs(tokens))
                    for part, tokens in zip(group, self._logprobs, strict=True)
                    if isinstance(part, Text | Refusal)
                ]
                if not is_ours:
                    added["status"] = self._status()
                return added | {"type": "message"} | write_message(group, contents)

    def _status(self) -> str:
        """The status of an item: the one that is open when the answer is cut short is not complete."""
        return "incomplete" if self._finish is not None and self._finish.reason == "length" else "completed"

    # -- events out

    def _emit(self, event: dict[str, Any]) -> None:
        event["sequence_number"] = self._sequence
        self._emit_numbered(event)

    def _emit_numbered(self, event: dict[str, Any]) -> None:
        self._sequence += 1
        if not self._is_silent:
            self._out.append(render_event(_encode(event), event["type"]))


def _string(raw: Raw) -> str:
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else ""


def _content_slot(content: Part) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The name of a content part's events, the part as it begins, and the further members of its deltas."""
    if isinstance(content, Refusal):
        return "response.refusal", {"type": "refusal", "refusal": ""}, {}
    if isinstance(content, Reasoning):
        return "response.reasoning_text", {"type": "reasoning_text", "text": ""}, {}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
    return "response.output_text", part, {"logprobs": []}
