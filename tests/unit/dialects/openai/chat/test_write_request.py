from __future__ import annotations

from typing import Any

import msgspec
import pytest

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
from gatewright.core.errors import GatewayError
from gatewright.core.loss import Feature, Loss, LossReport, Outcome
from gatewright.core.traits import DEFAULT, Traits
from gatewright.dialects.openai.chat.write_request import encode_request

HI = (Message(role="user", parts=(Text(text="hi"),)),)


def encode(traits: Traits = DEFAULT, messages: Any = HI, **members: Any) -> tuple[dict[str, Any], list[Loss]]:
    report = LossReport("permissive")
    body = encode_request(ChatRequest(model="m", messages=messages, **members), traits, report)
    return msgspec.json.decode(msgspec.json.encode(body)), report.entries


@pytest.mark.parametrize(
    ("config", "effort", "feature"),
    [
        (ReasoningConfig(effort="high"), "high", None),
        (ReasoningConfig(effort="max"), "xhigh", Feature.REASONING_EFFORT),
        (ReasoningConfig(budget_tokens=1024), "low", Feature.REASONING_BUDGET),
        (ReasoningConfig(budget_tokens=4096), "medium", Feature.REASONING_BUDGET),
        (ReasoningConfig(budget_tokens=32000), "high", Feature.REASONING_BUDGET),
        (ReasoningConfig(budget_tokens=0), "none", Feature.REASONING_EFFORT),
        (ReasoningConfig(is_enabled=False), "none", Feature.REASONING_EFFORT),
        (ReasoningConfig(budget_tokens=-1), None, Feature.REASONING_EFFORT),
        (ReasoningConfig(is_enabled=True), None, Feature.REASONING_EFFORT),
        (ReasoningConfig(effort="low", summary="auto"), "low", Feature.REASONING_SUMMARY),
        (ReasoningConfig(effort="low", summary="omitted"), "low", None),
    ],
)
def test_efforts(config: ReasoningConfig, effort: str | None, feature: Feature | None) -> None:
    body, losses = encode(reasoning=config)
    assert body.get("reasoning_effort") == effort
    assert [loss.feature for loss in losses] == ([] if feature is None else [feature])


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (ToolChoice(mode="auto"), "auto"),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="named", name="f"), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice(mode="named", name="c"), {"type": "custom", "custom": {"name": "c"}}),
        (
            ToolChoice(mode="required", allowed=("f", "c")),
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "c"}},
                    ],
                },
            },
        ),
    ],
)
def test_choices(choice: ToolChoice, written: Any) -> None:
    body, losses = encode(tools=(Tool(name="f"), Tool(name="c", is_custom=True)), tool_choice=choice)
    assert body["tool_choice"] == written
    assert losses == []


def test_hosted_tools_of_others_are_refused_and_leave_no_choice_behind() -> None:
    tool = NativeTool(dialect="anthropic.messages", kind="web_search", raw=msgspec.Raw(b"{}"))
    body, losses = encode(tools=(tool,), tool_choice=ToolChoice(mode="required"), parallel_tool_calls=False)
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & body.keys()
    assert [(loss.feature, loss.path) for loss in losses] == [(Feature.NATIVE_TOOLS, "tools[0]")]
    with pytest.raises(GatewayError):
        encode_request(ChatRequest(model="m", messages=HI, tools=(tool,)), DEFAULT, LossReport("warn"))


def test_a_host_without_schemas_gets_json_mode_and_the_schema_in_words() -> None:
    form = ResponseFormat(kind="json_schema", schema=msgspec.Raw(b'{"type":"object"}'))
    body, losses = encode(Traits(has_json_schema=False), response_format=form)
    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    assert '{"type":"object"}' in body["messages"][0]["content"]
    assert [loss.feature for loss in losses] == [Feature.JSON_SCHEMA]
    body, losses = encode(response_format=form)
    assert body["response_format"]["json_schema"] == {"name": "response", "schema": {"type": "object"}}
    assert losses == []


@pytest.mark.parametrize(
    ("members", "feature", "outcome"),
    [
        ({"cache": CacheMark()}, Feature.CACHE_MARK, Outcome.DROPPED),
        ({"service_tier": "standard_only"}, Feature.SERVICE_TIER, Outcome.APPROXIMATED),
        ({"extra": Extension("cohere.chat", {"x": msgspec.Raw(b"1")})}, Feature.VENDOR, Outcome.DROPPED),
        (
            {"messages": (*HI, Message(role="assistant", parts=(Text(text="I"),)))},
            Feature.PREFILL,
            Outcome.APPROXIMATED,
        ),
        ({"tools": (Tool(name="f", cache=CacheMark()),)}, Feature.CACHE_MARK, Outcome.DROPPED),
    ],
)
def test_losses_are_told(members: dict[str, Any], feature: Feature, outcome: Outcome) -> None:
    _, losses = encode(**members)
    assert [(loss.feature, loss.outcome) for loss in losses] == [(feature, outcome)]


def test_limits_have_the_newer_name() -> None:
    assert encode(max_output_tokens=5)[0]["max_completion_tokens"] == 5


def test_top_k_goes_where_it_is_taken() -> None:
    asked = Sampling(top_k=40, temperature=0.5)
    assert encode(sampling=asked)[0]["top_k"] == 40
    body, losses = encode(Traits(has_top_k=False), sampling=asked)
    assert "top_k" not in body
    assert body["temperature"] == 0.5
    assert [(loss.feature, loss.outcome) for loss in losses] == [(Feature.TOP_K, Outcome.DROPPED)]
