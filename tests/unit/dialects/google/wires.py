"""Small ways into the codecs, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Message, Part
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Event
from gatewright.core.loss import Fidelity, LossReport
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.google.read_request import decode_request
from gatewright.dialects.google.read_response import decode_response
from gatewright.dialects.google.read_stream import stream_decoder
from gatewright.dialects.google.write_request import encode_request
from gatewright.dialects.google.write_response import encode_response
from gatewright.dialects.google.write_stream import stream_encoder


def raw(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def plain(value: object) -> Any:
    """What is written, as JSON values."""
    return msgspec.json.decode(msgspec.json.encode(value))


def read(body: dict[str, Any], model: str = "m", *, stream: bool = False) -> ChatRequest:
    """A client's request."""
    return decode_request({name: raw(value) for name, value in body.items()}, model, stream)


def user(*parts: object) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


def model(*parts: object) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def read_one(part: object) -> Part:
    """One part of a request."""
    return read({"contents": [user(part)]}).messages[0].parts[0]


def write(request: ChatRequest, traits: Traits = DEFAULT, fidelity: Fidelity = "permissive") -> tuple[Any, list[str]]:
    """An upstream's request, and what was lost."""
    report = LossReport(fidelity)
    written = plain(encode_request(request, traits, report))
    return written, [str(loss) for loss in report.entries]


def write_messages(*messages: Message, name: str = "m") -> tuple[list[Any], list[str]]:
    """The contents of an upstream's request, and what was lost."""
    written, losses = write(ChatRequest(model=name, messages=messages))
    return written["contents"], losses


def again(body: dict[str, Any]) -> Any:
    """A request through the hub and back, with nothing lost."""
    written, losses = write(read(body), fidelity="strict")
    assert losses == []
    return written


def context() -> StreamContext:
    request = ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="made-up", created=0, report=LossReport())


def answer(body: dict[str, Any]) -> ChatResponse:
    """An upstream's complete answer."""
    return decode_response(msgspec.json.encode(body))


def write_answer(response: ChatResponse) -> tuple[Any, list[str]]:
    """A client's complete answer, and what was lost."""
    asked = context()
    return msgspec.json.decode(encode_response(response, asked)), [str(loss) for loss in asked.report.entries]


def candidate(*parts: object, **members: object) -> dict[str, Any]:
    """An answer, or a chunk of one, with one candidate."""
    return {"responseId": "r", "candidates": [{"content": {"role": "model", "parts": list(parts)}, **members}]}


def sse(*chunks: object) -> bytes:
    return b"".join(b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in chunks)


def events_of(data: bytes, size: int = 0) -> list[Event]:
    """The events of a stream, cut into pieces of `size` bytes."""
    decoder = stream_decoder()
    found: list[Event] = []
    step = size or len(data) or 1
    for start in range(0, len(data), step):
        found += decoder.feed(data[start : start + step])
    return found + decoder.end()


def chunks_of(events: list[Event], *, together: bool = False) -> list[Any]:
    """The chunks that a client gets, event by event or all in one."""
    encoder = stream_encoder(context())
    batches = [events] if together else [[event] for event in events]
    data = b"".join(encoder.encode(batch) for batch in batches) + encoder.end()
    return [msgspec.json.decode(each.removeprefix(b"data: ")) for each in data.split(b"\r\n\r\n") if each]
