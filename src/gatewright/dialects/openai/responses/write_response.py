"""Writes a complete answer: the stream's writer with its events left out."""

from __future__ import annotations

from typing import Final

from gatewright.core.chat import Extension, Text
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Event, LogprobsDelta, PartBegin, PartEnd, Start, UsageReport
from gatewright.dialects.openai.responses.errors import answer_error
from gatewright.dialects.openai.responses.names import object_members, own
from gatewright.dialects.openai.responses.write_stream import ResponsesEncoder
from gatewright.wire.json_object import render_json

_OWN: Final = ("id", "object", "created_at", "model", "output", "usage")
"""What is not kept in the extension of a failed answer."""


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """A client's answer body."""
    writer = ResponsesEncoder(context, is_silent=True)
    writer.encode(_events(response))
    answer = writer.answer()
    if response.failure is not None:
        failed = {"status": "failed", "error": answer_error(response.failure)}
        kept = own(response.extra)
        answer = {**failed, **kept, **{name: answer[name] for name in _OWN}} if kept else {**answer, **failed}
    return bytes(render_json(answer))


def _events(response: ChatResponse) -> list[Event]:
    """The answer as a stream, its log probabilities beside the text they belong to."""
    start = Start(id=response.id, model=response.model, created=response.created, extra=response.extra)
    events: list[Event] = [start]
    for choice in response.choices:
        tokens = choice.logprobs
        for number, part in enumerate(choice.parts):
            events.append(PartBegin(choice.index, number, part))
            if isinstance(part, Text) and tokens:
                count = _count(part.extra, len(tokens))
                events.append(LogprobsDelta(choice.index, tokens[:count]))
                tokens = tokens[count:]
            events.append(PartEnd(choice.index, number))
        if choice.finish is not None:
            events.append(choice.finish)
    if response.usage is not None:
        events.append(UsageReport(usage=response.usage, extra=response.usage_extra))
    return events


def _count(extra: Extension | None, left: int) -> int:
    """How many of the tokens left are this part's own, where that was told."""
    members = own(extra)
    if not members:
        return left
    told = object_members(members.get("part")).get("logprobs")
    return 0 if told is None else int(bytes(told))
