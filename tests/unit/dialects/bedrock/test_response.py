"""Complete answers, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.dialects.bedrock.exchanges import context, losses

from gatewright.core.chat import Image, Opaque, Reasoning, Refusal, Source, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Finish, FinishReason
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME
from gatewright.dialects.bedrock.read_blocks import OWN
from gatewright.dialects.bedrock.response import decode_response, encode_response

USAGE = {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}


def answer(*content: Any, stop: str = "end_turn", **members: Any) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop,
        "usage": USAGE,
        "metrics": {"latencyMs": 12},
        **members,
    }


def read(body: dict[str, Any]) -> ChatResponse:
    return decode_response(json.dumps(body).encode())


def finish(body: dict[str, Any]) -> Finish:
    found = read(body).choices[0].finish
    assert found is not None
    return found


CALL = {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}
JSON = {"toolUse": {"toolUseId": "t", "name": JSON_TOOL, "input": {"a": 1}}}


def test_an_answer_is_read() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
    response = read(answer(thought, {"text": "Hi"}, CALL, stop="tool_use"))
    assert response.choices == (
        Choice(
            parts=(
                Reasoning(text="hm", signature=Opaque(NAME, "s"), extra=OWN),
                Text(text="Hi"),
                ToolCall(id="t", name="f", arguments='{"a": 1}'),
            ),
            finish=Finish(reason="tool_calls", native="tool_use", dialect=NAME),
        ),
    )
    assert response.usage == Usage(input_total=5, output_total=3)
    assert (response.id, response.model) == ("", "")


@pytest.mark.parametrize(
    "body",
    [
        answer({"text": "Hi"}),
        answer({"text": ""}),
        answer(CALL, {"newBlock": {}}, stop="new_reason"),
        answer({"text": "Hi"}, additionalModelResponseFields={"stop_sequence": "X"}, stop="stop_sequence"),
        answer({"text": "Hi"}, trace={"guardrail": {}}, serviceTier={"type": "flex"}, newMember=[1]),
        answer({"reasoningContent": {"redactedContent": "AAAA"}}),
        {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"},
    ],
)
def test_answers_come_back(body: dict[str, Any]) -> None:
    report = LossReport()
    assert json.loads(encode_response(read(body), context(report))) == body
    assert not report.entries


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "error"),
        ("malformed_tool_use", "error"),
        ("something_new", "stop"),
    ],
)
def test_reasons(word: str, reason: FinishReason) -> None:
    assert finish(answer({"text": "Hi"}, stop=word)) == Finish(reason=reason, native=word, dialect=NAME)


def test_a_call_finishes_as_one_whatever_the_word() -> None:
    assert finish(answer(CALL, stop="end_turn")).reason == "tool_calls"
    assert finish(answer(CALL, stop="max_tokens")).reason == "length"


def test_the_tool_that_is_the_answer() -> None:
    response = read(answer(JSON, stop="tool_use"))
    assert response.choices[0].parts == (Text(text='{"a": 1}'),)
    assert finish(answer(JSON, stop="tool_use")) == Finish(reason="stop", dialect=NAME)
    assert json.loads(encode_response(response, context()))["stopReason"] == "end_turn"
    assert finish(answer(JSON, CALL, stop="tool_use")).reason == "tool_calls"


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (Finish(reason="stop", native="stop", dialect="openai.chat"), "end_turn"),
        (Finish(reason="stop", stop_sequence="X", dialect="anthropic.messages"), "stop_sequence"),
        (Finish(reason="length"), "max_tokens"),
        (Finish(reason="tool_calls"), "tool_use"),
        (Finish(reason="content_filter"), "content_filtered"),
        (Finish(reason="pause"), "end_turn"),
        (Finish(reason="error"), "malformed_model_output"),
        (None, "end_turn"),
    ],
)
def test_reasons_of_others(made: Finish | None, word: str) -> None:
    response = ChatResponse(id="", model="", choices=(Choice(parts=(Text(text="a"),), finish=made),))
    assert json.loads(encode_response(response, context()))["stopReason"] == word


def test_an_answer_of_another_vendor() -> None:
    report = LossReport()
    parts = (Refusal(text="no"), Image(source=Source(url="https://a/b.png")))
    response = ChatResponse(
        id="chatcmpl-1",
        model="m",
        choices=(Choice(parts=parts, finish=Finish(reason="stop")), Choice(index=1)),
        usage=Usage(input_total=2, output_total=1),
    )
    assert json.loads(encode_response(response, context(report))) == {
        "output": {"message": {"role": "assistant", "content": [{"text": "no"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 2, "outputTokens": 1, "totalTokens": 3},
        "metrics": {"latencyMs": 0},
    }
    assert losses(report) == [
        (Feature.N, Outcome.DROPPED, "choices"),
        (Feature.REFUSAL, Outcome.APPROXIMATED, "choices[0].parts[0]"),
        (Feature.MEDIA_OUTPUT, Outcome.DROPPED, "choices[0].parts[1]"),
    ]
    assert json.loads(encode_response(ChatResponse(id="", model=""), context()))["output"]["message"]["content"] == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"output":{}}', b'{"output":{"message":{"content":[{"text":1}]}}}', b"\xff"]
)
def test_answers_nobody_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
