"""The hub's request as a Messages request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    CacheMark,
    ChatRequest,
    Extension,
    Message,
    NativeTool,
    ReasoningConfig,
    ResponseFormat,
    Sampling,
    Text,
    Tool,
    ToolChoice,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.vocabulary import DEFAULT_MAX_TOKENS, JSON_TOOL, NAME
from gatewright.dialects.anthropic.write_request import encode_request

APPROXIMATED, DROPPED, REFUSED = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED
HELLO = (Message(role="user", parts=(Text(text="Hello"),)),)
SCHEMA = Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
CLOSED = Raw(b'{"type":"object","properties":{},"additionalProperties":false}')
TOOL = Tool(name="f", parameters=SCHEMA)
LIMITED = Traits(max_output_tokens=8192)
OLD = Traits(max_output_tokens=8192, has_json_schema=False)


def write(traits: Traits = LIMITED, **members: Any) -> tuple[dict[str, Any], list[tuple[Feature, Outcome]]]:
    report = LossReport("permissive")
    body = encode_request(ChatRequest(**{"model": "claude", "messages": HELLO} | members), traits, report)
    return msgspec.json.decode(msgspec.json.encode(body)), [(loss.feature, loss.outcome) for loss in report.entries]


def test_the_least() -> None:
    body, losses = write()
    assert body == {
        "model": "claude",
        "max_tokens": 8192,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
    }
    assert losses == []
    assert write(stream=True)[0]["stream"] is True


@pytest.mark.parametrize(
    ("wanted", "ceiling", "written", "told"),
    [
        (100, 8192, 100, []),
        (100, None, 100, []),
        (None, 8192, 8192, []),
        (None, None, DEFAULT_MAX_TOKENS, [(Feature.MAX_TOKENS, APPROXIMATED)]),
        (9000, 8192, 8192, [(Feature.MAX_TOKENS, APPROXIMATED)]),
    ],
)
def test_there_is_always_a_limit(wanted: Any, ceiling: Any, written: int, told: list[Any]) -> None:
    body, losses = write(Traits(max_output_tokens=ceiling), max_output_tokens=wanted)
    assert (body["max_tokens"], losses) == (written, told)


def test_system_prompts_are_as_short_as_they_can_be() -> None:
    system = Message(role="system", parts=(Text(text="s"),))
    assert write(messages=(system, *HELLO))[0]["system"] == "s"
    marked = Message(role="system", parts=(Text(text="s", cache=CacheMark()),))
    assert write(messages=(marked, *HELLO))[0]["system"] == [
        {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
    ]


def test_tools() -> None:
    tools = (
        Tool(name="f", description="d", parameters=SCHEMA, strict=True, cache=CacheMark()),
        Tool(name="g", strict=False),
        Tool(name="h", parameters=Raw(b'{"properties":{}}'), extra=Extension(NAME, {"defer_loading": Raw(b"true")})),
        NativeTool(dialect=NAME, kind="bash_20250124", raw=Raw(b'{"type":"bash_20250124","name":"bash"}')),
    )
    body, losses = write(tools=tools)
    assert body["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": msgspec.json.decode(SCHEMA),
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"name": "h", "input_schema": {"type": "object", "properties": {}}, "defer_loading": True},
        {"type": "bash_20250124", "name": "bash"},
    ]
    assert losses == []


@pytest.mark.parametrize(
    ("tool", "feature", "outcome", "count"),
    [
        (Tool(name="f", is_custom=True), Feature.CUSTOM_TOOLS, REFUSED, 0),
        (Tool(name="a.b"), Feature.TOOLS, REFUSED, 0),
        (NativeTool(dialect="openai.responses", kind="web_search", raw=Raw(b"{}")), Feature.NATIVE_TOOLS, REFUSED, 0),
    ],
)
def test_tools_of_others(tool: Tool | NativeTool, feature: Feature, outcome: Outcome, count: int) -> None:
    body, losses = write(tools=(tool,))
    assert len(body.get("tools", [])) == count
    assert losses == [(feature, outcome)]


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="auto"), None, {"type": "auto"}),
        (ToolChoice(mode="required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="named", name="f"), None, {"type": "tool", "name": "f"}),
        (ToolChoice(mode="none"), False, {"type": "none"}),
    ],
)
def test_tool_choices(choice: ToolChoice | None, parallel: bool | None, written: Any) -> None:
    body, losses = write(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=parallel)
    assert (body.get("tool_choice"), losses) == (written, [])


def test_choices_without_tools() -> None:
    body, losses = write(tool_choice=ToolChoice(mode="auto"), parallel_tool_calls=False)
    assert ("tool_choice" in body, losses) == (False, [])
    body, losses = write(tool_choice=ToolChoice(mode="required"))
    assert ("tool_choice" in body, losses) == (False, [(Feature.TOOL_CHOICE_REQUIRED, REFUSED)])


def test_of_allowed_tools_only_these_are_sent() -> None:
    choice = ToolChoice(mode="required", allowed=("g",))
    body, losses = write(tools=(TOOL, Tool(name="g")), tool_choice=choice)
    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert losses == [(Feature.TOOL_CHOICE_ALLOWED, APPROXIMATED)]


def test_schemas_of_others_are_closed_and_its_own_are_not() -> None:
    body, losses = write(response_format=ResponseFormat(kind="json_schema", schema=SCHEMA))
    assert body["output_config"]["format"]["schema"]["additionalProperties"] is False
    assert losses == [(Feature.JSON_SCHEMA, APPROXIMATED)]
    body, losses = write(response_format=ResponseFormat(kind="json_schema", schema=SCHEMA, extra=Extension(NAME, {})))
    assert body["output_config"]["format"]["schema"] == msgspec.json.decode(SCHEMA)
    assert losses == []


def test_json_schema_as_the_api_has_it() -> None:
    format_ = ResponseFormat(kind="json_schema", name="n", schema=CLOSED, strict=True, description="d")
    body, losses = write(
        response_format=format_,
        reasoning=ReasoningConfig(effort="low"),
        traits=Traits(max_output_tokens=8192, has_adaptive_reasoning=True),
    )
    assert body["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": msgspec.json.decode(CLOSED)},
    }
    assert losses == [(Feature.JSON_SCHEMA, DROPPED)]


@pytest.mark.parametrize(
    ("tools", "choice", "written"),
    [
        ((), None, {"type": "tool", "name": JSON_TOOL}),
        ((TOOL,), None, {"type": "any"}),
        ((TOOL,), ToolChoice(mode="auto"), {"type": "any"}),
        ((TOOL,), ToolChoice(mode="none"), {"type": "tool", "name": JSON_TOOL}),
    ],
)
def test_a_tool_stands_in_for_json_schema(tools: Any, choice: ToolChoice | None, written: Any) -> None:
    format_ = ResponseFormat(kind="json_schema", schema=SCHEMA)
    body, losses = write(OLD, response_format=format_, tools=tools, tool_choice=choice)
    assert body["tool_choice"] == written
    assert body["tools"][-1]["name"] == JSON_TOOL
    assert body["tools"][-1]["input_schema"] == msgspec.json.decode(SCHEMA)
    assert losses == [(Feature.JSON_SCHEMA, APPROXIMATED)]
    assert "output_config" not in body


def test_where_no_tool_can_stand_in() -> None:
    array = ResponseFormat(kind="json_schema", schema=Raw(b'{"type":"array"}'))
    assert write(OLD, response_format=array)[1] == [(Feature.JSON_SCHEMA, REFUSED)]
    format_ = ResponseFormat(kind="json_schema", schema=SCHEMA)
    body, losses = write(OLD, response_format=format_, tools=(TOOL,), tool_choice=ToolChoice(mode="named", name="f"))
    assert (len(body["tools"]), losses) == (1, [(Feature.JSON_SCHEMA, DROPPED)])


def test_json_mode_is_asked_for_in_words() -> None:
    body, losses = write(response_format=ResponseFormat(kind="json"))
    assert "JSON" in body["system"]
    assert losses == [(Feature.JSON_MODE, APPROXIMATED)]
    assert write(response_format=ResponseFormat(kind="text")) == write()


def test_thinking_changes_what_it_must() -> None:
    body, losses = write(
        reasoning=ReasoningConfig(effort="low"), max_output_tokens=4000, sampling=Sampling(temperature=0.3)
    )
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert "temperature" not in body
    assert losses == [(Feature.REASONING_EFFORT, APPROXIMATED), (Feature.TEMPERATURE, DROPPED)]
    body, losses = write(
        reasoning=ReasoningConfig(effort="low"), tools=(TOOL,), tool_choice=ToolChoice(mode="required")
    )
    assert "thinking" not in body
    assert body["tool_choice"] == {"type": "any"}
    assert (Feature.REASONING_EFFORT, DROPPED) in losses


def test_extensions_go_home_alone() -> None:
    members = {"container": Raw(b'"c"'), "metadata": Raw(b'{"x":1}'), "output_config": Raw(b'{"task_budget":{}}')}
    body, losses = write(extra=Extension(NAME, members), user="u")
    assert body["container"] == "c"
    assert body["metadata"] == {"user_id": "u", "x": 1}
    assert body["output_config"] == {"task_budget": {}}
    assert losses == []
    body, losses = write(extra=Extension("openai.chat", {"prediction": Raw(b"{}")}))
    assert ("prediction" in body, losses) == (False, [(Feature.VENDOR, DROPPED)])


def test_no_more_than_four_marks_leave() -> None:
    parts = tuple(Text(text=str(number), cache=CacheMark()) for number in range(5))
    body, losses = write(messages=(Message(role="user", parts=parts),), cache=CacheMark())
    assert [("cache_control" in block) for block in body["messages"][0]["content"]] == [False, False, True, True, True]
    assert "cache_control" in body
    assert losses == [(Feature.CACHE_MARK, DROPPED)] * 2


def test_hosts_differ() -> None:
    traits = Traits(max_output_tokens=9, unsupported=frozenset(("top_k",)), renames={"max_tokens": "limit"})
    body, losses = write(traits, sampling=Sampling(top_k=3))
    assert "top_k" not in body
    assert body["limit"] == 9
    assert losses == [(Feature.TOP_K, DROPPED)]


def test_fidelity_is_kept() -> None:
    request = ChatRequest(model="m", messages=HELLO, sampling=Sampling(n=2))
    with pytest.raises(GatewayError) as caught:
        encode_request(request, LIMITED, LossReport())
    assert (caught.value.kind, caught.value.param) == (Kind.UNSUPPORTED_FEATURE, "sampling.n")
