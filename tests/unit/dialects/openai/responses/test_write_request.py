"""Requests of the Responses API, written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    CacheMark,
    ChatRequest,
    Extension,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    ReasoningConfig,
    Role,
    Sampling,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_request import decode_request
from gatewright.dialects.openai.responses.write_request import encode_request

DROPPED, REFUSED, NEARLY = Outcome.DROPPED, Outcome.REFUSED, Outcome.APPROXIMATED
OWN = Opaque(NAME, "E")
CLAUDE = Opaque("anthropic.messages", "S")


def encode(request: ChatRequest, traits: Traits = DEFAULT) -> tuple[Any, list[tuple[Feature, Outcome, str]]]:
    report = LossReport("permissive")
    written = json.loads(msgspec.json.encode(encode_request(request, traits, report)))
    return written, [(loss.feature, loss.outcome, loss.path) for loss in report.entries]


def there_and_back(body: dict[str, Any]) -> Any:
    fields = msgspec.json.decode(json.dumps(body).encode(), type=dict[str, Raw])
    request = decode_request(fields, body["model"], bool(body.get("stream")))
    return json.loads(msgspec.json.encode(encode_request(request, DEFAULT, LossReport("strict"))))


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "E"}
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "f",
    "arguments": '{"a":1}',
    "status": "completed",
}
RESULT = {"type": "function_call_output", "call_id": "c1", "output": "42"}
SAID = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "phase": "final_answer",
    "content": [{"type": "output_text", "text": "hi", "annotations": [], "logprobs": []}],
}


@pytest.mark.parametrize(
    "members",
    [
        {"input": "hi"},
        {"input": "hi", "instructions": "be brief", "stream": True},
        {"input": [{"role": "user", "content": "hi"}]},
        {"input": [{"type": "message", "role": "developer", "content": "hi", "id": "m", "x": 1}]},
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}
            ]
        },
        {
            "input": [
                THOUGHT,
                SAID,
                THOUGHT,
                CALL,
                RESULT,
                {**RESULT, "output": [{"type": "input_file", "file_id": "f"}]},
            ]
        },
        {"input": [{**THOUGHT, "encrypted_content": None}, SAID]},
        {"input": [{"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}]},
        {"input": [{"type": "custom_tool_call_output", "call_id": "c", "output": "y", "id": "z"}]},
        {
            "input": [
                {"type": "web_search_call", "id": "w"},
                {"type": "shell_call_output", "call_id": "c", "output": []},
            ]
        },
        {"input": [{"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"input": "hi", "include": []},
        {"input": "hi", "include": ["reasoning.encrypted_content", "web_search_call.action.sources"]},
        {"input": "hi", "include": ["message.output_text.logprobs"], "top_logprobs": 3},
        {"input": "hi", "text": {"format": {"type": "text"}, "verbosity": "low", "x": 1}},
        {"input": "hi", "previous_response_id": "r", "conversation": "c", "background": True, "prompt": {"id": "p"}},
        {"input": "hi", "user": "u", "safety_identifier": "s"},
        {"input": "hi", "safety_identifier": "s", "metadata": {"a": 5}, "max_tool_calls": 3, "truncation": "auto"},
        {"input": "hi", "reasoning": {}, "tools": [{"type": "function", "name": "f"}], "tool_choice": "auto"},
        {"input": [], "instructions": "only these", "prompt_cache_key": "k", "store": True, "service_tier": "flex"},
    ],
)
def test_own_requests_come_back_without_loss(members: dict[str, Any]) -> None:
    body = {"model": "m", **members}
    expected = json.loads(json.dumps(body), object_hook=lambda o: {k: v for k, v in o.items() if v is not None})
    assert there_and_back(body) == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([THOUGHT, SAID, CALL, RESULT, {"role": "user", "content": "q"}]), max_size=12))
def test_any_order_of_items_comes_back(items: list[Any]) -> None:
    assert there_and_back({"model": "m", "input": items}) == {"model": "m", "input": items}


def user(*parts: Part, role: Role = "user") -> Message:
    return Message(role=role, parts=parts)


def test_a_request_of_another_dialect() -> None:
    request = ChatRequest(
        model="m",
        messages=(
            user(Text(text="be brief"), role="system"),
            user(Text(text="q")),
            user(Text(text="let me see"), ToolCall(id="c1", name="f", arguments="{}"), role="assistant"),
            user(ToolResult(call_id="c1", content=(Text(text="42"),)), Text(text="and?")),
        ),
        tools=(Tool(name="f", parameters=Raw(b'{"type":"object"}')),),
        tool_choice=ToolChoice(mode="auto", allowed=("f",)),
        max_output_tokens=9,
        stream=True,
    )
    assert encode(request) == (
        {
            "model": "m",
            "input": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "let me see"},
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "42"},
                {"role": "user", "content": "and?"},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
            "max_output_tokens": 9,
            "store": False,
            "stream": True,
        },
        [],
    )


def one(**members: Any) -> ChatRequest:
    return ChatRequest(model="m", messages=members.pop("messages", (user(Text(text="q")),)), **members)


@pytest.mark.parametrize(
    ("request_", "losses"),
    [
        (one(sampling=Sampling(stop=("x",))), [(Feature.STOP, REFUSED, "sampling.stop")]),
        (one(sampling=Sampling(n=2)), [(Feature.N, REFUSED, "sampling.n")]),
        (one(sampling=Sampling(n=1, temperature=0.0)), []),
        (one(sampling=Sampling(logit_bias=Raw(b"{}"))), [(Feature.LOGIT_BIAS, DROPPED, "sampling.logit_bias")]),
        (
            one(sampling=Sampling(top_k=1, seed=2)),
            [(Feature.TOP_K, DROPPED, "sampling.top_k"), (Feature.SEED, DROPPED, "sampling.seed")],
        ),
        (one(sampling=Sampling(presence_penalty=1.0)), [(Feature.PENALTIES, DROPPED, "sampling.presence_penalty")]),
        (one(modalities=("text", "audio")), [(Feature.MODALITIES, REFUSED, "modalities")]),
        (one(cache=CacheMark()), [(Feature.CACHE_MARK, DROPPED, "cache")]),
        (one(extra=Extension("openai.chat", {"x": Raw(b"1")})), [(Feature.VENDOR, DROPPED, "x")]),
        (
            one(messages=(Message(role="user", name="bo", parts=(Text(text="q"),)),)),
            [(Feature.MESSAGE_NAME, DROPPED, "messages[0].name")],
        ),
        (
            one(messages=(user(Text(text="So"), role="assistant"),)),
            [(Feature.PREFILL, NEARLY, "messages[0]")],
        ),
        (
            one(messages=(user(ToolResult(call_id="c", is_error=True, cache=CacheMark())),)),
            [
                (Feature.TOOL_RESULT_ERROR, NEARLY, "messages[0].parts[0]"),
                (Feature.CACHE_MARK, DROPPED, "messages[0].parts[0]"),
            ],
        ),
        (
            one(messages=(user(Native(dialect="google", kind="k", raw=Raw(b"{}")), role="assistant"), user())),
            [(Feature.NATIVE_TOOLS, DROPPED, "messages[0].parts[0]")],
        ),
        (
            one(messages=(user(Audio(source=Source(data="A")), role="assistant"), user())),
            [(Feature.MEDIA_OUTPUT, DROPPED, "messages[0].parts[0]")],
        ),
        (
            one(
                messages=(
                    user(
                        ToolCall(id="c", name="f", arguments="{}", signature=CLAUDE, cache=CacheMark()),
                        role="assistant",
                    ),
                    user(),
                )
            ),
            [
                (Feature.REASONING_REPLAY, DROPPED, "messages[0].parts[0]"),
                (Feature.CACHE_MARK, DROPPED, "messages[0].parts[0]"),
            ],
        ),
    ],
)
def test_what_the_api_lacks_is_told(request_: ChatRequest, losses: Any) -> None:
    assert encode(request_)[1] == losses


@pytest.mark.parametrize(
    ("thoughts", "kept"),
    [
        ((Reasoning(encrypted=OWN),), [{"type": "reasoning", "summary": [], "encrypted_content": "E"}]),
        ((Reasoning(text="t", signature=OWN),), None),
        ((Reasoning(text="t", is_summary=True), Reasoning(encrypted=OWN)), None),
        ((Reasoning(text="t"),), []),
        ((Reasoning(text="t", signature=CLAUDE),), []),
        ((Reasoning(text="t"), Reasoning(encrypted=CLAUDE)), []),
    ],
)
def test_only_thoughts_that_were_issued_here_go_back(thoughts: tuple[Part, ...], kept: Any) -> None:
    written, losses = encode(one(messages=(user(*thoughts, Text(text="a"), role="assistant"), user(Text(text="q")))))
    items = [item for item in written["input"] if item.get("type") == "reasoning"]
    if kept is None:
        assert len(items) == 1
        assert items[0]["encrypted_content"] == "E"
        assert losses == []
    else:
        assert items == kept
        assert {loss[0] for loss in losses} == (set() if kept else {Feature.REASONING_REPLAY})
    assert (written.get("include") == ["reasoning.encrypted_content"]) == bool(items)
    assert "t" not in [item.get("content") for item in written["input"]]  # never as visible text


def test_a_host_that_wants_thoughts_back_gets_them() -> None:
    message = user(Reasoning(text="t"), Text(text="a"), role="assistant")
    written, _ = encode(one(messages=(message, user(Text(text="q")))), Traits(replays_reasoning=True))
    assert written["input"][0] == {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "t"}],
    }


@pytest.mark.parametrize(
    ("members", "include"),
    [
        ({}, None),
        ({"reasoning": ReasoningConfig(effort="low")}, ["reasoning.encrypted_content"]),
        ({"reasoning": ReasoningConfig(effort="none")}, None),
        ({"sampling": Sampling(logprobs=True)}, ["message.output_text.logprobs"]),
        ({"wants_encrypted_reasoning": True}, ["reasoning.encrypted_content"]),
    ],
)
def test_what_is_asked_for_beside_the_answer(members: Any, include: Any) -> None:
    assert encode(one(**members))[0].get("include") == include


@pytest.mark.parametrize(
    ("traits", "role", "written"),
    [
        (Traits(has_developer_role=False), "developer", "system"),
        (Traits(has_system_role=False), "system", "developer"),
        (DEFAULT, "developer", "developer"),
    ],
)
def test_roles_the_host_lacks(traits: Traits, role: Role, written: str) -> None:
    assert encode(one(messages=(user(Text(text="a"), role=role),)), traits)[0]["input"][0]["role"] == written


def test_long_ids_stay_linked() -> None:
    call = ToolCall(id="c" * 99, name="f", arguments="{}")
    messages = (user(call, role="assistant"), user(ToolResult(call_id="c" * 99)))
    first, second = encode(one(messages=messages))[0]["input"]
    assert first["call_id"] == second["call_id"] != "c" * 99
