from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import ChatRequest, NativeTool, ReasoningConfig, ResponseFormat, Tool, ToolChoice
from gatewright.core.errors import GatewayError
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.openai.chat.read_request import decode_request
from gatewright.dialects.openai.chat.write_request import encode_request

USER = {"role": "user", "content": "hi"}


def decode(stream: bool = False, **members: Any) -> ChatRequest:
    body = msgspec.json.encode({"messages": [USER], **members})
    return decode_request(msgspec.json.decode(body, type=dict[str, msgspec.Raw]), "m", stream)


def encode(request: ChatRequest) -> dict[str, Any]:
    members = encode_request(request, DEFAULT, LossReport("strict"))
    return msgspec.json.decode(msgspec.json.encode(members))  # type: ignore[no-any-return]


FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
ROUND_TRIPS: list[dict[str, Any]] = [
    {"temperature": 0.5, "top_p": 1.0, "n": 2, "seed": 7, "stop": ["a", "b"], "logit_bias": {"1": -1}},
    {"logprobs": True, "top_logprobs": 3, "frequency_penalty": 0.1, "presence_penalty": 0.2, "top_k": 4},
    {"tools": [{"type": "function", "function": FUNCTION}], "tool_choice": "auto", "parallel_tool_calls": False},
    {"tools": [{"type": "function", "function": {**FUNCTION, "x": 1}, "cache_control": {"type": "ephemeral"}}]},
    {"tools": [{"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}]},
    {"tools": [{"type": "openrouter:web_search", "parameters": {}}]},
    {"functions": [FUNCTION], "function_call": {"name": "f"}},
    {"functions": [FUNCTION], "function_call": "auto"},
    {"tool_choice": "any"},
    {"tool_choice": {"type": "function", "function": {"name": "f"}}},
    {"tool_choice": {"type": "custom", "custom": {"name": "f"}}},
    {
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        }
    },
    {"tool_choice": {"type": "web_search"}},
    {"response_format": {"type": "json_object"}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}}},
    {"response_format": {"type": "grammar", "grammar": "x"}},
    {"reasoning_effort": "low"},
    {"reasoning_effort": "max"},
    {"reasoning": {"effort": "high", "exclude": True}},
    {"thinking": {"type": "enabled", "clear_thinking": False}, "reasoning_effort": "high"},
    {"metadata": {"a": "b"}, "user": "u", "store": True, "service_tier": "flex", "prompt_cache_key": "k"},
    {"metadata": {"a": 1}},
    {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}, "verbosity": "low"},
    {"max_completion_tokens": 5, "max_tokens": 6},
    {"prediction": {"type": "content"}, "web_search_options": {}, "provider": {"order": ["a"]}},
]


@pytest.mark.parametrize("members", ROUND_TRIPS, ids=lambda members: "+".join(members))
def test_members_go_through_the_hub(members: dict[str, Any]) -> None:
    assert encode(decode(**members)) == {"model": "m", "messages": [USER], **members}


def test_streams_ask_for_usage_and_keep_the_other_options() -> None:
    request = decode(stream=True, stream_options={"include_obfuscation": False})
    assert request.stream
    assert not request.include_usage
    assert encode(request)["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    assert decode(stream=True, stream_options={"include_usage": True}).include_usage
    assert "stream" not in encode(decode())


def test_shared_meanings_are_typed() -> None:
    request = decode(
        tools=[{"function": {"name": "f"}}, {"type": "code", "x": 1}],
        tool_choice={"type": "function", "function": {"name": "f"}},
        response_format={"type": "json_schema", "json_schema": {"name": "n"}},
        thinking={"type": "disabled"},
        max_tokens=9,
        stop="x",
    )
    assert request.tools[0] == Tool(name="f")
    assert isinstance(request.tools[1], NativeTool)
    assert isinstance(request.tool_choice, ToolChoice)
    assert (request.tool_choice.mode, request.tool_choice.name) == ("named", "f")
    assert request.response_format == ResponseFormat(kind="json_schema", name="n")
    assert isinstance(request.reasoning, ReasoningConfig)
    assert request.reasoning.is_enabled is False
    assert request.max_output_tokens == 9
    assert request.sampling.stop == ("x",)


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"temperature": "hot"}, "temperature"),
        ({"n": 1.5}, "n"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"tools": [{"function": {}}]}, "tools[0].function.name"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"stream_options": []}, "stream_options"),
        ({"stop": [1]}, "stop"),
    ],
)
def test_wrong_shapes_name_their_place(members: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert caught.value.param == path


def test_a_last_message_of_the_assistant_is_no_loss_here() -> None:
    encode(decode(messages=[USER, {"role": "assistant", "content": "I"}]))
