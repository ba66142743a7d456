"""Writes a request of Cohere's API, version 2 (docs.cohere.com/reference/chat).

The API cannot name the one tool to call: such a request says REQUIRED and tells of that tool alone, which demands the
same call but hides the other tools from the model.
"""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import ChatRequest, NativeTool, ReasoningConfig, ResponseFormat, Tool
from gatewright.core.loss import Feature, LossReport, tell_choice, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.cohere.names import NAME, members_of, own
from gatewright.dialects.cohere.write_messages import MessageWriter

_BUDGETS: Final = {"minimal": 256, "low": 1024, "medium": 8192}
"""Tokens of thought that stand for a wish for less than all; higher efforts are not limited."""
_NO_MEMBER: Final = "the API has no such member"


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of an upstream's request body. Tells the report whatever is not carried over exactly."""
    members: dict[str, Any] = {
        "model": request.model,
        "messages": MessageWriter(request, traits, report).write(),
        **_write_tools(request, report),
        **_write_sampling(request, report),
    }
    if request.response_format is not None:
        members["response_format"] = _write_format(request.response_format, traits, report)
    if request.reasoning is not None:
        thinking = _write_thinking(request.reasoning, request.max_output_tokens, report)
        if thinking is not None:
            members["thinking"] = thinking
    if request.stream:
        members["stream"] = True
    members.update(own(request.extra))
    tell_foreign(request.extra, NAME, report)
    _tell_rest(request, report)
    return members


def _write_sampling(request: ChatRequest, report: LossReport) -> dict[str, Any]:
    sampling = request.sampling
    presence = sampling.presence_penalty
    if presence and sampling.frequency_penalty:
        report.dropped(Feature.PENALTIES, "sampling.presence_penalty", "the API takes one of the penalties at a time")
        presence = None
    if sampling.n is not None and sampling.n > 1:
        report.refused(Feature.N, "sampling.n", "the API gives one answer at a time")
    if sampling.top_logprobs:
        report.approximated(Feature.LOGPROBS, "sampling.top_logprobs", "only the chosen tokens' are told")
    if sampling.logit_bias is not None:
        report.dropped(Feature.LOGIT_BIAS, "sampling.logit_bias", _NO_MEMBER)
    plain: dict[str, Any] = {
        "max_tokens": request.max_output_tokens,
        "temperature": sampling.temperature,
        "p": sampling.top_p,
        "k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": presence,
        "stop_sequences": list(sampling.stop) or None,
        "logprobs": sampling.logprobs,
    }
    return {name: value for name, value in plain.items() if value is not None}


def _write_tools(request: ChatRequest, report: LossReport) -> dict[str, Any]:
    """`tools`, `strict_tools` and `tool_choice`."""
    members: dict[str, Any] = {}
    word, allowed = _choose(request, report)
    tools: list[Any] = []
    strict: set[bool] = set()
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        if isinstance(tool, NativeTool):
            if tool.dialect == NAME:
                tools.append(tool.raw)
            else:
                report.refused(Feature.NATIVE_TOOLS, path, f"{tool.kind} is hosted by another vendor")
        elif allowed is None or tool.name in allowed:
            written = _write_tool(tool, path, report)
            if written is not None:
                tools.append(written)
                strict.add(bool(tool.strict))
    if tools:
        members["tools"] = tools
        if any(isinstance(tool, Tool) and tool.strict is not None for tool in request.tools):
            if len(strict) > 1:
                report.approximated(Feature.STRICT_TOOLS, "tools", "the switch counts for all tools")
            members["strict_tools"] = True in strict
        if word is not None:
            members["tool_choice"] = word
    else:
        tell_choice(request, report)
    if request.parallel_tool_calls is False and tools:
        report.dropped(Feature.PARALLEL_TOOLS, "parallel_tool_calls", _NO_MEMBER)
    return members


def _choose(request: ChatRequest, report: LossReport) -> tuple[str | None, tuple[str, ...] | None]:
    """The word of `tool_choice`, and the tools that may be told of; None for all."""
    choice = request.tool_choice
    if choice is None:
        return None, None
    if choice.mode == "none":
        return "NONE", None
    if choice.mode == "named" and choice.name is not None:
        report.approximated(Feature.TOOL_CHOICE_NAMED, "tool_choice", "a call is demanded, and only this tool told of")
        return "REQUIRED", (choice.name,)
    if choice.allowed is not None:
        report.approximated(Feature.TOOL_CHOICE_ALLOWED, "tool_choice.allowed", "the other tools are left out")
    return None if choice.mode == "auto" else "REQUIRED", choice.allowed


def _write_tool(tool: Tool, path: str, report: LossReport) -> dict[str, Any] | None:
    if tool.is_custom:
        report.refused(Feature.CUSTOM_TOOLS, path, "the API knows tools with JSON arguments only")
        return None
    if tool.cache is not None:
        report.dropped(Feature.CACHE_MARK, path, "the provider caches prompts by itself")
    members = own(tool.extra)
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    function.update(members_of(members.pop("function", None)))
    return {"type": "function", **members, "function": function}


def _write_format(form: ResponseFormat, traits: Traits, report: LossReport) -> dict[str, Any]:
    if form.kind == "text":
        return {"type": "text", **own(form.extra)}
    written: dict[str, Any] = {"type": "json_object"}
    if form.schema is not None:
        if traits.has_json_schema:
            written["json_schema"] = form.schema
        else:
            report.approximated(Feature.JSON_SCHEMA, "response_format", "JSON is asked for, but not this form of it")
    return written | own(form.extra)


def _write_thinking(config: ReasoningConfig, limit: int | None, report: LossReport) -> dict[str, Any] | None:
    if config.summary in ("omitted", "concise", "detailed"):
        report.dropped(Feature.REASONING_SUMMARY, "reasoning.summary", "thoughts come as the model has them")
    budget = config.budget_tokens
    if config.is_enabled is False or config.effort == "none" or (budget == 0 and config.is_enabled is None):
        disabled: dict[str, Any] = {"type": "disabled"}
        if budget:
            disabled["token_budget"] = budget
        return disabled | own(config.extra)
    if budget is None and config.effort is not None:
        budget = _BUDGETS.get(config.effort)
        if budget is not None and limit is not None:
            budget = min(budget, limit // 2)  # thoughts count towards the limit, and an answer must fit too
        note = "thoughts are switched on, " + ("unlimited" if budget is None else f"with at most {budget} tokens")
        report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", note)
    elif budget is None and config.is_enabled is None:
        return None
    written: dict[str, Any] = {"type": "enabled"}
    if budget is not None and budget >= 0:
        written["token_budget"] = budget
    return written | own(config.extra)


def _tell_rest(request: ChatRequest, report: LossReport) -> None:
    """Tell of every member for which the API has no place."""
    if any(modality != "text" for modality in request.modalities):
        report.refused(Feature.MODALITIES, "modalities", "the API answers in text")
    for feature, path, value in (
        (Feature.VERBOSITY, "verbosity", request.verbosity),
        (Feature.USER, "user", request.user),
        (Feature.METADATA, "metadata", request.metadata),
        (Feature.SERVICE_TIER, "service_tier", None if request.service_tier == "auto" else request.service_tier),
        (Feature.STORE, "store", request.store or None),
        (Feature.CACHE_MARK, "cache", request.cache),
        (Feature.CACHE_KEY, "cache_key", request.cache_key),
        (Feature.REASONING_REPLAY, "wants_encrypted_reasoning", request.wants_encrypted_reasoning or None),
    ):
        if value is not None:
            report.dropped(feature, path, _NO_MEMBER)
