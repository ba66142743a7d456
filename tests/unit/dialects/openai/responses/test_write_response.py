"""Complete answers of the Responses API, written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response

from gatewright.core.chat import ChatRequest, Reasoning, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import Kind
from gatewright.core.events import ChatResponse, Choice, Failure, Finish, TokenLogprob
from gatewright.core.loss import LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.openai.responses.read_response import decode_response
from gatewright.dialects.openai.responses.write_response import encode_response


def encode(response: ChatResponse) -> Any:
    request = ChatRequest(model="assistant", messages=())
    context = StreamContext(request=request, response_id="resp_77", created=5, report=LossReport("strict"))
    return json.loads(encode_response(response, context))


TOKEN = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
TEXT: dict[str, Any] = {"type": "output_text", "text": "a", "annotations": []}
SAID = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [TEXT]}
OWN: dict[str, Any] = {
    "id": "b7-uuid",
    "object": "response",
    "created_at": 7,
    "model": "m",
    "status": "completed",
    "output": [SAID],
    "metadata": {},
    "tools": [],
    "x_only_here": {"a": 1.50},
}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"output": [SAID, {**SAID, "id": "m2", "phase": "commentary", "content": [TEXT, TEXT]}]},
        {"output": [{**SAID, "content": [{**TEXT, "logprobs": []}, {**TEXT, "logprobs": [TOKEN]}, TEXT]}]},
        {"output": [{"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}}]},
        {"output": [{"type": "reasoning", "id": "r", "summary": [], "encrypted_content": "E", "content": []}, SAID]},
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        {"status": "queued", "output": [], "background": True},
        {"status": "failed", "output": [], "error": {"code": "server_error", "message": "m", "param": "p"}},
        {
            "usage": {
                "input_tokens": 1,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 2,
                "total_tokens": 3,
            }
        },
    ],
)
def test_own_answers_come_back(members: Any) -> None:
    answer = {**OWN, **members}
    written = encode(decode_response(json.dumps(answer).encode()))
    assert {name: value for name, value in written.items() if value is not None} == answer


def test_answers_of_other_dialects_are_what_the_sdk_wants() -> None:
    parts = (Reasoning(text="t"), Text(text="hello"), ToolCall(id="c1", name="f", arguments='{"a":1}'))
    choice = Choice(parts=parts, finish=Finish(reason="tool_calls"), logprobs=(TokenLogprob("hello", -0.1),))
    written = encode(
        ChatResponse(id="chatcmpl-1", model="m", choices=(choice,), usage=Usage(input_total=3, output_total=4))
    )
    answer = Response.model_validate(written)
    assert answer.model_extra == {"store": False}
    assert (answer.output_text, answer.id, answer.created_at, answer.status) == ("hello", "resp_77", 5.0, "completed")
    assert [getattr(item, "id", "")[:3] for item in answer.output] == ["rs_", "msg", "fc_"]
    assert answer.usage is not None
    assert answer.usage.total_tokens == 7
    [_, message, _] = written["output"]
    assert message["content"][0]["logprobs"][0]["token"] == "hello"


def test_failures_are_failed_answers() -> None:
    failure = Failure(kind=Kind.UPSTREAM_FAILED, message="no", code=None)
    written = encode(ChatResponse(id="", model="m", failure=failure))
    assert written["status"] == "failed"
    assert written["error"] == {"code": "server_error", "message": "no"}
    Response.model_validate(written)


def test_thoughts_of_another_dialect_are_marked_as_such() -> None:
    choice = Choice(parts=(Reasoning(text="t"),), finish=Finish(reason="stop"))
    [item] = encode(ChatResponse(id="", model="m", choices=(choice,)))["output"]
    assert item["encrypted_content"] == "gatewright.none:"
    assert item["content"] == [{"type": "reasoning_text", "text": "t"}]
