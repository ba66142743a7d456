from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.call_ids import is_made_up
from gatewright.core.chat import (
    Audio,
    ChatRequest,
    Citation,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
)
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Finish, TokenLogprob
from gatewright.core.loss import Feature, LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.ollama.response import decode_response, encode_response

ANSWER: dict[str, Any] = {
    "model": "gemma3",
    "created_at": "2025-10-17T23:14:07.414671Z",
    "message": {"role": "assistant", "content": "Hello!"},
    "done": True,
    "done_reason": "stop",
    "total_duration": 174560334,
    "load_duration": 101397084,
    "prompt_eval_count": 11,
    "prompt_eval_duration": 13074791,
    "eval_count": 18,
    "eval_duration": 52479709,
}


def context() -> StreamContext:
    request = ChatRequest(model="published", messages=())
    return StreamContext(request=request, response_id="r1", created=1_700_000_000, report=LossReport("strict"))


def changed(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in (ANSWER | members).items() if value is not None}


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER,
        changed(done_reason=None),
        changed(done_reason="length", prompt_eval_count=None),
        changed(message={"role": "assistant", "content": "a", "thinking": "b", "new": [1]}, remote_model="x"),
        changed(
            message={
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}],
            }
        ),
        changed(
            logprobs=[
                {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.5}]},
            ]
        ),
        changed(message={"role": "assistant", "content": "", "images": ["iVBORw0KGgo="]}),
    ],
)
def test_answers_come_back(answer: dict[str, Any]) -> None:
    response = decode_response(msgspec.json.encode(answer))
    assert msgspec.json.decode(encode_response(response, context())) == answer


def test_what_the_hub_knows_is_read() -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}]
    answer = changed(message={"content": "a", "thinking": "b", "tool_calls": calls})
    response = decode_response(msgspec.json.encode(answer))
    assert (response.id, response.model, response.created) == ("", "gemma3", 1_760_742_847)
    assert response.usage == Usage(input_total=11, output_total=18)
    (choice,) = response.choices
    thought, text, call = choice.parts
    assert isinstance(thought, Reasoning)
    assert isinstance(text, Text)
    assert isinstance(call, ToolCall)
    assert (thought.text, text.text, call.name) == ("b", "a", "f")
    assert is_made_up(call.id)
    assert choice.finish is not None
    assert (choice.finish.reason, choice.finish.native) == ("tool_calls", "stop")


def test_calls_of_two_answers_have_two_ids() -> None:
    calls = [{"function": {"name": "f", "arguments": {}}}]
    ids = {
        part.id
        for moment in ("2025-10-17T23:14:07.1Z", "2025-10-17T23:14:07.2Z")
        for part in decode_response(msgspec.json.encode(changed(created_at=moment, message={"tool_calls": calls})))
        .choices[0]
        .parts
        if isinstance(part, ToolCall)
    }
    assert len(ids) == 2


def test_failures_inside_a_good_answer() -> None:
    failure = decode_response(b'{"error":"out of memory"}').failure
    assert failure is not None
    assert (failure.kind, failure.message) == (Kind.UPSTREAM_FAILED, "out of memory")
    failure = decode_response(msgspec.json.encode(changed(done=False))).failure
    assert failure is not None
    assert failure.kind is Kind.UPSTREAM_CUT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"message":7}',
        b'{"message":{"content":7}}',
        b'{"message":{"tool_calls":[{}]}}',
        b'{"message":{},"logprobs":[{}]}',
        b'{"message":{},"done":"yes"}',
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":"\xff"}}]}}',
    ],
)
def test_answers_nobody_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def written(*parts: Part, **members: Any) -> tuple[dict[str, Any], list[Feature]]:
    around = context()
    response = ChatResponse(id="x", model="published", choices=(Choice(parts=parts, **members),))
    body = encode_response(response, around)
    return msgspec.json.decode(body), [loss.feature for loss in around.report.entries]


def test_answers_of_others() -> None:
    body, losses = written(
        Text(text="a"), ToolCall(id="t1", name="f", arguments=""), finish=Finish(reason="tool_calls", native="x")
    )
    assert losses == []
    assert body == {
        "model": "published",
        "created_at": "2023-11-14T22:13:20Z",
        "message": {
            "role": "assistant",
            "content": "a",
            "tool_calls": [{"id": "t1", "function": {"name": "f", "arguments": {}}}],
        },
        "done": True,
        "done_reason": "stop",
    }


@pytest.mark.parametrize(
    ("part", "message", "feature"),
    [
        (Text(text="a", citations=(Citation(),)), {"content": "a"}, Feature.CITATIONS),
        (Refusal(text="no"), {"content": "no"}, Feature.REFUSAL),
        (Reasoning(text="t", signature=Opaque("x", "s")), {"thinking": "t"}, Feature.REASONING_REPLAY),
        (Native(dialect="x", kind="k", raw=Raw(b"{}")), {}, Feature.NATIVE_TOOLS),
        (Audio(source=Source(data="AAAA")), {}, Feature.MEDIA_OUTPUT),
        (Image(source=Source(url="https://a.example/b")), {}, Feature.MEDIA_OUTPUT),
    ],
)
def test_what_is_lost_is_told(part: Part, message: dict[str, Any], feature: Feature) -> None:
    body, losses = written(part)
    assert body["message"] == {"role": "assistant", "content": "", **message}
    assert losses == [feature]


def test_several_texts_are_one() -> None:
    body, _ = written(Text(text="a"), Reasoning(text="b"), Text(text="c"), Reasoning(text="d"))
    assert body["message"] == {"role": "assistant", "content": "ac", "thinking": "bd"}


def test_log_probabilities_of_others() -> None:
    body, _ = written(Text(text="a"), logprobs=(TokenLogprob("a", -0.5),))
    assert body["logprobs"] == [{"token": "a", "logprob": -0.5}]
