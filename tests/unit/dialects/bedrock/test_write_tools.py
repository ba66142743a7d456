"""Tools and tool choice in Converse's terms."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import asked, encoded, losses

from gatewright.core.chat import (
    CacheMark,
    Message,
    NativeTool,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.names import JSON_TOOL
from gatewright.dialects.bedrock.write_tools import write_tools

TOOL = Tool(name="f", description="Does.", parameters=msgspec.Raw(b'{"type":"object"}'))
SPEC = {"toolSpec": {"name": "f", "description": "Does.", "inputSchema": {"json": {"type": "object"}}}}
HISTORY = (
    Message(role="user", parts=(Text(text="Hi"),)),
    Message(role="assistant", parts=(ToolCall(id="t", name="g.h", arguments="{}"),)),
    Message(role="user", parts=(ToolResult(call_id="t", content=(Text(text="ok"),)),)),
)
APPROXIMATED, DROPPED, REFUSED = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED


def test_tools() -> None:
    bare = Tool(name="g", description="", strict=False, cache=CacheMark("1h"))
    assert encoded(asked(tools=(TOOL, bare)))["toolConfig"] == {
        "tools": [
            SPEC,
            {"toolSpec": {"name": "g", "inputSchema": {"json": {"type": "object", "properties": {}}}, "strict": False}},
            {"cachePoint": {"type": "default", "ttl": "1h"}},
        ]
    }


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice(mode="auto"), {"auto": {}}),
        (ToolChoice(mode="required"), {"any": {}}),
        (ToolChoice(mode="named", name="f"), {"tool": {"name": "f"}}),
        (ToolChoice(mode="named", name="a.b"), {"tool": {"name": "gwx-a-2Eb"}}),
        (None, None),
    ],
)
def test_choices(choice: ToolChoice | None, written: Any) -> None:
    config = encoded(asked(tools=(TOOL,), tool_choice=choice))["toolConfig"]
    assert config.get("toolChoice") == written
    report = LossReport("permissive")
    assert write_tools(asked(tool_choice=choice), Traits(), report) == {}
    is_demand = choice is not None and choice.mode != "auto"
    assert [loss.feature for loss in report.entries] == ([Feature.TOOL_CHOICE_REQUIRED] if is_demand else [])


def test_no_tools_are_offered_when_none_may_be_called() -> None:
    assert "toolConfig" not in encoded(asked(tools=(TOOL,), tool_choice=ToolChoice(mode="none")))


def test_tools_stay_when_the_history_needs_them() -> None:
    report = LossReport()
    body = encoded(asked(messages=HISTORY, tools=(TOOL,), tool_choice=ToolChoice(mode="none")), report)
    assert body["toolConfig"] == {"tools": [SPEC]}
    assert losses(report) == [(Feature.TOOL_CHOICE_NONE, APPROXIMATED, "tool_choice")]


def test_tools_of_the_history_are_defined() -> None:
    report = LossReport()
    body = encoded(asked(messages=HISTORY), report)
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "gwx-g-2Eh", "inputSchema": {"json": {"type": "object"}}}}]
    }
    assert body["messages"][1]["content"][0]["toolUse"]["name"] == "gwx-g-2Eh"
    assert losses(report) == [(Feature.TOOLS, APPROXIMATED, "tools")]


def test_only_the_allowed_tools_are_offered() -> None:
    report = LossReport()
    choice = ToolChoice(mode="required", allowed=("f",))
    body = encoded(asked(tools=(TOOL, Tool(name="g")), tool_choice=choice), report)
    assert body["toolConfig"] == {"tools": [SPEC], "toolChoice": {"any": {}}}
    assert losses(report) == [(Feature.TOOL_CHOICE_ALLOWED, APPROXIMATED, "tool_choice.allowed")]


@pytest.mark.parametrize(
    ("tool", "loss"),
    [
        (
            NativeTool(dialect="openai.responses", kind="web_search", raw=msgspec.Raw(b"{}")),
            (Feature.NATIVE_TOOLS, REFUSED, "tools[1]"),
        ),
        (Tool(name="x", is_custom=True), (Feature.CUSTOM_TOOLS, REFUSED, "tools[1]")),
    ],
)
def test_tools_converse_cannot_offer_are_refused(tool: Tool | NativeTool, loss: Any) -> None:
    report = LossReport("permissive")
    assert encoded(asked(tools=(TOOL, tool)), report)["toolConfig"] == {"tools": [SPEC]}
    assert losses(report) == [loss]


def test_names_too_long_to_come_back_are_refused() -> None:
    report = LossReport("permissive")
    body = encoded(asked(tools=(Tool(name="mcp.server/" + "x" * 80),)), report)
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", body["toolConfig"]["tools"][0]["toolSpec"]["name"])
    assert losses(report) == [(Feature.TOOLS, REFUSED, "tools[0].name")]


def test_the_switch_for_parallel_calls_is_dropped() -> None:
    report = LossReport()
    encoded(asked(tools=(TOOL,), parallel_tool_calls=False), report)
    assert losses(report) == [(Feature.PARALLEL_TOOLS, DROPPED, "parallel_tool_calls")]
    encoded(asked(parallel_tool_calls=False))
    encoded(asked(tools=(TOOL,), parallel_tool_calls=True))


@pytest.mark.parametrize(
    ("form", "traits", "feature", "schema"),
    [
        (ResponseFormat(kind="json"), Traits(), Feature.JSON_MODE, {"type": "object"}),
        (
            ResponseFormat(kind="json_schema", schema=msgspec.Raw(b'{"a":1}')),
            Traits(has_json_schema=False),
            Feature.JSON_SCHEMA,
            {"a": 1},
        ),
    ],
)
def test_json_is_asked_for_by_a_tool(form: ResponseFormat, traits: Traits, feature: Feature, schema: Any) -> None:
    report = LossReport()
    spec = {
        "toolSpec": {
            "name": JSON_TOOL,
            "inputSchema": {"json": schema},
            "description": "Give the answer with this tool.",
        }
    }
    body = encoded(asked(response_format=form), report, traits)
    assert body["toolConfig"] == {"tools": [spec], "toolChoice": {"tool": {"name": JSON_TOOL}}}
    assert "outputConfig" not in body
    assert losses(report) == [(feature, APPROXIMATED, "response_format")]
    body = encoded(asked(response_format=form, tools=(TOOL,)), LossReport(), traits)
    assert body["toolConfig"] == {"tools": [SPEC, spec], "toolChoice": {"any": {}}}
