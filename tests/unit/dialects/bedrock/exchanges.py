"""Converse requests and answers in short, for the tests of its codec."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gatewright.core.chat import ChatRequest, Message, Part, Text
from gatewright.core.codec import StreamContext
from gatewright.core.events import Event
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.bedrock.read_request import decode_request
from gatewright.dialects.bedrock.read_stream import ConverseStreamDecoder
from gatewright.dialects.bedrock.write_request import encode_request
from gatewright.wire.aws_event_stream import MessageDecoder, render_headers, render_message

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decoded(body: dict[str, Any], *, model: str = CLAUDE, stream: bool = False) -> ChatRequest:
    """A client's request, read."""
    return decode_request(_fields.decode(json.dumps(body)), model, stream)


def encoded(request: ChatRequest, report: LossReport | None = None, traits: Traits = DEFAULT) -> dict[str, Any]:
    """The upstream's request body; strict unless a report is given, so that no loss goes unseen."""
    members = encode_request(request, traits, report or LossReport("strict"))
    body: dict[str, Any] = json.loads(msgspec.json.encode(members))
    return body


def asked(*parts: Part, model: str = CLAUDE, **members: Any) -> ChatRequest:
    """A request of one message of the user's."""
    message = Message(role="user", parts=parts or (Text(text="Hi"),))
    return ChatRequest(model=model, **{"messages": (message,), **members})


def losses(report: LossReport) -> list[tuple[Feature, Outcome, str]]:
    """What a report tells, without its notes."""
    return [(entry.feature, entry.outcome, entry.path) for entry in report.entries]


def context(report: LossReport | None = None) -> StreamContext:
    """What an encoder is told; strict, so that a note is seen."""
    return StreamContext(request=asked(), response_id="r", created=0, report=report or LossReport())


def frame(kind: str, payload: Any, message_type: str = "event") -> bytes:
    """One frame as the provider sends it."""
    name = ":event-type" if message_type == "event" else ":exception-type"
    headers = {name: kind, ":content-type": "application/json", ":message-type": message_type}
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return render_message(render_headers(headers), data)


def delta(index: int, **content: Any) -> bytes:
    """One frame of content, padded as the provider pads it."""
    return frame("contentBlockDelta", {"contentBlockIndex": index, "delta": content, "p": "abcdef"})


def stop(index: int) -> bytes:
    return frame("contentBlockStop", {"contentBlockIndex": index, "p": "ab"})


def unframed(data: bytes) -> list[tuple[str, Any]]:
    """The frames of a stream as their kinds and payloads."""
    return [
        (str(message.headers.get(":event-type", message.headers.get(":exception-type"))), json.loads(message.payload))
        for message in MessageDecoder().feed(data)
    ]


def read(data: bytes, size: int = 1 << 20) -> list[Event]:
    """The events of a stream that comes in pieces of `size` bytes and then ends."""
    decoder = ConverseStreamDecoder()
    events = [event for at in range(0, len(data), size) for event in decoder.feed(data[at : at + size])]
    return events + decoder.end()
