"""Ollama's codecs over recorded traffic: nothing is lost between a body and the hub, and streams are their answers.

Left out is what Ollama recorded of its OpenAI-compatible surface and of `/api/generate`, which are not of this dialect.
What is compared is JSON in a normal form: null and what is empty count as absent, as the server reads them.
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
from gatewright.core.events import Event, Failure, Finish, fold
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.ollama import CHAT

pytestmark = pytest.mark.truth

assert CHAT.chat is not None
CODEC = CHAT.chat
CUTS = (1, 7, 64, 1_000_000_000)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def cases(member: str) -> pytest.MarkDecorator:
    is_case: Callable[[Recording], Any] = {
        "request": lambda each: each.request is not None,
        "body": lambda each: each.answer is not None and each.status == 200,
        "text": lambda each: bool(each.text) and each.status == 200,
    }[member]
    return recorded([each for each in of("ollama.chat") if is_case(each)])


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


def context(recording: Recording) -> StreamContext:
    request = decoded(recording.request)
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


@cases("request")
def test_requests_come_back(recording: Recording) -> None:
    body = recording.request
    again = json.loads(msgspec.json.encode(CODEC.encode_request(decoded(body), DEFAULT, LossReport("strict"))))
    assert normal(again) == normal({"stream": True} | body)


@cases("body")
def test_answers_come_back(recording: Recording) -> None:
    body = recording.answer
    response = CODEC.decode_response(json.dumps(body).encode())
    assert normal(json.loads(CODEC.encode_response(response, context(recording)))) == normal(body)
    model, usage = CHAT.read_answer(json.dumps(body).encode())
    assert model is not None
    assert json.loads(bytes(model)) == body["model"]
    assert usage == response.usage
    assert usage is None or usage.output_total == body.get("eval_count", 0)


@cases("text")
def test_streams_are_their_answers(recording: Recording) -> None:
    data = recording.text
    whole = events_of(data, CUTS[-1])
    assert [size for size in CUTS if events_of(data, size) != whole] == []
    found = fold(whole)
    assert found == CODEC.decode_response(json.dumps(answer_of(data), separators=(",", ":")).encode())
    encoder = CODEC.stream_encoder(context(recording))
    assert fold(events_of(encoder.encode(whole) + encoder.end(), CUTS[-1])) == found


@cases("text")
def test_streams_that_are_cut_fail(recording: Recording) -> None:
    data = recording.text.rstrip()
    last = data.rindex(b"\n")
    for length in (0, 1, last // 2, last, len(data) - 1):
        events = events_of(data[:length], 64)
        assert isinstance(events[-1], Failure)
        assert not any(isinstance(event, Finish) for event in events)
