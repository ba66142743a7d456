"""Cohere's codecs over recorded traffic: nothing is lost between a body and the hub, and streams are their answers.

Left out are calls of version 1 and of other APIs (tokenize, rerank), which are not of this dialect. What is compared
is JSON in a normal form: null counts as absent, one text as its string, `""` and `null` as no arguments, and what
the API assumes when it is not said is not said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.truth.recordings import Recording, of, recorded

from gatewright.core.chat import ChatRequest
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Event, Failure, Finish, fold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.cohere import CHAT, EMBED

pytestmark = pytest.mark.truth

assert CHAT.chat is not None
assert EMBED.embeddings is not None
CODEC, EMBEDDINGS = CHAT.chat, EMBED.embeddings
CUTS = (1, 7, 64, 1_000_000_000)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def cases(dialect: str, *, has: str) -> pytest.MarkDecorator:
    is_case: Callable[[Recording], Any] = {
        "request": lambda each: each.request is not None,
        "body": lambda each: each.answer is not None and each.status == 200,
        "text": lambda each: bool(each.text) and each.status == 200,
        "error": lambda each: each.answer is not None and each.status != 200,
    }[has]
    return recorded([each for each in of(dialect) if is_case(each)])


def normal(value: Any, name: str = "") -> Any:
    """JSON as the API understands it."""
    if isinstance(value, dict):
        return {key: normal(inner, key) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        items = [normal(inner) for inner in value]
        if name == "content" and len(items) == 1 and items[0].keys() == {"type", "text"}:
            return items[0]["text"]
        return items
    if name == "arguments" and isinstance(value, str):
        return json.loads(value or "{}") or {}
    return value


def as_request(body: dict[str, Any]) -> Any:
    found = normal(body)
    if found.get("stream") is False:
        del found["stream"]
    for message in found.get("messages", []):
        if message.get("content") in ("", []) and message["role"] == "assistant":
            del message["content"]
        if not message.get("tool_plan", True):
            del message["tool_plan"]
    if "texts" in found or "inputs" in found:
        found.setdefault("embedding_types", ["float"])
    return found


def decoded(body: dict[str, Any]) -> ChatRequest:
    return CODEC.decode_request(_fields.decode(json.dumps(body)), body["model"], body.get("stream") is True)


def context(recording: Recording) -> StreamContext:
    body = recording.request
    request = decoded(body) if body else ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="r", created=0, report=LossReport())


def events_of(data: bytes, size: int) -> list[Event]:
    decoder = CODEC.stream_decoder()
    events = [event for start in range(0, len(data), size) for event in decoder.feed(data[start : start + size])]
    return events + decoder.end()


def answer_of(data: bytes) -> dict[str, Any]:
    """The complete answer that a stream makes, put together without the codec."""
    answer: dict[str, Any] = {"message": {"role": "assistant"}}
    message = answer["message"]
    for line in data.decode().splitlines():
        if not line.startswith("data:") or line.endswith("[DONE]"):
            continue
        event = json.loads(line[5:])
        inner = event.get("delta", {}).get("message", {})
        match event["type"]:
            case "message-start":
                answer["id"] = event["id"]
            case "content-start":
                message.setdefault("content", []).append(inner["content"])
            case "content-delta":
                for slot, piece in inner["content"].items():
                    message["content"][event["index"]][slot] = message["content"][event["index"]].get(slot, "") + piece
            case "tool-plan-delta":
                message["tool_plan"] = message.get("tool_plan", "") + inner["tool_plan"]
            case "tool-call-start":
                message.setdefault("tool_calls", []).append(inner["tool_calls"])
            case "tool-call-delta":
                message["tool_calls"][event["index"]]["function"]["arguments"] += inner["tool_calls"]["function"][
                    "arguments"
                ]
            case "citation-start":
                message.setdefault("citations", []).append(inner["citations"])
            case "message-end":
                answer |= event["delta"]
    return answer


@cases("cohere.chat", has="request")
def test_requests_come_back(recording: Recording) -> None:
    body = recording.request
    report = LossReport("strict" if not body["messages"][-1]["role"] == "assistant" else "warn")
    again = json.loads(msgspec.json.encode(CODEC.encode_request(decoded(body), DEFAULT, report)))
    assert as_request(again) == as_request(body)


@cases("cohere.chat", has="body")
def test_answers_come_back(recording: Recording) -> None:
    body = recording.answer
    response = CODEC.decode_response(json.dumps(body).encode())
    assert normal(json.loads(CODEC.encode_response(response, context(recording)))) == normal(body)
    assert CHAT.read_answer(json.dumps(body).encode()) == (None, response.usage)
    tokens = body["usage"]["tokens"]
    assert response.usage is not None
    assert (response.usage.input_total, response.usage.output_total) == (
        tokens["input_tokens"],
        tokens["output_tokens"],
    )


@cases("cohere.chat", has="text")
def test_streams_are_their_answers(recording: Recording) -> None:
    data = recording.text
    whole = events_of(data, CUTS[-1])
    assert [size for size in CUTS if events_of(data, size) != whole] == []
    found: ChatResponse = fold(whole)
    assert found == CODEC.decode_response(json.dumps(answer_of(data), separators=(",", ":")).encode())
    assert any(isinstance(event, Finish) for event in whole)
    encoder = CODEC.stream_encoder(context(recording))
    assert fold(events_of(encoder.encode(whole) + encoder.end(), CUTS[-1])) == found


@cases("cohere.chat", has="text")
def test_streams_that_are_cut_fail(recording: Recording) -> None:
    data = recording.text
    end = data.rindex(b'{"type":"message-end"')
    for length in (0, 1, end // 2, end, end + 20):
        events = events_of(data[:length], 64)
        assert isinstance(events[-1], Failure)
        assert not any(isinstance(event, Finish) for event in events)


@cases("cohere.embed", has="request")
def test_embedding_requests_come_back(recording: Recording) -> None:
    body = recording.request
    request = EMBEDDINGS.decode_request(_fields.decode(json.dumps(body)), body["model"])
    again = json.loads(msgspec.json.encode(EMBEDDINGS.encode_request(request, DEFAULT, LossReport("strict"))))
    assert as_request(again) == as_request(body)


@cases("cohere.embed", has="body")
def test_embedding_answers_come_back(recording: Recording) -> None:
    body = recording.answer
    sent = recording.request or {"model": "m", "texts": []}
    request = EMBEDDINGS.decode_request(_fields.decode(json.dumps(sent)), sent["model"])
    response = EMBEDDINGS.decode_response(json.dumps(body).encode())
    assert json.loads(EMBEDDINGS.encode_response(response, request)) == body
    assert EMBED.read_answer(json.dumps(body).encode()) == (None, response.usage)


@cases("cohere.embed", has="error")
def test_errors_are_read(recording: Recording) -> None:
    body = recording.answer
    assert CHAT.read_fault(json.dumps(body).encode(), {}).message == body["message"]
