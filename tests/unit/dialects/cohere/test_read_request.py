from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import ChatRequest, Image, NativeTool, ReasoningConfig, Text, Tool, ToolChoice, ToolResult
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.cohere.read_request import decode_request
from gatewright.dialects.cohere.write_request import encode_request

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
ASK = {"role": "user", "content": "u"}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CALL = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
DOCUMENT = {"type": "document", "document": {"id": "d", "data": {"temperature": 20}}}


def read(body: dict[str, Any]) -> ChatRequest:
    return decode_request(_fields.decode(msgspec.json.encode(body)), "m", body.get("stream") is True)


def written(request: ChatRequest) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_request(request, DEFAULT, LossReport("strict"))))


@pytest.mark.parametrize(
    "members",
    [
        {"messages": [{"role": "system", "content": "s"}, ASK], "stream": True},
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                        {"type": "image_url", "image_url": {"url": "https://a.example/b.png", "new": 1}},
                        {"type": "new", "x": 1},
                    ],
                }
            ]
        },
        {
            "messages": [
                ASK,
                {"role": "assistant", "tool_plan": "I will.", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "f_1", "content": [DOCUMENT, {"type": "text", "text": "t"}]},
                {
                    "role": "assistant",
                    "content": "It is 20.",
                    "citations": [{"start": 6, "end": 8, "text": "20", "sources": []}],
                    "new": 1,
                },
                ASK,
            ],
            "tools": [TOOL, {"type": "hosted"}],
            "strict_tools": True,
            "tool_choice": "REQUIRED",
        },
        {"messages": [ASK], "tools": [TOOL], "tool_choice": "NONE", "strict_tools": False},
        {
            "messages": [ASK],
            "max_tokens": 9,
            "temperature": 0.5,
            "p": 0.9,
            "k": 40,
            "seed": 7,
            "frequency_penalty": 0.1,
            "stop_sequences": ["a"],
            "logprobs": True,
        },
        {
            "messages": [ASK],
            "documents": ["d", {"data": {"a": 1}, "id": "x"}],
            "citation_options": {"mode": "FAST"},
            "safety_mode": "STRICT",
            "priority": 3,
        },
        {"messages": [ASK], "response_format": {"type": "json_object"}, "thinking": {"type": "disabled"}},
        {
            "messages": [ASK],
            "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
            "thinking": {"type": "enabled", "token_budget": 100, "new": 1},
        },
        {"messages": [ASK], "response_format": {"type": "text"}, "thinking": {"type": "enabled"}},
    ],
)
def test_requests_come_back(members: dict[str, Any]) -> None:
    body = {"model": "m", **members}
    assert written(read(body)) == body


def test_content_of_users_and_tools() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}
    plain = {"type": "image_url", "image_url": "https://a.example/b.png"}
    result = {"role": "tool", "tool_call_id": "c", "content": [DOCUMENT]}
    string = {"role": "tool", "tool_call_id": "c", "content": [{"type": "document", "document": {"data": "words"}}]}
    request = read({"messages": [{"role": "user", "content": [image, plain]}, result, string]})
    first, second = request.messages[0].parts
    assert isinstance(first, Image)
    assert isinstance(second, Image)
    assert (first.source.media_type, first.source.data, first.detail) == ("image/png", "AAAA", "low")
    assert second.source.url == "https://a.example/b.png"
    texts = []
    for message in request.messages[1:]:
        (part,) = message.parts
        assert isinstance(part, ToolResult)
        assert part.call_id == "c"
        texts += [inner.text for inner in part.content if isinstance(inner, Text)]
    assert texts == ['{"temperature":20}', "words"]


def test_what_the_hub_knows_is_read() -> None:
    request = read({"messages": [ASK], "tools": [TOOL, {"type": "x"}], "strict_tools": True, "tool_choice": "NONE"})
    first, second = request.tools
    assert isinstance(first, Tool)
    assert (first.name, first.description, first.strict) == ("f", "d", True)
    assert isinstance(second, NativeTool)
    assert request.tool_choice == ToolChoice(mode="none")
    request = read({"messages": [ASK], "thinking": {"type": "enabled", "token_budget": 5}, "p": 0.5, "k": 3})
    assert request.reasoning == ReasoningConfig(is_enabled=True, budget_tokens=5)
    assert (request.sampling.top_p, request.sampling.top_k) == (0.5, 3)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({}, "messages"),
        ({"messages": [{"content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        ({"messages": [ASK], "tool_choice": "AUTO"}, "tool_choice"),
        ({"messages": [ASK], "tools": [{}]}, "tools[0].function"),
        ({"messages": [ASK], "tools": [{"function": {}}]}, "tools[0].function.name"),
        ({"messages": [ASK], "response_format": {"type": "xml"}}, "response_format.type"),
        ({"messages": [ASK], "thinking": {"type": "often"}}, "thinking.type"),
        ({"messages": [ASK], "k": "a"}, "k"),
    ],
)
def test_wrong_members_are_named(members: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(members)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)
