from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import ChatRequest, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Event, Failure, Finish, TokenLogprob, fold, unfold
from gatewright.core.loss import LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.openai.completions.answer import (
    CompletionDecoder,
    CompletionEncoder,
    decode_response,
    encode_response,
)

LOGPROBS = {
    "tokens": ["a", "b"],
    "token_logprobs": [None, -0.5],
    "top_logprobs": [None, {"b": -0.5}],
    "text_offset": [0, 1],
}


def context(*, include_usage: bool = True) -> StreamContext:
    request = ChatRequest(model="p", messages=(), include_usage=include_usage)
    return StreamContext(request=request, response_id="made-up", created=1, report=LossReport())


def answer(text: str, finish: str | None = "stop", index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"text": text, "index": index, "finish_reason": finish, **more}
    choice = {name: value for name, value in choice.items() if value is not None}
    return {"id": "c", "object": "text_completion", "created": 3, "model": "m", "choices": [choice]}


def decode(data: bytes, size: int = 1_000_000) -> list[Event]:
    decoder = CompletionDecoder()
    events: list[Event] = []
    for at in range(0, len(data), size):
        events += decoder.feed(data[at : at + size])
    return events + decoder.end()


def stream(*chunks: Any, done: bool = True) -> bytes:
    events = [b"data: " + msgspec.json.encode(chunk) + b"\n\n" for chunk in chunks]
    return b"".join(events) + (b"data: [DONE]\n\n" if done else b"")


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items() if entry is not None}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "body",
    [
        answer("a"),
        answer("", "length"),
        answer("ab", "stop", logprobs=LOGPROBS),
        answer("a", None, log_probs=[1]),
        {**answer("a"), "usage": {"prompt_tokens": 1, "completion_tokens": 1, "x": 2}, "system_fingerprint": "f"},
    ],
)
def test_answers_go_through_the_hub(body: dict[str, Any]) -> None:
    written = msgspec.json.decode(encode_response(decode_response(msgspec.json.encode(body)), context()))
    assert plain(written) == plain(body)


@pytest.mark.parametrize("size", [1, 7, 1_000_000])
def test_streams(size: int) -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    data = stream(
        answer("He", None),
        answer("llo", None),
        answer("x", None, 1),
        answer("", "stop"),
        answer("", "length", 1),
        usage,
    )
    response = fold(decode(data, size))
    assert [choice.parts for choice in response.choices] == [(Text(text="Hello"),), (Text(text="x"),)]
    assert [choice.finish and choice.finish.reason for choice in response.choices] == ["stop", "length"]
    assert response.usage == Usage(input_total=1, output_total=2)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (stream(answer("a", None), done=False), Kind.UPSTREAM_CUT),
        (b"data: [DONE]\n\n", Kind.UPSTREAM_BAD_RESPONSE),
        (stream(answer("a", None), {"error": {"message": "m", "code": 429}}), Kind.UPSTREAM_RATE_LIMITED),
    ],
)
def test_failures(data: bytes, kind: Kind) -> None:
    last = decode(data)[-1]
    assert isinstance(last, Failure)
    assert last.kind is kind


def test_what_another_dialect_says() -> None:
    parts = (Reasoning(text="h"), Text(text="a"), Refusal(text="b"), ToolCall(id="1", name="f", arguments="{}"))
    finish = Finish(reason="tool_calls", native="tool_use", dialect="another")
    choice = Choice(parts=parts, finish=finish, logprobs=(TokenLogprob("a", -1.0), TokenLogprob("b", -2.0)))
    response = ChatResponse(id="r", model="m", choices=(choice,), usage=Usage(input_total=1))
    for ask in (context(), context(include_usage=False)):
        encoder = CompletionEncoder(ask)
        data = b"".join([encoder.encode([event]) for event in unfold(response)]) + encoder.end()
        again = fold(decode(data))
        assert again.choices[0].parts == (Text(text="ab"),)
        assert again.choices[0].finish is not None
        assert again.choices[0].finish.native == "stop"
        assert again.choices[0].logprobs == choice.logprobs
        assert (again.usage is not None) is ask.request.include_usage
        assert len(ask.report.entries) == 2
    ask = context()
    (whole,) = msgspec.json.decode(encode_response(response, ask))["choices"]
    assert (whole["text"], whole["finish_reason"], whole["logprobs"]["text_offset"]) == ("ab", "stop", [0, 1])
    assert len(ask.report.entries) == 2


def test_a_failure_is_no_end() -> None:
    told = CompletionEncoder(context()).fail(GatewayError(Kind.UPSTREAM_CUT, "it broke off"), "req")
    assert b'"error"' in told
    assert b"[DONE]" not in told


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[]}', b'{"choices":[{"text":5}]}', b'{"choices":[5]}'])
def test_what_no_client_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
    failure = decode_response(b'{"error":{"message":"m"}}').failure
    assert failure is not None
