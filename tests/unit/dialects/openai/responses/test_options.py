"""Tools, tool choice, output form and reasoning of a Responses request."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import NativeTool, ReasoningConfig, ResponseFormat, Tool, ToolChoice
from gatewright.core.errors import GatewayError
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.openai.responses import options
from gatewright.wire.json_object import JsonObject


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def plain(value: Any) -> Any:
    return json.loads(msgspec.json.encode(value))


def read_tool(value: Any) -> Tool | NativeTool:
    return options.read_tool(JsonObject.parse(raw(value)), raw(value))


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "function", "name": "f"},
        {"type": "function", "name": "f", "parameters": {}, "strict": False, "defer_loading": True},
        {"type": "custom", "name": "f", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "web_search", "search_context_size": "low"},
        {"type": "namespace", "name": "n", "tools": []},
    ],
)
def test_own_tools_come_back(tool: Any) -> None:
    assert plain(options.write_tools([read_tool(tool)], LossReport("strict"), is_ours=True)) == [tool]


def test_other_dialects_tools_say_what_this_one_assumes() -> None:
    [written] = options.write_tools([Tool(name="f")], LossReport("strict"), is_ours=False)
    assert plain(written) == {
        "type": "function",
        "name": "f",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
    }


def test_tools_hosted_elsewhere_are_refused() -> None:
    report = LossReport("permissive")
    hosted = NativeTool(dialect="anthropic.messages", kind="bash", raw=raw({}))
    assert options.write_tools([hosted], report, is_ours=False) == []
    assert [(loss.feature, loss.outcome, loss.path) for loss in report.entries] == [
        (Feature.NATIVE_TOOLS, Outcome.REFUSED, "tools[0]")
    ]


CUSTOM = Tool(name="c", is_custom=True)


@pytest.mark.parametrize(
    ("choice", "mode", "name", "allowed"),
    [
        ("auto", "auto", None, None),
        ("none", "none", None, None),
        ("required", "required", None, None),
        ("validated", "auto", None, None),
        ({"type": "function", "name": "f"}, "named", "f", None),
        ({"type": "custom", "name": "c"}, "named", "c", None),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
            },
            "required",
            None,
            ("f", "c"),
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}, "auto", None, ()),
        ({"type": "web_search"}, "required", None, None),
    ],
)
def test_tool_choice_comes_back(choice: Any, mode: str, name: str | None, allowed: tuple[str, ...] | None) -> None:
    read = options.read_tool_choice(raw(choice), "tool_choice")
    assert (read.mode, read.name, read.allowed) == (mode, name, allowed)
    assert plain(options.write_tool_choice(read, [CUSTOM])) == choice


def test_a_choice_of_another_dialect_looks_up_what_the_tool_is() -> None:
    assert options.write_tool_choice(ToolChoice(mode="named", name="c"), [CUSTOM]) == {"type": "custom", "name": "c"}
    assert options.write_tool_choice(ToolChoice(mode="named"), []) == "required"


@pytest.mark.parametrize(
    "form",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": "d"},
        {"type": "json_schema", "name": "n", "schema": {}, "x": 1},
    ],
)
def test_output_forms_come_back(form: Any) -> None:
    read = options.read_format(JsonObject.parse(raw(form)))
    assert plain(options.write_format(read, DEFAULT, LossReport("strict"))) == form


def test_an_unknown_output_form_is_named() -> None:
    with pytest.raises(GatewayError) as caught:
        options.read_format(JsonObject.parse(raw({"type": "xml"}), "text.format"))
    assert caught.value.param == "text.format.type"


def test_a_host_without_schemas_gets_json_mode() -> None:
    report = LossReport()
    form = ResponseFormat(kind="json_schema", schema=raw({}))
    assert options.write_format(form, Traits(has_json_schema=False), report) == {"type": "json_object"}
    assert [loss.feature for loss in report.entries] == [Feature.JSON_SCHEMA]


@pytest.mark.parametrize("config", [{}, {"effort": "low"}, {"summary": "auto", "context": "all_turns", "mode": "pro"}])
def test_reasoning_comes_back(config: Any) -> None:
    read = options.read_reasoning_config(JsonObject.parse(raw(config)))
    assert plain(options.write_reasoning_config(read, LossReport("strict"))) == config


@pytest.mark.parametrize(
    ("config", "written", "features"),
    [
        (ReasoningConfig(budget_tokens=0), {"effort": "none"}, [Feature.REASONING_BUDGET]),
        (ReasoningConfig(budget_tokens=2_000), {"effort": "low"}, [Feature.REASONING_BUDGET]),
        (ReasoningConfig(budget_tokens=16_000), {"effort": "medium"}, [Feature.REASONING_BUDGET]),
        (ReasoningConfig(budget_tokens=900_000), {"effort": "xhigh"}, [Feature.REASONING_BUDGET]),
        (ReasoningConfig(budget_tokens=-1), None, []),
        (ReasoningConfig(effort="high", budget_tokens=10), {"effort": "high"}, [Feature.REASONING_BUDGET]),
        (ReasoningConfig(is_enabled=False), {"effort": "none"}, [Feature.REASONING_EFFORT]),
        (ReasoningConfig(is_enabled=True, summary="omitted"), None, []),
        (ReasoningConfig(summary="detailed"), {"summary": "detailed"}, []),
    ],
)
def test_other_dialects_reasoning(config: ReasoningConfig, written: Any, features: list[Feature]) -> None:
    report = LossReport()
    assert options.write_reasoning_config(config, report) == written
    assert [loss.feature for loss in report.entries] == features
