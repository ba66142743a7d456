"""Requests of the Responses API, read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Native, Opaque, Reasoning, Text, ToolCall, ToolResult
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, refuse_bound
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_request import decode_request

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
SAID = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}


def decode(**members: Any) -> ChatRequest:
    body = json.dumps({"model": "m", **members}).encode()
    return decode_request(msgspec.json.decode(body, type=dict[str, Raw]), "m", False)


def shape(request: ChatRequest) -> list[Any]:
    return [(message.role, [type(part).__name__ for part in message.parts]) for message in request.messages]


def test_instructions_are_the_first_system_message() -> None:
    request = decode(instructions="be brief", input="hi")
    assert [(message.role, message.parts) for message in request.messages] == [
        ("system", (Text(text="be brief"),)),
        ("user", (Text(text="hi"),)),
    ]


def test_what_the_model_made_in_a_row_is_one_message() -> None:
    user = {"role": "user", "content": "q"}
    items = [user, THOUGHT, SAID, CALL, {**CALL, "call_id": "c2"}, RESULT, THOUGHT, SAID, user]
    assert shape(decode(input=items)) == [
        ("user", ["Text"]),
        ("assistant", ["Reasoning", "Text", "ToolCall", "ToolCall"]),
        ("user", ["ToolResult"]),
        ("assistant", ["Reasoning", "Text"]),
        ("user", ["Text"]),
    ]


def test_calls_and_results_are_linked_by_call_id() -> None:
    assistant, user = decode(input=[CALL, RESULT]).messages
    [call], [result] = assistant.parts, user.parts
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.id == result.call_id == "c1"
    assert result.content == (Text(text="42"),)
    assert not result.is_custom


def test_results_may_hold_parts_and_free_text_tools_have_their_own() -> None:
    output = [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "https://x"}]
    [message] = decode(input=[{"type": "custom_tool_call_output", "call_id": "c", "output": output}]).messages
    [result] = message.parts
    assert isinstance(result, ToolResult)
    assert result.is_custom
    assert [type(part).__name__ for part in result.content] == ["Text", "Image"]


@pytest.mark.parametrize(
    ("item", "role"),
    [
        ({"type": "web_search_call", "id": "ws"}, "assistant"),
        ({"type": "compaction", "encrypted_content": "x"}, "assistant"),
        ({"type": "shell_call_output", "call_id": "c", "output": []}, "user"),
        ({"type": "mcp_approval_response", "approval_request_id": "a", "approve": True}, "user"),
        ({"type": "additional_tools", "role": "developer", "tools": []}, "developer"),
        ({"type": "item_reference", "id": "x"}, "user"),
    ],
)
def test_items_only_this_dialect_knows(item: Any, role: str) -> None:
    [message] = decode(input=[item]).messages
    [part] = message.parts
    assert isinstance(part, Native)
    assert (message.role, part.dialect, json.loads(bytes(part.raw))) == (role, NAME, item)


def test_a_carried_signature_returns_to_the_part_before() -> None:
    signature = {"type": "reasoning", "summary": [], "encrypted_content": "gatewright.google+previous:G"}
    [message] = decode(input=[CALL, signature, CALL]).messages
    first, second = message.parts
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert (first.signature, second.signature) == (Opaque("google", "G"), None)
    assert shape(decode(input=[signature])) == []  # nothing stands before it


def test_a_carried_signature_of_thoughts() -> None:
    item = {**THOUGHT, "summary": [{"type": "summary_text", "text": "t"}]}
    [message] = decode(input=[{**item, "encrypted_content": "gatewright.anthropic.messages:S"}]).messages
    [part] = message.parts
    assert isinstance(part, Reasoning)
    assert (part.text, part.signature) == ("t", Opaque("anthropic.messages", "S"))


def test_members_have_their_places() -> None:
    request = decode(
        input="x",
        max_output_tokens=9,
        temperature=0.5,
        top_p=1,
        top_logprobs=2,
        parallel_tool_calls=False,
        metadata={"a": "b"},
        service_tier="flex",
        store=False,
        prompt_cache_key="k",
        user="u",
        text={"verbosity": "low", "format": {"type": "json_object"}},
        reasoning={"effort": "low"},
        tool_choice="none",
        include=["message.output_text.logprobs", "reasoning.encrypted_content", "x.y"],
        truncation="auto",
    )
    assert (request.max_output_tokens, request.verbosity, request.parallel_tool_calls) == (9, "low", False)
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.top_logprobs) == (0.5, 1.0, 2)
    assert (request.sampling.logprobs, request.wants_encrypted_reasoning) == (True, True)
    assert (request.user, request.cache_key, request.service_tier, request.store) == ("u", "k", "flex", False)
    assert request.metadata == {"a": "b"}
    assert request.response_format is not None
    assert request.response_format.kind == "json"
    assert request.extra is not None
    assert request.extra.members.keys() == {"truncation", "include"}


def test_the_safety_identifier_names_the_user_too() -> None:
    assert decode(input="x", safety_identifier="s").user == "s"
    assert decode(input="x", safety_identifier="s", user="u").user == "u"


@pytest.mark.parametrize(
    ("members", "paths"),
    [
        ({"previous_response_id": "resp_1"}, ["previous_response_id"]),
        ({"conversation": {"id": "c"}}, ["conversation"]),
        ({"input": None, "conversation": "c"}, ["conversation"]),
        ({"prompt": {"id": "p"}, "background": True}, ["prompt", "background"]),
        ({"input": [{"type": "item_reference", "id": "x"}]}, ["input[0]"]),
        ({"background": False, "previous_response_id": None}, []),
    ],
)
def test_state_at_the_vendor_binds_the_request_to_it(members: Any, paths: list[str]) -> None:
    request = decode(**{"input": "x", **members})
    report = LossReport("permissive")
    refuse_bound(request, NAME, report)
    assert report.entries == []
    refuse_bound(request, "openai.chat", report)
    assert [(loss.feature, loss.path) for loss in report.entries] == [(Feature.STATE, path) for path in paths]


def test_the_refusal_says_what_to_send() -> None:
    with pytest.raises(GatewayError, match=r"send all of it as `input`, with `store: false`") as caught:
        refuse_bound(decode(input="x", previous_response_id="r"), "anthropic.messages", LossReport())
    assert caught.value.param == "previous_response_id"


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({}, "input"),
        ({"input": None, "instructions": "x"}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": "x", "instructions": 5}, "instructions"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "tools": [{}]}, "tools[0].type"),
        ({"input": "x", "tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"input": "x", "text": {"format": {}}}, "text.format.type"),
        ({"input": "x", "temperature": "hot"}, "temperature"),
        ({"input": "x", "include": "all"}, "include"),
    ],
)
def test_wrong_members_are_named(members: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)
