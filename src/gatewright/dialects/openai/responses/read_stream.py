"""Reads a streamed answer (platform.openai.com/docs/api-reference/responses-streaming).

Theory of operation: the answer is a list of items, each named by its `output_index`; deltas add to a slot of an item
(a content part, a part of the summary, a call's arguments). Each slot is a part of the hub's. Servers differ in which
events they send, how they number them and whether ids stay the same, so nothing is expected to come: what no delta
told is taken from the event that closes the slot, the item, or the whole answer, whichever comes first, once.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension, Native, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    CitationDelta,
    Delta,
    Event,
    Failure,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    TokenLogprob,
    UsageReport,
)
from gatewright.dialects.openai.responses.errors import read_failure
from gatewright.dialects.openai.responses.names import NAME, extension, object_members, own
from gatewright.dialects.openai.responses.read_content import read_citation, read_content, read_logprobs
from gatewright.dialects.openai.responses.read_items import CALL, OPEN, Key, begin_members, read_item, read_thought
from gatewright.dialects.openai.responses.read_response import BAD, answer_failure, read_finish, read_head
from gatewright.dialects.openai.responses.stream_events import (
    DELTAS,
    DONES,
    NOTHING,
    StreamEvent,
    is_whole,
    item_head,
    key_of,
    owner_of,
    read_event,
)
from gatewright.dialects.openai.responses.usage import complete_usage, read_usage, usage_extension
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.sse import EventBuffer, event_data, split_events

MAX_EVENT_BYTES: Final = 64 * 1024 * 1024
"""The largest event held back while its end has not come: the last one repeats the whole answer."""

_CUT: Final = "The provider ended the stream before the answer was complete."


class _Slot:
    """A part that has begun."""

    __slots__ = ("citations", "logprobs", "members", "part", "size")

    def __init__(self, part: int) -> None:
        self.part = part
        self.size = 0
        """Characters given so far."""
        self.citations = 0
        self.logprobs = 0
        self.members: dict[str, Raw] = {}
        """What the end of the part told of it."""


class _OpenItem:
    """An item that has begun."""

    __slots__ = ("begin", "current", "is_done", "kind", "names", "slots")

    def __init__(self, kind: str, names: tuple[str | None, str | None], begin: dict[str, Raw]) -> None:
        self.kind = kind
        self.names = names
        self.begin = begin
        self.slots: dict[Key, _Slot] = {}
        self.current: _Slot | None = None
        """The part that has not ended yet."""
        self.is_done = False


replace = msgspec.structs.replace


class ResponsesDecoder:
    """The `StreamDecoder` of this dialect."""

    def __init__(self) -> None:
        self._buffer = EventBuffer(MAX_EVENT_BYTES)
        self._items: dict[int, _OpenItem] = {}
        self._named: dict[str, int] = {}
        self._last = -1
        """The item that began last."""
        self._next = 0
        """The number of the next item, where the server gives none."""
        self._parts = 0
        self._has_begun = False
        self._has_calls = False
        self._is_over = False
        self._out: list[Event] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, cut anywhere; give the events they complete."""
        if self._is_over:
            return []
        try:
            block = self._buffer.feed(data)
        except ValueError as error:
            raise GatewayError(BAD, f"The provider's stream is not usable: {error}.") from None
        if block:
            for event in split_events(block):
                self._read(event)
                if self._has_ended():
                    break
        out, self._out = self._out, []
        return out

    def end(self) -> list[Event]:
        """The body is complete."""
        if self._is_over:
            return []
        rest = self._buffer.end()
        if rest.strip():
            # Some servers leave out the blank line behind the last event.
            self._read_rest(rest)
        if not self._has_ended():
            self._fail(Failure(kind=Kind.UPSTREAM_CUT, message=_CUT))
        out, self._out = self._out, []
        return out

    def _has_ended(self) -> bool:
        return self._is_over

    def _read_rest(self, rest: bytes) -> None:
        if is_whole(event_data(rest)):  # else it is cut in the middle of an event
            self._read(rest)

    # -- one event

    def _read(self, block: bytes) -> None:
        data = event_data(block)
        if not data:
            if block.strip():
                self._out.append(KEEP_ALIVE)
            return
        if data == b"[DONE]":
            return
        event = read_event(data)
        if event is None:
            return
        kind = event.type
        delta = DELTAS.get(kind)
        if delta is not None:
            if event.delta:
                self._add(event, delta, event.delta)
            return
        done = DONES.get(kind)
        if done is not None:
            self._close_text(event, done)
            return
        self._read_frame(event, data)

    def _read_frame(self, event: StreamEvent, data: bytes) -> None:
        """Everything but text."""
        match event.type:
            case "response.created" | "response.in_progress" | "response.queued":
                self._begin(event.response)
            case "response.output_item.added":
                self._add_item(event)
            case "response.output_item.done":
                self._end_item(event)
            case "response.content_part.added" | "response.reasoning_summary_part.added":
                self._add_part(event)
            case "response.content_part.done" | "response.reasoning_summary_part.done":
                self._close_part(event)
            case "response.output_text.annotation.added":
                self._annotate(event)
            case "response.completed" | "response.incomplete" | "response.failed":
                self._end_answer(event)
            case "error":
                self._fail(read_failure(data))
            case _ if event.error and event.type == "":
                self._fail(read_failure(event.error))
            case _:
                pass

    def _begin(self, response: Raw) -> None:
        if self._has_begun:
            return
        self._has_begun = True
        response_id, model, created = "", "", None
        if response:
            response_id, model, created = read_head(JsonObject.parse(response, "response", BAD))
        self._out.append(Start(id=response_id, model=model, created=created, extra=extension()))

    def _fail(self, failure: Failure) -> None:
        self._is_over = True
        self._out.append(failure)

    # -- items

    def _index(self, event: StreamEvent, kind: str, name: str | None) -> int:
        """Which item an event speaks of, also when the server does not number its items."""
        if event.output_index is not None:
            return event.output_index
        named = self._named.get(name or "")
        if named is not None:
            return named
        last = self._items.get(self._last)
        return self._last if last is not None and last.kind == kind and not last.is_done else self._next

    def _insert(self, index: int, item: _OpenItem) -> None:
        self._items[index] = item
        self._last = index
        self._next = max(self._next, index + 1)
        if item.names[0]:
            self._named[item.names[0]] = index

    def _add_item(self, event: StreamEvent) -> None:
        self._begin(NOTHING)
        if not event.item:
            return
        item = item_head(event.item)
        index = self._next if event.output_index is None else event.output_index
        if index in self._items:
            return
        opened = _OpenItem(item.type, (item.id, item.call_id), begin_members(object_members(event.item)))
        self._insert(index, opened)
        if item.type in ("function_call", "custom_tool_call") and item.name and (item.call_id or item.id):
            is_custom = item.type == "custom_tool_call"
            call = ToolCall(id=item.call_id or item.id or "", name=item.name, arguments="", is_custom=is_custom)
            self._open(opened, CALL, call)

    def _item(self, event: StreamEvent, kind: str, name: str | None = None) -> _OpenItem:
        """The item an event speaks of, begun here when the server did not tell of its beginning."""
        name = name or event.item_id
        index = self._index(event, kind, name)
        opened = self._items.get(index)
        if opened is None:
            self._begin(NOTHING)
            opened = _OpenItem(kind, (name, None), {})
            self._insert(index, opened)
        return opened

    def _open(self, opened: _OpenItem, key: Key, part: Part) -> _Slot:
        """Begin a part; the one before it in the same item is complete."""
        if opened.current is not None:
            self._close(opened, {"item": render_json(opened.begin), "open": OPEN})
        slot = opened.slots[key] = _Slot(self._parts)
        opened.current = slot
        self._parts += 1
        if isinstance(part, ToolCall):
            self._has_calls = True
        if not isinstance(part, Native) and part.extra is None:
            part = replace(part, extra=extension(item=render_json(opened.begin)))
        self._out.append(PartBegin(0, slot.part, part))
        return slot

    def _close(self, opened: _OpenItem, members: dict[str, Raw]) -> None:
        slot = opened.current
        if slot is not None:
            opened.current = None
            self._out.append(PartEnd(0, slot.part, Extension(NAME, slot.members | members) if members else None))

    def _end_item(self, event: StreamEvent) -> None:
        if not event.item:
            return
        item = item_head(event.item)
        opened = self._item(event, item.type, item.id)
        if not opened.is_done:
            opened.names = (item.id or opened.names[0], item.call_id or opened.names[1])
            opened.kind = item.type
            self._complete(opened, event.item)

    def _complete(self, opened: _OpenItem, raw: Raw) -> None:
        """The whole item is known: give what was not given yet."""
        tokens: list[TokenLogprob] = []
        keyed, _ = read_item(raw, "item", BAD, tokens)
        told = sum(slot.logprobs for slot in opened.slots.values())
        if len(tokens) > told:
            self._out.append(LogprobsDelta(0, tuple(tokens[told:])))
        for key, part in keyed:
            slot = opened.slots.get(key)
            if slot is None:
                self._open(opened, key, part)
                self._close(opened, {})
            elif slot is opened.current:
                self._finish_text(slot, part)
                slot.members = {}
                self._close(opened, own(getattr(part, "extra", None)))
        self._close(opened, {"item": render_json(opened.begin)})
        opened.is_done = True

    # -- parts

    def _add(self, event: StreamEvent, delta: tuple[str, str], text: str) -> None:
        """More of a slot's text."""
        kind, member = delta
        opened = self._items.get(event.output_index) if event.output_index is not None else None
        if opened is None:
            opened = self._item(event, kind)
        slot = opened.slots.get(key_of(event, member)) or self._open_text(opened, event, member)
        if slot is None or slot is not opened.current:
            return
        if event.logprobs and bytes(event.logprobs) != b"[]":
            tokens = read_logprobs(event.logprobs)
            slot.logprobs += len(tokens)
            if tokens:
                self._out.append(LogprobsDelta(0, tokens))
        slot.size += len(text)
        self._out.append(Delta(0, slot.part, text))

    def _open_text(self, opened: _OpenItem, event: StreamEvent, member: str) -> _Slot | None:
        """Begin the part that a text event speaks of; a call cannot begin without its name."""
        if member == "call" or opened.is_done:
            return None
        part: Part = Text(text="")
        if opened.kind == "reasoning":
            part = Reasoning(text="", is_summary=member == "summary", id=opened.names[0])
        elif event.type.startswith("response.refusal"):
            part = Refusal(text="")
        return self._open(opened, key_of(event, member), part)

    def _close_text(self, event: StreamEvent, delta: tuple[str, str]) -> None:
        """The whole text of a slot is known."""
        text = event.text or event.refusal or event.arguments or event.input
        kind, member = delta
        if text is None:
            return
        opened = self._item(event, kind)
        slot = opened.slots.get(key_of(event, member)) or self._open_text(opened, event, member)
        if slot is not None and slot is opened.current:
            self._give_rest(slot, text)

    def _give_rest(self, slot: _Slot, text: str) -> None:
        if len(text) > slot.size:
            self._out.append(Delta(0, slot.part, text[slot.size :]))
            slot.size = len(text)

    def _finish_text(self, slot: _Slot, part: Part) -> None:
        """Give what the whole part has beyond what was given."""
        match part:
            case Text():
                self._give_rest(slot, part.text)
                for citation in part.citations[slot.citations :]:
                    self._out.append(CitationDelta(0, slot.part, citation))
                slot.citations = max(slot.citations, len(part.citations))
            case Reasoning():
                self._give_rest(slot, part.text)
                if part.signature is not None:
                    self._out.append(SignatureDelta(0, slot.part, part.signature))
            case Refusal():
                self._give_rest(slot, part.text)
            case ToolCall():
                self._give_rest(slot, part.arguments)
            case _:
                pass

    def _add_part(self, event: StreamEvent) -> None:
        member = "summary" if event.summary_index is not None else "content"
        owner, kind = owner_of(event)
        if owner is None:
            return
        opened = self._item(event, owner)
        if opened.is_done or key_of(event, member) in opened.slots:
            return
        part: Part = Text(text="")
        if owner == "reasoning":
            part = Reasoning(text="", is_summary=member == "summary", id=opened.names[0])
        elif kind == "refusal":
            part = Refusal(text="")
        self._open(opened, key_of(event, member), part)

    def _close_part(self, event: StreamEvent) -> None:
        """The whole part is known, with the members the hub has no place for."""
        owner, _ = owner_of(event)
        if owner is None:
            return
        member = "summary" if event.summary_index is not None else "content"
        opened = self._item(event, owner)
        slot = opened.slots.get(key_of(event, member))
        if slot is None or slot is not opened.current:
            return
        part: Part
        if opened.kind == "reasoning":
            default = "summary_text" if member == "summary" else "reasoning_text"
            part, slot.members = read_thought(JsonObject.parse(event.part, "part", BAD), default)
        else:
            tokens: list[TokenLogprob] = []
            part, slot.members = read_content(event.part, "part", BAD, "output_text", tokens)
            if len(tokens) > slot.logprobs:
                self._out.append(LogprobsDelta(0, tuple(tokens[slot.logprobs :])))
                slot.logprobs = len(tokens)
        self._finish_text(slot, part)

    def _annotate(self, event: StreamEvent) -> None:
        opened = self._item(event, "message")
        slot = opened.slots.get(key_of(event, "content"))
        if slot is not None and slot is opened.current and event.annotation:
            slot.citations += 1
            citation = read_citation(JsonObject.parse(event.annotation, "annotation", BAD))
            self._out.append(CitationDelta(0, slot.part, citation))

    # -- the end

    def _end_answer(self, event: StreamEvent) -> None:
        if not event.response:
            raise GatewayError(BAD, f"The provider's answer is not usable: `{event.type}` holds no response.")
        fields = JsonObject.parse(event.response, "response", BAD)
        failure = answer_failure(fields)
        if failure is None and event.type == "response.failed":
            failure = read_failure(fields.raw("error"))
        self._begin(event.response)
        output = fields.peek("output")
        if failure is None:
            self._settle(fields.items("output") or [])
        fields.drop("output", "id", "model", "created_at")
        raw_usage = fields.raw("usage")
        usage = read_usage(raw_usage)
        if usage is not None and raw_usage is not None:
            usage = complete_usage(usage, fields.peek("service_tier"), output)
            self._out.append(UsageReport(usage=usage, extra=usage_extension(raw_usage, usage)))
        if failure is not None:
            self._fail(failure)
            return
        self._out.append(read_finish(fields, has_calls=self._has_calls))
        self._is_over = True

    def _settle(self, output: list[Raw]) -> None:
        """Match the items of the whole answer with those that were streamed, and give what is missing."""
        streamed = [self._items[index] for index in sorted(self._items)]
        named = {name: opened for opened in streamed for name in opened.names if name}
        matches: list[_OpenItem | None] = []
        for raw in output:
            item = item_head(raw)
            matches.append(named.get(item.id or "") or named.get(item.call_id or ""))
        taken = {id(opened) for opened in matches if opened is not None}
        left: dict[str, list[_OpenItem]] = {}
        for opened in reversed(streamed):
            if id(opened) not in taken:
                left.setdefault(opened.kind, []).append(opened)
        for raw, match in zip(output, matches, strict=True):
            if match is None:
                # Some servers give their items another id each time; then the order tells.
                item = item_head(raw)
                same = left.get(item.type)
                match = same.pop() if same else _OpenItem(item.type, (item.id, item.call_id), {})
            if not match.is_done:
                self._complete(match, raw)
        for opened in streamed:
            self._close(opened, {"item": render_json(opened.begin)})
