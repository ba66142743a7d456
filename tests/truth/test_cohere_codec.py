"""Cohere's codecs over recorded traffic: nothing is lost between a body and the hub, and streams are their answers.

Left out are calls of version 1 and of other APIs (tokenize, rerank), which are not of this dialect. What is compared
is JSON in a normal form: null counts as absent, one text as its string, `""` and `null` as no arguments, and what
the API assumes when it is not said is not said.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from tests.truth.recordings import FOLDER, is_here

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


@cache
def documents() -> tuple[tuple[str, str, dict[str, Any]], ...]:
    """`(path, surface, recording)` of every exchange of version 2."""
    found = []
    for line in (FOLDER / "INDEX.jsonl").read_text().splitlines() if is_here() else ():
        row = json.loads(line)
        if row["provider"] != "cohere" or row["surface"] not in ("chat", "embeddings"):
            continue
        document = json.loads((FOLDER / row["path"]).read_text())
        url = (document["request"] or {}).get("url")
        if url is not None and not urlsplit(url).path.endswith(("/v2/chat", "/v2/embed")):
            continue
        found.append((row["path"], row["surface"], document))
    return tuple(found)


def recorded(surface: str, *, has: str) -> pytest.MarkDecorator:
    chosen = []
    for path, kind, document in documents():
        response = document["response"]
        is_error = (response.get("status") or 200) != 200
        there = {
            "request": isinstance((document["request"] or {}).get("body"), dict),
            "body": isinstance(response.get("body"), dict) and not is_error,
            "text": "text" in response and not is_error,
            "error": is_error and isinstance(response.get("body"), dict),
        }
        if kind == surface and there[has]:
            chosen.append(pytest.param(document, id=path))
    return pytest.mark.parametrize("document", chosen or [None], ids=None if chosen else ["none"])


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


def context(document: dict[str, Any]) -> StreamContext:
    body = (document["request"] or {}).get("body")
    request = decoded(body) if body else ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="r", created=0, report=LossReport())


def framed(text: str) -> bytes:
    if text.startswith("{"):
        return "".join(f"data: {line}\n\n" for line in text.splitlines() if line).encode()
    return text.encode()


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


@recorded("chat", has="request")
def test_requests_come_back(document: dict[str, Any]) -> None:
    body = document["request"]["body"]
    report = LossReport("strict" if not body["messages"][-1]["role"] == "assistant" else "warn")
    again = json.loads(msgspec.json.encode(CODEC.encode_request(decoded(body), DEFAULT, report)))
    assert as_request(again) == as_request(body)


@recorded("chat", has="body")
def test_answers_come_back(document: dict[str, Any]) -> None:
    body = document["response"]["body"]
    response = CODEC.decode_response(json.dumps(body).encode())
    assert normal(json.loads(CODEC.encode_response(response, context(document)))) == normal(body)
    assert CHAT.read_answer(json.dumps(body).encode()) == (None, response.usage)
    tokens = body["usage"]["tokens"]
    assert response.usage is not None
    assert (response.usage.input_total, response.usage.output_total) == (
        tokens["input_tokens"],
        tokens["output_tokens"],
    )


@recorded("chat", has="text")
def test_streams_are_their_answers(document: dict[str, Any]) -> None:
    data = framed(document["response"]["text"])
    whole = events_of(data, CUTS[-1])
    assert [size for size in CUTS if events_of(data, size) != whole] == []
    found: ChatResponse = fold(whole)
    assert found == CODEC.decode_response(json.dumps(answer_of(data), separators=(",", ":")).encode())
    assert any(isinstance(event, Finish) for event in whole)
    encoder = CODEC.stream_encoder(context(document))
    assert fold(events_of(encoder.encode(whole) + encoder.end(), CUTS[-1])) == found


@recorded("chat", has="text")
def test_streams_that_are_cut_fail(document: dict[str, Any]) -> None:
    data = framed(document["response"]["text"])
    end = data.rindex(b'{"type":"message-end"')
    for length in (0, 1, end // 2, end, end + 20):
        events = events_of(data[:length], 64)
        assert isinstance(events[-1], Failure)
        assert not any(isinstance(event, Finish) for event in events)


@recorded("embeddings", has="request")
def test_embedding_requests_come_back(document: dict[str, Any]) -> None:
    body = document["request"]["body"]
    request = EMBEDDINGS.decode_request(_fields.decode(json.dumps(body)), body["model"])
    again = json.loads(msgspec.json.encode(EMBEDDINGS.encode_request(request, DEFAULT, LossReport("strict"))))
    assert as_request(again) == as_request(body)


@recorded("embeddings", has="body")
def test_embedding_answers_come_back(document: dict[str, Any]) -> None:
    body = document["response"]["body"]
    sent = (document["request"] or {}).get("body") or {"model": "m", "texts": []}
    request = EMBEDDINGS.decode_request(_fields.decode(json.dumps(sent)), sent["model"])
    response = EMBEDDINGS.decode_response(json.dumps(body).encode())
    assert json.loads(EMBEDDINGS.encode_response(response, request)) == body
    assert EMBED.read_answer(json.dumps(body).encode()) == (None, response.usage)


@recorded("embeddings", has="error")
def test_errors_are_read(document: dict[str, Any]) -> None:
    body = document["response"]["body"]
    assert CHAT.read_fault(json.dumps(body).encode(), {}).message == body["message"]
