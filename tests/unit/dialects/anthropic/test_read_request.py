"""A client's request in the hub's terms."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gatewright.core.chat import (
    CacheMark,
    ChatRequest,
    Extension,
    Message,
    NativeTool,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.anthropic.read_request import decode_request
from gatewright.dialects.anthropic.vocabulary import NAME

OWN = Extension(NAME, {})
HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}


def read(body: Any) -> ChatRequest:
    fields = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, Raw])
    return decode_request(fields, "claude", bool(body.get("stream")))


def test_everything_has_its_place() -> None:
    request = read(
        HELLO
        | {
            "model": "ignored: the caller names it",
            "stream": True,
            "max_tokens": 100,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "stop_sequences": ["###"],
            "metadata": {"user_id": "u1"},
            "service_tier": "standard_only",
            "cache_control": {"type": "ephemeral", "ttl": "1h"},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
            "tools": [
                {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, "type": "custom"},
                {"type": "web_search_20250305", "name": "web_search"},
            ],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        }
    )
    assert request == ChatRequest(
        model="claude",
        stream=True,
        max_output_tokens=100,
        messages=(
            Message(role="system", parts=(Text(text="Be brief.", cache=CacheMark()),)),
            Message(role="user", parts=(Text(text="Hello"),)),
        ),
        sampling=Sampling(temperature=0.5, top_p=0.9, top_k=40, stop=("###",)),
        user="u1",
        service_tier="default",
        cache=CacheMark("1h"),
        response_format=ResponseFormat(kind="json_schema", schema=Raw(b'{"type":"object"}'), extra=OWN),
        tools=(
            Tool(name="f", description="d", parameters=Raw(b'{"type":"object"}'), strict=True),
            NativeTool(
                dialect=NAME,
                kind="web_search_20250305",
                raw=Raw(b'{"type":"web_search_20250305","name":"web_search"}'),
            ),
        ),
        tool_choice=ToolChoice(mode="required"),
        parallel_tool_calls=False,
    )


def test_what_nobody_else_knows_is_kept() -> None:
    request = read(
        HELLO
        | {
            "container": "c",
            "metadata": {"user_id": "u", "x": 1},
            "output_config": {"effort": "low", "task_budget": {"total": 5}},
            "thinking": None,
        }
    )
    assert request.extra == Extension(
        NAME,
        {
            "container": Raw(b'"c"'),
            "metadata": Raw(b'{"x":1}'),
            "output_config": Raw(b'{"task_budget":{"total":5}}'),
        },
    )
    assert request.user == "u"
    assert request.reasoning is not None
    assert request.reasoning.effort == "low"


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(mode="auto"), None),
        ({"type": "none"}, ToolChoice(mode="none"), None),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ToolChoice(mode="named", name="f"), True),
        ({"type": "auto", "x": 1}, ToolChoice(mode="auto", extra=Extension(NAME, {"x": Raw(b"1")})), None),
    ],
)
def test_tool_choices(choice: Any, expected: ToolChoice, parallel: bool | None) -> None:
    request = read(HELLO | {"tool_choice": choice})
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


def test_messages_of_every_role_and_form() -> None:
    request = read(
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}]},
                {"role": "assistant", "content": "b", "x": 1},
                {"role": "system", "content": "c"},
            ]
        }
    )
    assert request.messages == (
        Message(role="user", parts=(Text(text="a"),)),
        Message(role="assistant", parts=(Text(text="b"),), extra=Extension(NAME, {"x": Raw(b"1")})),
        Message(role="system", parts=(Text(text="c"),)),
    )


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        (HELLO | {"max_tokens": "many"}, "max_tokens"),
        (HELLO | {"system": 7}, "system"),
        (HELLO | {"tools": [{"input_schema": {}}]}, "tools[0].name"),
        (HELLO | {"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        (HELLO | {"tool_choice": {"type": "some"}}, "tool_choice.type"),
        (HELLO | {"tool_choice": "auto"}, "tool_choice"),
        (HELLO | {"stop_sequences": "x"}, "stop_sequences"),
        (HELLO | {"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        (HELLO | {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        (HELLO | {"metadata": {"user_id": 7}}, "metadata.user_id"),
        (HELLO | {"thinking": {"budget_tokens": 7}}, "thinking.type"),
    ],
)
def test_wrong_shapes_are_named(body: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "text", "user", "tool_use", "custom", "base64"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "text", "role", "content", "source", "input", "id", "name", "tool_use_id", "data"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, derandomize=True)
@given(
    body=st.dictionaries(st.sampled_from(["messages", "system", "tools", "thinking", "tool_choice"]), JSON, max_size=4)
)
def test_no_body_is_too_odd(body: Any) -> None:
    caught = None
    try:
        read({"messages": []} | body)
    except GatewayError as error:
        caught = error
    assert caught is None or caught.kind is Kind.MALFORMED_REQUEST
