"""Top-k and the amount of thought, for each maker's models."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import CLAUDE, asked, encoded, losses

from gatewright.core.chat import (
    Message,
    Opaque,
    Reasoning,
    ReasoningConfig,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.model_fields import maker_of, read_effort, read_model_fields
from gatewright.dialects.bedrock.names import NAME

GPT, NOVA, QWEN, LLAMA = (
    "openai.gpt-oss-120b-1:0",
    "us.amazon.nova-2-lite-v1:0",
    "qwen.qwen3-32b-v1:0",
    "meta.llama3-1-8b",
)
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/"
BUDGET, EFFORT = Feature.REASONING_BUDGET, Feature.REASONING_EFFORT


@pytest.mark.parametrize(
    ("model", "maker"),
    [
        (CLAUDE, "anthropic"),
        ("anthropic.claude-v2", "anthropic"),
        (ARN + CLAUDE, "anthropic"),
        (NOVA, "amazon"),
        (GPT, "openai"),
        (LLAMA, None),
        (ARN.replace("inference-profile/", "imported-model/abc"), None),
        ("", None),
    ],
)
def test_makers(model: str, maker: str | None) -> None:
    assert maker_of(model) == maker


@pytest.mark.parametrize(
    ("fields", "config"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"is_enabled": True, "budget_tokens": 2048}),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            {"is_enabled": True, "budget_tokens": -1, "summary": "omitted"},
        ),
        ({"thinking": {"type": "disabled"}}, {"is_enabled": False}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"is_enabled": True, "budget_tokens": -1, "effort": "max"},
        ),
        ({"reasoning_config": {"type": "enabled", "budget_tokens": 1024}}, {"is_enabled": True, "budget_tokens": 1024}),
        ({"reasoning_config": "high"}, {"effort": "high"}),
        ({"reasoning_effort": "low"}, {"effort": "low"}),
        (
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
            {"is_enabled": True, "effort": "medium"},
        ),
        ({"thinking": 5}, {}),
        ({"thinking": {"type": ["x"], "budget_tokens": "y"}}, {}),
    ],
)
def test_reads_how_much_to_think(fields: dict[str, Any], config: dict[str, Any]) -> None:
    read = read_model_fields(msgspec.Raw(json.dumps(fields).encode()), "x", None)
    assert read.reasoning is not None
    assert read.rest is None
    said = {name: getattr(read.reasoning, name) for name in ("effort", "budget_tokens", "is_enabled", "summary")}
    assert {name: value for name, value in said.items() if value is not None} == config


def test_the_effort_beside_the_answer_s_form() -> None:
    config = read_effort("high")
    assert config is not None
    assert config.effort == "high"
    assert read_effort(None) is None
    assert encoded(asked(reasoning=config))["outputConfig"] == {"effort": "high"}


@pytest.mark.parametrize(
    ("model", "config", "traits", "fields", "told"),
    [
        (CLAUDE, {"budget_tokens": 3000}, {}, {"thinking": {"type": "enabled", "budget_tokens": 3000}}, []),
        (CLAUDE, {"budget_tokens": 10}, {}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}, [BUDGET]),
        (CLAUDE, {"effort": "low"}, {}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, [EFFORT]),
        (CLAUDE, {"is_enabled": True}, {}, {"thinking": {"type": "enabled", "budget_tokens": 8192}}, [BUDGET]),
        (
            CLAUDE,
            {"budget_tokens": 16000},
            {"max": 8000},
            {"thinking": {"type": "enabled", "budget_tokens": 7999}},
            [BUDGET],
        ),
        (CLAUDE, {"budget_tokens": 16000}, {"max": 500}, None, [BUDGET]),
        (
            CLAUDE,
            {"effort": "minimal"},
            {"adaptive": True},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            [],
        ),
        (CLAUDE, {"budget_tokens": 3000}, {"adaptive": True}, {"thinking": {"type": "adaptive"}}, [BUDGET]),
        (CLAUDE, {"budget_tokens": -1}, {"adaptive": True}, {"thinking": {"type": "adaptive"}}, []),
        (CLAUDE, {"effort": "none"}, {}, None, []),
        (CLAUDE, {"is_enabled": False}, {}, None, []),
        (CLAUDE, {"budget_tokens": 0}, {}, None, []),
        (CLAUDE, {"summary": "detailed"}, {}, None, [Feature.REASONING_SUMMARY]),
        (GPT, {"effort": "high"}, {}, {"reasoning_effort": "high"}, []),
        (GPT, {"effort": "xhigh"}, {}, {"reasoning_effort": "high"}, [EFFORT]),
        (GPT, {"budget_tokens": 2000}, {}, {"reasoning_effort": "low"}, [BUDGET]),
        (GPT, {"budget_tokens": 99000}, {}, {"reasoning_effort": "high"}, [BUDGET]),
        (GPT, {"is_enabled": True}, {}, {"reasoning_effort": "medium"}, []),
        (NOVA, {"effort": "medium"}, {}, {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}}, []),
        ("amazon.nova-micro-v1:0", {"effort": "medium"}, {}, None, [EFFORT]),
        (QWEN, {"effort": "low"}, {}, {"reasoning_config": "low"}, []),
        (QWEN, {"effort": "high"}, {}, {"reasoning_config": "high"}, []),
        (LLAMA, {"effort": "high"}, {}, None, [EFFORT]),
        (LLAMA, {"budget_tokens": 5}, {}, None, [BUDGET]),
    ],
)
def test_writes_how_much_to_think(
    model: str, config: dict[str, Any], traits: dict[str, Any], fields: dict[str, Any] | None, told: list[Feature]
) -> None:
    report = LossReport()
    request = asked(model=model, reasoning=ReasoningConfig(**config), max_output_tokens=traits.get("max"))
    body = encoded(request, report, Traits(has_adaptive_reasoning="adaptive" in traits))
    assert body.get("additionalModelRequestFields") == fields
    assert [entry.feature for entry in report.entries] == told


def test_claude_takes_no_sampling_while_it_thinks() -> None:
    report = LossReport()
    sampling = Sampling(temperature=0.3, top_p=0.5, top_k=5, stop=("x",))
    body = encoded(asked(reasoning=ReasoningConfig(budget_tokens=2000), sampling=sampling), report)
    assert body["inferenceConfig"] == {"stopSequences": ["x"]}
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert {(entry.feature, entry.outcome) for entry in report.entries} == {
        (Feature.TEMPERATURE, Outcome.DROPPED),
        (Feature.TOP_P, Outcome.DROPPED),
        (Feature.TOP_K, Outcome.DROPPED),
    }


def test_claude_does_not_think_when_a_call_is_forced() -> None:
    report = LossReport()
    choice = ToolChoice(mode="required")
    body = encoded(asked(reasoning=ReasoningConfig(effort="high"), tools=(Tool(name="f"),), tool_choice=choice), report)
    assert "additionalModelRequestFields" not in body
    assert losses(report) == [(EFFORT, Outcome.DROPPED, "reasoning")]


@pytest.mark.parametrize(
    ("thought", "thinks"),
    [
        ((), False),
        ((Reasoning(text="hm", signature=Opaque("google.generate_content", "s")),), False),
        ((Reasoning(text="hm", signature=Opaque(NAME, "s")),), True),
        ((Reasoning(encrypted=Opaque(NAME, "s")),), True),
    ],
)
def test_claude_goes_on_thinking_only_with_its_own_thoughts(thought: tuple[Reasoning, ...], thinks: bool) -> None:
    messages = (
        Message(role="user", parts=(Text(text="Hi"),)),
        Message(role="assistant", parts=(*thought, ToolCall(id="t", name="f", arguments="{}"))),
        Message(role="user", parts=(ToolResult(call_id="t", content=(Text(text="ok"),)),)),
    )
    report = LossReport()
    request = asked(messages=messages, tools=(Tool(name="f"),), reasoning=ReasoningConfig(budget_tokens=2000))
    assert ("additionalModelRequestFields" in encoded(request, report)) is thinks
    assert ((BUDGET, Outcome.DROPPED, "reasoning") in losses(report)) is not thinks
    later = msgspec.structs.replace(request, messages=(*messages, Message(role="user", parts=(Text(text="?"),))))
    assert "additionalModelRequestFields" in encoded(later, LossReport())


@pytest.mark.parametrize(
    ("model", "fields", "told"),
    [
        (CLAUDE, {"top_k": 7}, []),
        (NOVA, {"inferenceConfig": {"topK": 7}}, []),
        (LLAMA, {"top_k": 7}, []),
        (GPT, None, [(Feature.TOP_K, Outcome.DROPPED, "sampling.top_k")]),
    ],
)
def test_top_k(model: str, fields: dict[str, Any] | None, told: list[Any]) -> None:
    report = LossReport()
    body = encoded(asked(model=model, sampling=Sampling(top_k=7)), report)
    assert body.get("additionalModelRequestFields") == fields
    assert losses(report) == told
