"""What Converse leaves to the model: `additionalModelRequestFields`, different for each maker of models.

Top-k and the amount of thought have no member of their own. Which member a model takes is told by the maker's name that
every model id holds (docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html); a custom model's address
tells nothing. What a client of this dialect said itself goes on as it was said.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import ChatRequest, Extension, Opaque, Reasoning, ReasoningConfig, ToolResult
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.media import own
from gatewright.dialects.bedrock.names import NAME
from gatewright.wire.json_object import JsonObject, render_json

_MAKERS: Final = ("anthropic", "amazon", "openai", "qwen")
_REASONING: Final = ("thinking", "output_config", "reasoning_config", "reasoningConfig", "reasoning_effort")
_BUDGETS: Final = {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 32_768, "max": 32_768}
"""Budgets of Claude that stand for efforts, each at least its minimum of 1,024."""
_MIN_BUDGET: Final = 1_024
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)


def maker_of(model: str) -> str | None:
    """Who made a model, by its id (`us.anthropic.claude-…`, an address that ends in one); None when it does not say."""
    words = model.rpartition("/")[2].split(".")
    return next((maker for maker in _MAKERS if maker in words[:2]), None)


class ModelFields(Struct, frozen=True):
    """What a request's `additionalModelRequestFields` says in the hub's terms."""

    top_k: int | None = None
    reasoning: ReasoningConfig | None = None
    rest: Raw | None = None
    """What stays an extension."""


def read_model_fields(raw: Raw, path: str, effort: str | None) -> ModelFields:
    """Read `additionalModelRequestFields`; `effort` is `outputConfig.effort`, which says the same for some models."""
    fields = JsonObject.parse(raw, path)
    top_k = fields.integer("top_k") if fields.has("top_k") else None
    said = {name: value for name in _REASONING if (value := fields.raw(name)) is not None}
    inner = fields.peek("inferenceConfig")
    if top_k is None and inner is not None:
        # Amazon's models: the rest of this object, even empty, tells the encoder where top-k belongs.
        nested = fields.object("inferenceConfig")
        if nested is not None:
            top_k = nested.integer("topK")
            rest = fields.rest(NAME)
            members = {} if rest is None else rest.members
            left = {**members, "inferenceConfig": nested.spelled()}
            return ModelFields(top_k, _read_reasoning(said, effort), render_json(left))
    rest = fields.rest(NAME)
    return ModelFields(top_k, _read_reasoning(said, effort), None if rest is None else render_json(rest.members))


def read_effort(effort: str | None) -> ReasoningConfig | None:
    """The amount of thought where only `outputConfig.effort` tells it."""
    return _read_reasoning({}, effort)


def _read_reasoning(said: dict[str, Raw], effort: str | None) -> ReasoningConfig | None:
    if effort is not None:
        said = {**said, "effort": render_json(effort)}
    if not said:
        return None
    switch: Any = None
    budget: Any = None
    summary = None
    for name, raw in said.items():
        value = msgspec.json.decode(raw)
        if isinstance(value, str):
            effort = value
        elif isinstance(value, dict):
            switch = value.get("type", switch)
            budget = value.get("budget_tokens", budget)
            effort = value.get("effort", value.get("maxReasoningEffort", effort))
            if name == "thinking":
                summary = {"summarized": "auto", "omitted": "omitted"}.get(str(value.get("display")))
    return ReasoningConfig(
        effort=effort if isinstance(effort, str) else None,
        budget_tokens=-1 if switch == "adaptive" else budget if isinstance(budget, int) and budget >= 0 else None,
        is_enabled={"enabled": True, "adaptive": True, "disabled": False}.get(str(switch)),
        summary=summary,
        extra=Extension(NAME, said),
    )


class Written(Struct):
    """The members that a request's top-k and amount of thought become."""

    fields: dict[str, Any]
    """For `additionalModelRequestFields`."""
    effort: Raw | None = None
    """For `outputConfig.effort`."""
    is_claude_thinking: bool = False
    """Whether Claude's rules for thinking hold: no forced tool, no temperature, no top-k."""


def write_model_fields(request: ChatRequest, traits: Traits, report: LossReport, *, is_forced: bool) -> Written:
    """The members for top-k and thought; `is_forced` when the request forces a tool call."""
    raw = own(request.extra).get("additionalModelRequestFields")
    written = Written(_object(raw))
    _write_reasoning(request, traits, report, written, is_forced=is_forced)
    top_k = request.sampling.top_k
    if top_k is None:
        return written
    maker = maker_of(request.model)
    if written.is_claude_thinking:
        report.dropped(Feature.TOP_K, "sampling.top_k", "the model takes none while it thinks")
    elif maker == "amazon" or "inferenceConfig" in written.fields:
        inner = _object(written.fields.get("inferenceConfig"))
        written.fields["inferenceConfig"] = {**inner, "topK": top_k}
    elif maker == "openai":
        report.dropped(Feature.TOP_K, "sampling.top_k", "the model has no such member")
    else:
        written.fields["top_k"] = top_k
    return written


def _object(raw: Raw | None) -> dict[str, Any]:
    try:
        return {} if raw is None else dict(_fields.decode(raw))
    except msgspec.DecodeError:
        return {}


def _write_reasoning(
    request: ChatRequest, traits: Traits, report: LossReport, written: Written, *, is_forced: bool
) -> None:
    config = request.reasoning
    if config is None:
        return
    said = own(config.extra)
    if said:
        written.fields.update({name: raw for name, raw in said.items() if name != "effort"})
        written.effort = said.get("effort")
        return
    if config.summary not in (None, "auto"):
        report.dropped(Feature.REASONING_SUMMARY, "reasoning.summary", "the model shows its thoughts as it does")
    if config.is_enabled is False or config.effort == "none" or config.budget_tokens == 0:
        return  # these models think only when told to
    if config.effort is None and config.budget_tokens is None and config.is_enabled is None:
        return
    match maker_of(request.model):
        case "anthropic":
            _write_thinking(request, config, traits, report, written, is_forced=is_forced)
        case "amazon" if "nova-2" in request.model:
            effort = _effort(config, report)
            written.fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": effort}
        case "openai":
            written.fields["reasoning_effort"] = _effort(config, report)
        case "qwen":
            written.fields["reasoning_config"] = "low" if _effort(config, report) == "low" else "high"
        case _:
            report.dropped(_feature(config), "reasoning", "it is not known how to tell this model")


def _feature(config: ReasoningConfig) -> Feature:
    return Feature.REASONING_BUDGET if config.effort is None else Feature.REASONING_EFFORT


def _effort(config: ReasoningConfig, report: LossReport) -> str:
    """The effort of a model that knows `low`, `medium` and `high`."""
    if config.effort is not None:
        effort = _EFFORTS.get(config.effort, "medium")
        if effort != config.effort:
            report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", f"sent as {effort}")
        return effort
    budget = config.budget_tokens
    if budget is None:
        return "medium"
    effort = "medium" if budget < 0 else "low" if budget <= 4_096 else "medium" if budget <= 12_288 else "high"
    report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"sent as the effort {effort}")
    return effort


def _lacks_thoughts(request: ChatRequest) -> bool:
    """Whether the conversation stands at the result of a call that came without thoughts of this model."""
    last = request.messages[-1].parts if request.messages else ()
    if not any(isinstance(part, ToolResult) for part in last):
        return False
    for message in reversed(request.messages):
        if message.role == "assistant":
            blobs = [blob for part in message.parts if isinstance(part, Reasoning) for blob in _blobs(part)]
            return all(blob.dialect != NAME for blob in blobs)
    return False


def _blobs(part: Reasoning) -> list[Opaque]:
    return [blob for blob in (part.signature, part.encrypted) if blob is not None]


def _write_thinking(
    request: ChatRequest,
    config: ReasoningConfig,
    traits: Traits,
    report: LossReport,
    written: Written,
    *,
    is_forced: bool,
) -> None:
    if is_forced:
        report.dropped(_feature(config), "reasoning", "the model does not think when a tool call is forced")
        return
    if _lacks_thoughts(request):
        note = "the model cannot go on thinking after a tool call whose thoughts were not sent back"
        report.dropped(_feature(config), "reasoning", note)
        return
    if traits.has_adaptive_reasoning:
        written.fields["thinking"] = {"type": "adaptive"}
        if config.effort is not None:
            effort = "low" if config.effort == "minimal" else config.effort
            written.fields["output_config"] = {"effort": effort}
        elif (config.budget_tokens or 0) > 0:
            report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", "the model chooses its budget")
        written.is_claude_thinking = True
        return
    budget = config.budget_tokens
    if budget is None or budget < 0:
        budget = _BUDGETS.get(config.effort or "medium", _BUDGETS["medium"])
        report.approximated(_feature(config), "reasoning", f"sent as a budget of {budget} tokens")
    elif budget < _MIN_BUDGET:
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"sent as {_MIN_BUDGET}, the least")
        budget = _MIN_BUDGET
    limit = request.max_output_tokens
    if limit is not None and budget >= limit:
        if limit <= _MIN_BUDGET:
            report.dropped(_feature(config), "reasoning", "the output limit leaves no room for the least budget")
            return
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"sent as {limit - 1}")
        budget = limit - 1
    written.fields["thinking"] = {"type": "enabled", "budget_tokens": budget}
    written.is_claude_thinking = True
