from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import Audio, ChatRequest, Native, Opaque, Part, Reasoning, Refusal, Source, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Finish, TokenLogprob
from gatewright.core.loss import Feature, LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.cohere.response import decode_response, encode_response

CALL = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
ANSWER: dict[str, Any] = {
    "id": "c14c80c3-18eb-4519-9460-6c92edd8cfb4",
    "finish_reason": "COMPLETE",
    "message": {"role": "assistant", "content": [{"type": "text", "text": "LLMs stand for many words."}]},
    "usage": {
        "billed_units": {"input_tokens": 5, "output_tokens": 418},
        "tokens": {"input_tokens": 71, "output_tokens": 418},
        "cached_tokens": 64,
    },
}


def context() -> StreamContext:
    request = ChatRequest(model="published", messages=())
    return StreamContext(request=request, response_id="r1", created=1_700_000_000, report=LossReport("strict"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"finish_reason": "MAX_TOKENS", "new": [1]},
        {"finish_reason": "STOP_SEQUENCE", "logprobs": [{"text": "a", "token_ids": [1], "logprobs": [-0.5]}]},
        {"finish_reason": "TOOL_CALL", "message": {"role": "assistant", "tool_plan": "I will.", "tool_calls": [CALL]}},
        {
            "message": {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}],
                "citations": [
                    {"start": 0, "end": 1, "text": "a", "sources": [], "content_index": 1, "type": "TEXT_CONTENT"},
                    {"start": 0, "end": 1, "text": "H", "sources": [], "content_index": 0, "type": "THINKING_CONTENT"},
                ],
                "new": 1,
            }
        },
    ],
)
def test_answers_come_back(changes: dict[str, Any]) -> None:
    answer = ANSWER | changes
    response = decode_response(msgspec.json.encode(answer))
    assert msgspec.json.decode(encode_response(response, context())) == answer


def test_what_the_hub_knows_is_read() -> None:
    message = {"tool_plan": "p", "content": [{"type": "text", "text": "a"}], "tool_calls": [CALL]}
    response = decode_response(msgspec.json.encode(ANSWER | {"message": message, "logprobs": [{"text": "a"}]}))
    assert response.id == ANSWER["id"]
    assert response.usage == Usage(input_total=71, input_cached_read=64, output_total=418)
    (choice,) = response.choices
    assert [type(part) for part in choice.parts] == [Reasoning, Text, ToolCall]
    assert choice.logprobs == (TokenLogprob("a", 0.0),)
    assert choice.finish is not None
    assert (choice.finish.reason, choice.finish.native) == ("tool_calls", "COMPLETE")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"finish_reason": "ERROR"}, Kind.UPSTREAM_FAILED, "it ended with ERROR"),
        ({"finish_reason": "ERROR", "error": "no capacity"}, Kind.UPSTREAM_FAILED, "no capacity"),
        ({"finish_reason": "TIMEOUT"}, Kind.UPSTREAM_TIMEOUT, "it ended with TIMEOUT"),
    ],
)
def test_failures_inside_a_good_answer(changes: dict[str, Any], kind: Kind, message: str) -> None:
    response = decode_response(msgspec.json.encode(ANSWER | changes))
    assert response.failure is not None
    assert (response.failure.kind, response.failure.message) == (kind, message)
    assert response.choices[0].finish is None
    assert msgspec.json.decode(encode_response(response, context()))["finish_reason"] == "ERROR"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"message":7}',
        b'{"message":{"content":7}}',
        b'{"message":{"content":[{"type":7}]}}',
        b'{"message":{"tool_calls":[{}]}}',
        b'{"message":{"citations":[7],"content":"a"}}',
        b'{"message":{},"logprobs":[7]}',
        b'{"message":{"tool_plan":"\xff"}}',
        b'{"message":{},"finish_reason":7}',
    ],
)
def test_answers_nobody_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def written(*parts: Part, **members: Any) -> tuple[dict[str, Any], list[Feature]]:
    around = context()
    response = ChatResponse(id="", model="published", choices=(Choice(parts=parts, **members),))
    body = encode_response(response, around)
    return msgspec.json.decode(body), [loss.feature for loss in around.report.entries]


def test_answers_of_others() -> None:
    body, losses = written(
        Reasoning(text="Hm."),
        Text(text="a"),
        ToolCall(id="t1", name="f", arguments=""),
        finish=Finish(reason="tool_calls", native="tool_use", dialect="x"),
        logprobs=(TokenLogprob("a", -0.5),),
    )
    assert losses == []
    assert body == {
        "id": "r1",
        "message": {
            "role": "assistant",
            "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}],
            "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        "finish_reason": "TOOL_CALL",
        "logprobs": [{"text": "a", "token_ids": [], "logprobs": [-0.5]}],
    }


@pytest.mark.parametrize(
    ("part", "content", "feature"),
    [
        (Refusal(text="no"), [{"type": "text", "text": "no"}], Feature.REFUSAL),
        (
            Reasoning(text="t", signature=Opaque("x", "s")),
            [{"type": "thinking", "thinking": "t"}],
            Feature.REASONING_REPLAY,
        ),
        (Reasoning(encrypted=Opaque("x", "s")), None, Feature.REASONING_REPLAY),
        (Native(dialect="x", kind="k", raw=Raw(b"{}")), None, Feature.NATIVE_TOOLS),
        (Audio(source=Source(data="AAAA")), None, Feature.MEDIA_OUTPUT),
        (ToolCall(id="a", name="f", arguments="x", is_custom=True), None, Feature.CUSTOM_TOOLS),
    ],
)
def test_what_is_lost_is_told(part: Part, content: Any, feature: Feature) -> None:
    body, losses = written(part)
    assert body["message"].get("content") == content
    assert losses == [feature]


def test_there_is_one_answer() -> None:
    around = context()
    encode_response(ChatResponse(id="", model="m", choices=(Choice(), Choice(index=1))), around)
    assert [loss.feature for loss in around.report.entries] == [Feature.N]
