"""How much to think: `thinking` and `output_config.effort` in both directions.

What a client of this API set is taken literally (its extension is this API's): the vendor judges it. What comes from
other APIs is fitted to the rules of platform.claude.com/docs/en/build-with-claude/extended-thinking: a budget of at
least 1,024 tokens and less than `max_tokens`, no forced tool, no temperature, an assistant turn that called tools
begins with its thinking. An effort is written as it is to models that budget their own thinking
(`Traits.has_adaptive_reasoning`), and to others as a budget of tokens:

| effort | minimal | low | medium | high | xhigh | max |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| budget | 1,024 | 2,048 | 8,192 | 16,384 | 24,576 | 32,000 |

A budget for a model that budgets its own becomes the lowest effort whose budget is not smaller.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from gatewright.core.chat import ChatRequest, Extension, ReasoningConfig
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.vocabulary import NAME, own
from gatewright.wire.json_object import JsonObject, render_json

BUDGETS: Final = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 24576, "max": 32000}
MIN_BUDGET: Final = 1024
_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")
_ADAPTIVE: Final = -1
_UNCONTINUED: Final = "the turn being continued called tools, and its thinking cannot be sent back"
_DISPLAYS: Final = {"summarized": "auto", "omitted": "omitted"}


class Thinking(Struct):
    """What is written for a request's reasoning."""

    thinking: dict[str, Any] | None = None
    effort: str | None = None
    max_tokens: int = 0
    is_literal: bool = False
    """Whether a client of this API set it, so that nothing else is changed for its sake."""

    @property
    def is_on(self) -> bool:
        return self.thinking is not None and self.thinking.get("type") != "disabled"


class Situation(Struct, frozen=True):
    """What else of the request decides whether it may think."""

    max_tokens: int
    has_own_limit: bool
    """Whether the client set `max_tokens`, so that thoughts must fit into it."""
    is_forced: bool
    """Whether a tool must be called."""
    lacks_thinking: bool
    """Whether the turn being continued called tools without its thinking being here."""
    has_lost_thinking: bool = False
    """Whether thoughts were left out of the conversation because another vendor signed them, or nobody did."""


def read_reasoning(body: JsonObject, config: JsonObject) -> ReasoningConfig | None:
    """Take `thinking` and the effort. The extension marks the config as this API's own, even when it is empty."""
    effort = config.string("effort")
    thinking = body.object("thinking")
    if thinking is None:
        return None if effort is None else ReasoningConfig(effort=effort, extra=Extension(NAME, {}))
    type_ = thinking.required_string("type")
    display = thinking.peek("display")
    summary = None
    if display is not None:
        word = thinking.string("display") or ""
        summary = _DISPLAYS.get(word, word)
    budget = thinking.integer("budget_tokens")
    rest = thinking.rest(NAME)
    members = dict(rest.members) if rest is not None else {}
    if type_ not in ("enabled", "adaptive", "disabled"):
        members["type"] = render_json(type_)
    return ReasoningConfig(
        effort=effort,
        budget_tokens=_ADAPTIVE if type_ == "adaptive" else budget,
        is_enabled=type_ != "disabled",
        summary=summary,
        extra=Extension(NAME, members),
    )


def write_reasoning(request: ChatRequest, traits: Traits, report: LossReport, situation: Situation) -> Thinking:
    """The `thinking`, the effort and the output limit of a request."""
    config = request.reasoning
    max_tokens = situation.max_tokens
    if config is None:
        return Thinking(max_tokens=max_tokens)
    if config.extra is not None and config.extra.dialect == NAME:
        literal = Thinking(_literal(config), config.effort, max_tokens, is_literal=True)
        if situation.has_lost_thinking and not _may_continue(literal, situation):
            # Not the client's fault: it sent the thoughts, which another vendor's model had had.
            report.dropped(Feature.REASONING_EFFORT, "reasoning", _UNCONTINUED)
            literal.thinking = None
        return literal
    if config.is_enabled is False or config.effort == "none" or config.budget_tokens == 0:
        return Thinking({"type": "disabled"}, None, max_tokens)
    if config.is_enabled is None and config.effort is None and config.budget_tokens is None:
        if config.summary is not None:
            report.dropped(Feature.REASONING_SUMMARY, "reasoning.summary", "the request does not ask for reasoning")
        return Thinking(max_tokens=max_tokens)
    written = _adaptive(config, report) if traits.has_adaptive_reasoning else _budgeted(config, report)
    written.max_tokens = max_tokens
    if not _may_think(written, report, situation):
        return Thinking(max_tokens=max_tokens)
    if "budget_tokens" in (written.thinking or {}):
        _fit(written, traits, report, situation)
    _display(written, config, report)
    return written


def _literal(config: ReasoningConfig) -> dict[str, Any] | None:
    if config.is_enabled is None:
        return None
    thinking: dict[str, Any] = {"type": "enabled" if config.is_enabled else "disabled"}
    if config.budget_tokens == _ADAPTIVE:
        thinking["type"] = "adaptive"
    elif config.budget_tokens is not None:
        thinking["budget_tokens"] = config.budget_tokens
    if config.summary is not None:
        thinking["display"] = "summarized" if config.summary == "auto" else config.summary
    return thinking | own(config.extra)


def _adaptive(config: ReasoningConfig, report: LossReport) -> Thinking:
    effort = config.effort
    budget = config.budget_tokens
    if effort is None and budget is not None and budget != _ADAPTIVE:
        effort = next((word for word in _EFFORTS if BUDGETS[word] >= budget), "max")
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"written as the effort `{effort}`")
    elif effort is not None and effort not in _EFFORTS:
        nearest = "low" if effort == "minimal" else None
        report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", f"written as `{nearest or 'the default'}`")
        effort = nearest
    return Thinking({"type": "adaptive"}, effort)


def _budgeted(config: ReasoningConfig, report: LossReport) -> Thinking:
    budget = config.budget_tokens
    if budget is None or budget == _ADAPTIVE:
        budget = BUDGETS.get(config.effort or "medium", BUDGETS["medium"])
        feature = Feature.REASONING_BUDGET if config.effort is None else Feature.REASONING_EFFORT
        report.approximated(feature, "reasoning", f"written as a budget of {budget} tokens")
    elif budget < MIN_BUDGET:
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"raised to {MIN_BUDGET}, the least")
        budget = MIN_BUDGET
    return Thinking({"type": "enabled", "budget_tokens": budget})


def _may_think(written: Thinking, report: LossReport, situation: Situation) -> bool:
    """Whether thinking agrees with the rest; a demanded tool call is more than a wish to think."""
    if situation.is_forced:
        reason = "thinking excludes a demanded tool call"
    elif not _may_continue(written, situation):
        reason = _UNCONTINUED
    else:
        return True
    report.dropped(Feature.REASONING_EFFORT, "reasoning", reason)
    return False


def _may_continue(written: Thinking, situation: Situation) -> bool:
    """With a budget the API wants the thoughts of the turn it continues; adaptive thinking does without."""
    return not (situation.lacks_thinking and written.thinking is not None and written.thinking["type"] == "enabled")


def _fit(written: Thinking, traits: Traits, report: LossReport, situation: Situation) -> None:
    """Make the budget less than the output limit, which counts thoughts too."""
    thinking = written.thinking or {}
    budget, limit = thinking["budget_tokens"], situation.max_tokens
    if budget < limit:
        return
    if situation.has_own_limit and limit >= 2 * MIN_BUDGET:
        # Half of the client's limit is left for the answer; the limit itself is what the client agreed to pay.
        thinking["budget_tokens"] = limit // 2
        note = f"lowered to {limit // 2}: it must be less than the output limit of {limit}"
        report.approximated(Feature.REASONING_BUDGET, "reasoning", note)
        return
    if situation.has_own_limit:
        thinking["budget_tokens"] = budget = MIN_BUDGET
    ceiling = traits.max_output_tokens
    written.max_tokens = budget + limit if ceiling is None else min(budget + limit, ceiling)
    if written.max_tokens <= budget:
        thinking["budget_tokens"] = max(MIN_BUDGET, written.max_tokens // 2)
    report.approximated(
        Feature.MAX_TOKENS, "max_output_tokens", f"raised to {written.max_tokens} to leave room for thoughts"
    )


def _display(written: Thinking, config: ReasoningConfig, report: LossReport) -> None:
    if config.summary is None or written.thinking is None:
        return
    written.thinking["display"] = "omitted" if config.summary in ("omitted", "none") else "summarized"
    if config.summary in ("concise", "detailed"):
        report.approximated(Feature.REASONING_SUMMARY, "reasoning.summary", "thoughts are summarised in one way only")
