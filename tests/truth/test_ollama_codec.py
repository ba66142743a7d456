"""Ollama's codecs over recorded traffic: nothing is lost between a body and the hub, and streams are their answers.

Left out is what Ollama recorded of its OpenAI-compatible surface and of `/api/generate`, which are not of this dialect.
What is compared is JSON in a normal form: null and what is empty count as absent, as the server reads them.
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
from gatewright.core.events import Event, Failure, Finish, fold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.ollama import CHAT

pytestmark = pytest.mark.truth

assert CHAT.chat is not None
CODEC = CHAT.chat
CUTS = (1, 7, 64, 1_000_000_000)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


@cache
def documents() -> tuple[tuple[str, dict[str, Any]], ...]:
    """`(path, recording)` of every exchange of `/api/chat`."""
    found = []
    for line in (FOLDER / "INDEX.jsonl").read_text().splitlines() if is_here() else ():
        row = json.loads(line)
        if row["provider"] != "ollama":
            continue
        document = json.loads((FOLDER / row["path"]).read_text())
        if urlsplit((document["request"] or {}).get("url", "")).path == "/api/chat":
            found.append((row["path"], document))
    return tuple(found)


def recorded(member: str) -> pytest.MarkDecorator:
    chosen = [
        pytest.param(document, id=path)
        for path, document in documents()
        if member == "request" or (member in document["response"] and document["response"]["status"] == 200)
    ]
    return pytest.mark.parametrize("document", chosen or [None], ids=None if chosen else ["none"])


def normal(value: Any, name: str = "") -> Any:
    """JSON as the server understands it; arguments of calls are the model's own."""
    if isinstance(value, dict) and name != "arguments":
        inner = {key: normal(member, key) for key, member in value.items()}
        return {key: member for key, member in inner.items() if member not in (None, "", {}, [])}
    if isinstance(value, list):
        return [normal(member) for member in value]
    return value


def decoded(body: dict[str, Any]) -> ChatRequest:
    return CODEC.decode_request(_fields.decode(json.dumps(body)), body["model"], body.get("stream") is not False)


def context(document: dict[str, Any]) -> StreamContext:
    request = decoded(document["request"]["body"])
    return StreamContext(request=request, response_id="r", created=0, report=LossReport())


def events_of(data: bytes, size: int) -> list[Event]:
    decoder = CODEC.stream_decoder()
    events = [event for start in range(0, len(data), size) for event in decoder.feed(data[start : start + size])]
    return events + decoder.end()


def answer_of(data: bytes) -> dict[str, Any]:
    """The complete answer that a stream makes, put together without the codec."""
    lines = [json.loads(line) for line in data.decode().splitlines() if line]
    answer: dict[str, Any] = lines[-1] | {"created_at": lines[0]["created_at"]}
    message = answer["message"]
    for slot in ("content", "thinking"):
        message[slot] = "".join(line["message"].get(slot) or "" for line in lines)
    message["tool_calls"] = [call for line in lines for call in line["message"].get("tool_calls") or ()]
    return answer


@recorded("request")
def test_requests_come_back(document: dict[str, Any]) -> None:
    body = document["request"]["body"]
    again = json.loads(msgspec.json.encode(CODEC.encode_request(decoded(body), DEFAULT, LossReport("strict"))))
    assert normal(again) == normal({"stream": True} | body)


@recorded("body")
def test_answers_come_back(document: dict[str, Any]) -> None:
    body = document["response"]["body"]
    response = CODEC.decode_response(json.dumps(body).encode())
    assert normal(json.loads(CODEC.encode_response(response, context(document)))) == normal(body)
    model, usage = CHAT.read_answer(json.dumps(body).encode())
    assert model is not None
    assert json.loads(bytes(model)) == body["model"]
    assert usage == response.usage
    assert usage is None or usage.output_total == body.get("eval_count", 0)


@recorded("text")
def test_streams_are_their_answers(document: dict[str, Any]) -> None:
    data = document["response"]["text"].encode()
    whole = events_of(data, CUTS[-1])
    assert [size for size in CUTS if events_of(data, size) != whole] == []
    found = fold(whole)
    assert found == CODEC.decode_response(json.dumps(answer_of(data), separators=(",", ":")).encode())
    encoder = CODEC.stream_encoder(context(document))
    assert fold(events_of(encoder.encode(whole) + encoder.end(), CUTS[-1])) == found


@recorded("text")
def test_streams_that_are_cut_fail(document: dict[str, Any]) -> None:
    data = document["response"]["text"].rstrip().encode()
    last = data.rindex(b"\n")
    for length in (0, 1, last // 2, last, len(data) - 1):
        events = events_of(data[:length], 64)
        assert isinstance(events[-1], Failure)
        assert not any(isinstance(event, Finish) for event in events)
