from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.dialects.openai.chat.answers import context
from tests.unit.dialects.openai.chat.test_stream_encoder import ECHOES, response

from gatewright.core.chat import (
    Audio,
    Citation,
    Image,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Finish, TokenLogprob
from gatewright.core.usage import Usage
from gatewright.dialects.openai.chat.answer import decode_response, encode_response
from gatewright.dialects.openai.chat.read_message import MessageReader
from gatewright.dialects.openai.chat.words import extended
from gatewright.wire.json_object import JsonObject


def encode(answer: ChatResponse, **more: Any) -> dict[str, Any]:
    return msgspec.json.decode(encode_response(answer, context(**more)))  # type: ignore[no-any-return]


def answer(message: dict[str, Any], finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish, **more}],
    }


ANSWERS: list[dict[str, Any]] = [
    answer({"content": "a", "annotations": []}),
    answer({"content": ""}, ""),
    answer({"content": "a", "reasoning_content": "h"}),
    answer({"content": "a", "reasoning": "h"}, "eos", native_finish_reason="x"),
    answer(
        {"content": "a", "reasoning": "h", "reasoning_details": [{"type": "reasoning.text", "text": "h", "index": 0}]}
    ),
    answer({"refusal": "no"}),
    answer(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}, {"type": "text", "text": "a"}]}
    ),
    answer({"function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
    answer(
        {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, "tool_calls"
    ),
    answer({"tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "f", "input": "x"}}]}, "tool_calls"),
    answer({"content": "", "audio": {"id": "a", "data": "AAAA", "transcript": "t", "expires_at": 3}}),
    answer({"content": "a", "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}),
    answer({"content": "a"}, seed=3),
    {
        **answer({"content": "a"}),
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.1},
        "service_tier": "x",
    },
]


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items() if entry is not None}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


@pytest.mark.parametrize("body", ANSWERS)
def test_answers_of_hosts_go_through_the_hub(body: dict[str, Any]) -> None:
    assert plain(encode(decode_response(msgspec.json.encode(body)))) == body


@pytest.mark.parametrize("parts", ECHOES)
def test_what_must_come_back_comes_back_with_the_clients_next_request(parts: tuple[Part, ...]) -> None:
    message = encode(response(*parts))["choices"][0]["message"]
    body = JsonObject.parse(msgspec.json.encode({"messages": [message]}))
    assert MessageReader().read_all(body) == [Message(role="assistant", parts=parts)]


def test_an_answer_of_another_dialect() -> None:
    choice = Choice(
        parts=(
            Reasoning(text="h"),
            Text(text="ab"),
            Text(text="c", citations=(Citation(url="u", start=0, end=1),)),
            ToolCall(id="x", name="f", arguments="{}"),
            Refusal(text="no"),
            Audio(source=Source(data="AAAA")),
            Image(source=Source(url="u")),
            Native(dialect="another", kind="k", raw=msgspec.Raw(b"1")),
        ),
        finish=Finish(reason="tool_calls", native="tool_use", dialect="another"),
        logprobs=(TokenLogprob("a", -1.0),),
    )
    ask = context()
    found = msgspec.json.decode(
        encode_response(ChatResponse(id="", model="p", choices=(choice,), usage=Usage(input_total=4)), ask)
    )
    assert (found["id"], found["created"], found["model"]) == ("made-up", 1, "p")
    assert found["usage"]["prompt_tokens"] == 4
    (made,) = found["choices"]
    assert made["finish_reason"] == "tool_calls"
    assert made["logprobs"]["content"][0]["token"] == "a"
    message = made["message"]
    assert (message["content"], message["reasoning_content"], message["refusal"]) == ("abc", "h", "no")
    assert message["annotations"][0]["url_citation"]["start_index"] == 2
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert [loss.feature.value for loss in ask.report.entries] == ["vendor-hosted tools"]


def test_clients_of_functions_get_one() -> None:
    tools = (Tool(name="f", extra=extended(None, form="functions")),)
    call = ToolCall(id="x", name="f", arguments="{}")
    (made,) = encode(response(call, reason="tool_calls"), tools=tools)["choices"]
    assert made["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    assert made["finish_reason"] == "function_call"


def test_errors_under_status_200() -> None:
    body = msgspec.json.encode({"error": {"message": "m", "code": 429}, "choices": []})
    failure = decode_response(body).failure
    assert failure is not None
    assert failure.kind is Kind.UPSTREAM_RATE_LIMITED


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b'{"choices":[]}', b'{"choices":[{"message":5}]}', b'{"choices":[{"message":{"content":{}}}]}'],
)
def test_what_no_client_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
