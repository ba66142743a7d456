"""Streams and answers to test with, and what is made of them."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewright.core.chat import ChatRequest, Tool
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Event, KeepAlive, fold, unfold
from gatewright.core.loss import LossReport
from gatewright.dialects.openai.chat.stream_decoder import ChatDecoder
from gatewright.dialects.openai.chat.stream_encoder import ChatEncoder


def chunk(delta: Any, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    """A chunk with one choice; `more` stands beside its delta."""
    choice = {"index": index, "delta": delta, "finish_reason": finish, **more}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}


def stream(*chunks: Any, done: bool = True) -> bytes:
    """Server-sent events of chunks."""
    events = [b"data: " + msgspec.json.encode(item) + b"\n\n" for item in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if done else b"")


def decode(data: bytes, size: int = 1_000_000) -> list[Event]:
    """The events of a stream cut into pieces."""
    decoder = ChatDecoder()
    events: list[Event] = []
    for at in range(0, len(data), size):
        events += decoder.feed(data[at : at + size])
    return [event for event in [*events, *decoder.end()] if not isinstance(event, KeepAlive)]


def context(*, include_usage: bool = True, tools: tuple[Tool, ...] = ()) -> StreamContext:
    """What an encoder knows of its request."""
    request = ChatRequest(model="published", messages=(), stream=True, include_usage=include_usage, tools=tools)
    return StreamContext(request=request, response_id="made-up", created=1, report=LossReport())


def encode(events: list[Event], ask: StreamContext) -> bytes:
    """The stream for a client."""
    encoder = ChatEncoder(ask)
    return b"".join([encoder.encode([event]) for event in events]) + encoder.end()


def chunks_of(data: bytes) -> list[Any]:
    """The JSON of a stream's events."""
    found = [event.removeprefix(b"data: ") for event in data.split(b"\n\n") if event]
    return [msgspec.json.decode(event) for event in found if event != b"[DONE]"]


def through_client(response: ChatResponse) -> ChatResponse:
    """A response written as a stream for a client, and read again."""
    return fold(decode(encode(unfold(response), context())))
