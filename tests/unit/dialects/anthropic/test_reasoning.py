"""How much to think, in both vocabularies."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import ChatRequest, ReasoningConfig
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.reasoning import BUDGETS, Situation, Thinking, read_reasoning, write_reasoning
from gatewright.wire.json_object import JsonObject, render_json

ADAPTIVE = Traits(has_adaptive_reasoning=True)
FREE = Situation(64_000, False, False, False)


def write(
    config: ReasoningConfig | None, traits: Traits = ADAPTIVE, situation: Situation = FREE
) -> tuple[Thinking, list[tuple[Feature, Outcome]]]:
    report = LossReport("permissive")
    request = ChatRequest(model="m", messages=(), reasoning=config)
    written = write_reasoning(request, traits, report, situation)
    return written, [(loss.feature, loss.outcome) for loss in report.entries]


@pytest.mark.parametrize(
    "thinking",
    [
        {"type": "enabled", "budget_tokens": 1024},
        {"type": "enabled", "budget_tokens": 99_999, "display": "omitted"},
        {"type": "adaptive", "display": "summarized"},
        {"type": "disabled"},
        {"type": "between_tools"},
        {"type": "adaptive", "x": 1},
    ],
)
@pytest.mark.parametrize("traits", [ADAPTIVE, Traits()])
def test_the_apis_own_is_taken_literally(thinking: dict[str, Any], traits: Traits) -> None:
    body, config = JsonObject({"thinking": render_json(thinking)}), JsonObject({"effort": render_json("high")})
    read = read_reasoning(body, config)
    written, losses = write(read, traits, Situation(100, True, True, True))
    assert msgspec.json.decode(msgspec.json.encode(written.thinking)) == thinking
    assert (written.effort, written.max_tokens, losses) == ("high", 100, [])


def test_an_effort_alone_stays_alone() -> None:
    read = read_reasoning(JsonObject({}), JsonObject({"effort": render_json("low")}))
    written, losses = write(read, Traits())
    assert (written.thinking, written.effort, losses) == (None, "low", [])
    assert read_reasoning(JsonObject({}), JsonObject({})) is None


@pytest.mark.parametrize(
    ("config", "thinking", "effort", "losses"),
    [
        (ReasoningConfig(effort="high"), {"type": "adaptive"}, "high", []),
        (
            ReasoningConfig(effort="minimal"),
            {"type": "adaptive"},
            "low",
            [(Feature.REASONING_EFFORT, Outcome.APPROXIMATED)],
        ),
        (
            ReasoningConfig(budget_tokens=5000),
            {"type": "adaptive"},
            "medium",
            [(Feature.REASONING_BUDGET, Outcome.APPROXIMATED)],
        ),
        (ReasoningConfig(budget_tokens=-1), {"type": "adaptive"}, None, []),
        (ReasoningConfig(effort="none"), {"type": "disabled"}, None, []),
        (ReasoningConfig(budget_tokens=0), {"type": "disabled"}, None, []),
        (ReasoningConfig(is_enabled=False), {"type": "disabled"}, None, []),
        (ReasoningConfig(effort="low", summary="auto"), {"type": "adaptive", "display": "summarized"}, "low", []),
        (ReasoningConfig(effort="low", summary="omitted"), {"type": "adaptive", "display": "omitted"}, "low", []),
        (
            ReasoningConfig(effort="low", summary="detailed"),
            {"type": "adaptive", "display": "summarized"},
            "low",
            [(Feature.REASONING_SUMMARY, Outcome.APPROXIMATED)],
        ),
        (ReasoningConfig(summary="auto"), None, None, [(Feature.REASONING_SUMMARY, Outcome.DROPPED)]),
        (None, None, None, []),
    ],
)
def test_models_that_budget_their_own(
    config: ReasoningConfig | None, thinking: Any, effort: str | None, losses: list[tuple[Feature, Outcome]]
) -> None:
    written, told = write(config)
    assert (written.thinking, written.effort, told) == (thinking, effort, losses)


@pytest.mark.parametrize(("effort", "budget"), BUDGETS.items())
def test_efforts_are_budgets_for_others(effort: str, budget: int) -> None:
    written, losses = write(ReasoningConfig(effort=effort), Traits())
    assert written.thinking == {"type": "enabled", "budget_tokens": budget}
    assert (written.effort, losses) == (None, [(Feature.REASONING_EFFORT, Outcome.APPROXIMATED)])


@pytest.mark.parametrize(
    ("config", "situation", "budget", "max_tokens"),
    [
        (ReasoningConfig(budget_tokens=5000), Situation(8000, True, False, False), 5000, 8000),
        (ReasoningConfig(budget_tokens=100), Situation(8000, True, False, False), 1024, 8000),
        (ReasoningConfig(budget_tokens=8000), Situation(8000, True, False, False), 4000, 8000),
        (ReasoningConfig(effort="max"), Situation(4096, False, False, False), 32_000, 36_096),
        (ReasoningConfig(effort="low"), Situation(100, True, False, False), 1024, 1124),
        (ReasoningConfig(is_enabled=True), Situation(9000, True, False, False), 8192, 9000),
    ],
)
def test_budgets_are_less_than_the_limit(
    config: ReasoningConfig, situation: Situation, budget: int, max_tokens: int
) -> None:
    written, _ = write(config, Traits(), situation)
    assert written.thinking == {"type": "enabled", "budget_tokens": budget}
    assert written.max_tokens == max_tokens


def test_the_models_own_limit_is_never_exceeded() -> None:
    written, losses = write(
        ReasoningConfig(effort="max"), Traits(max_output_tokens=8192), Situation(8192, False, False, False)
    )
    assert written.thinking == {"type": "enabled", "budget_tokens": 4096}
    assert written.max_tokens == 8192
    assert (Feature.MAX_TOKENS, Outcome.APPROXIMATED) in losses


@pytest.mark.parametrize("traits", [ADAPTIVE, Traits()])
def test_a_demanded_call_excludes_thinking(traits: Traits) -> None:
    written, losses = write(ReasoningConfig(effort="low"), traits, Situation(8000, True, True, False))
    assert (written.thinking, written.effort, written.max_tokens) == (None, None, 8000)
    assert losses[-1] == (Feature.REASONING_EFFORT, Outcome.DROPPED)


def test_a_turn_without_its_thoughts_is_continued_without() -> None:
    lacking = Situation(8000, True, False, True)
    assert write(ReasoningConfig(effort="low"), Traits(), lacking)[0].thinking is None
    assert write(ReasoningConfig(effort="low"), ADAPTIVE, lacking)[0].is_on


def test_a_client_whose_thoughts_were_another_vendors_goes_on_without() -> None:
    def read(type_: str) -> ReasoningConfig | None:
        thinking = render_json({"type": type_, "budget_tokens": 1024})
        return read_reasoning(JsonObject({"thinking": thinking}), JsonObject({}))

    lost = Situation(8000, True, False, True, True)
    written, losses = write(read("enabled"), Traits(), lost)
    assert (written.thinking, losses) == (None, [(Feature.REASONING_EFFORT, Outcome.DROPPED)])
    assert write(read("adaptive"), Traits(), lost)[0].is_on
    assert write(read("enabled"), Traits(), Situation(8000, True, False, False, True))[0].is_on


def test_whether_it_thinks() -> None:
    assert not Thinking().is_on
    assert not Thinking({"type": "disabled"}).is_on
    assert Thinking({"type": "adaptive"}).is_on
