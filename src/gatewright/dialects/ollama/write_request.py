"""Writes a request of the Ollama API (docs.ollama.com/api/chat).

`stream` is always written, because the API streams when it is absent.
"""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import ChatRequest, NativeTool, ReasoningConfig, ResponseFormat, Tool, ToolChoice
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.ollama.names import NAME, is_own, own
from gatewright.dialects.ollama.write_messages import MessageWriter
from gatewright.wire.json_object import JsonObject

_LEVELS: Final = ("low", "medium", "high", "max")
_NEAREST: Final = {"minimal": "low", "xhigh": "high"}
_NO_MEMBER: Final = "the API has no such member"


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of an upstream's request body. Tells the report whatever is not carried over exactly."""
    members: dict[str, Any] = {
        "model": request.model,
        "messages": MessageWriter(request, report).write(),
        "stream": request.stream,
    }
    tools = _write_tools(request, report)
    if tools:
        members["tools"] = tools
    if request.response_format is not None:
        form = _write_format(request.response_format, traits, report)
        if form is not None:
            members["format"] = form
    if request.reasoning is not None:
        think = _write_think(request.reasoning, report)
        if think is not None:
            members["think"] = think
    wishes = {"logprobs": request.sampling.logprobs, "top_logprobs": request.sampling.top_logprobs}
    members.update((name, value) for name, value in wishes.items() if value is not None)
    options = _write_options(request, report)
    _write_extra(request, members, options, report)
    if options:
        members["options"] = options
    _tell_rest(request, report)
    return members


def _write_extra(request: ChatRequest, members: dict[str, Any], options: dict[str, Any], report: LossReport) -> None:
    extra = request.extra
    if extra is None:
        return
    if extra.dialect != NAME:
        tell_foreign(extra, NAME, report)
        return
    rest: dict[str, Any] = dict(extra.members)
    more = rest.pop("options", None)
    if more is not None:
        found = JsonObject.parse(more, "options").rest(NAME)
        options.update({} if found is None else found.members)
    members.update(rest)


def _write_options(request: ChatRequest, report: LossReport) -> dict[str, Any]:
    sampling = request.sampling
    options: dict[str, Any] = {
        "num_predict": request.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "stop": list(sampling.stop) or None,
    }
    if sampling.n is not None and sampling.n > 1:
        report.refused(Feature.N, "sampling.n", "the API gives one answer at a time")
    if sampling.logit_bias is not None:
        report.dropped(Feature.LOGIT_BIAS, "sampling.logit_bias", _NO_MEMBER)
    return {name: value for name, value in options.items() if value is not None}


def _write_tools(request: ChatRequest, report: LossReport) -> list[Any]:
    allowed = _allowed(request.tool_choice, report)
    if request.parallel_tool_calls is False and request.tools:
        report.dropped(Feature.PARALLEL_TOOLS, "parallel_tool_calls", _NO_MEMBER)
    tools: list[Any] = []
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        if isinstance(tool, NativeTool):
            if tool.dialect == NAME:
                tools.append(tool.raw)
            else:
                report.refused(Feature.NATIVE_TOOLS, path, f"{tool.kind} is hosted by another vendor")
        elif allowed is None or tool.name in allowed:
            tools.extend(_write_tool(tool, path, report))
    return tools


def _allowed(choice: ToolChoice | None, report: LossReport) -> tuple[str, ...] | None:
    """The tools that may be told of; None for all."""
    if choice is None:
        return None
    if choice.mode == "none":
        report.approximated(Feature.TOOL_CHOICE_NONE, "tool_choice", "the tools are left out")
        return ()
    if choice.mode == "named":
        report.refused(Feature.TOOL_CHOICE_NAMED, "tool_choice", "the API cannot demand a call")
        return None
    if choice.mode == "required":
        report.refused(Feature.TOOL_CHOICE_REQUIRED, "tool_choice", "the API cannot demand a call")
    if choice.allowed is not None:
        report.approximated(Feature.TOOL_CHOICE_ALLOWED, "tool_choice.allowed", "the other tools are left out")
    return choice.allowed


def _write_tool(tool: Tool, path: str, report: LossReport) -> list[dict[str, Any]]:
    if tool.is_custom:
        report.refused(Feature.CUSTOM_TOOLS, path, "the API knows tools with JSON arguments only")
        return []
    if tool.strict:
        report.dropped(Feature.STRICT_TOOLS, f"{path}.strict", "the API does not hold calls to their schema")
    if tool.cache is not None:
        report.dropped(Feature.CACHE_MARK, path, "the server caches prompts by itself")
    members = own(tool.extra)
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    elif not is_own(tool.extra):
        function["parameters"] = {"type": "object", "properties": {}}
    more = members.pop("function", None)
    if more is not None:
        found = JsonObject.parse(more).rest(NAME)
        function.update({} if found is None else found.members)
    return [{"type": "function", **members, "function": function}]


def _write_format(form: ResponseFormat, traits: Traits, report: LossReport) -> Any:
    if form.kind == "text":
        return None
    if form.kind == "json" or form.schema is None:
        return "json"
    if not traits.has_json_schema:
        report.approximated(Feature.JSON_SCHEMA, "response_format", "JSON is asked for, but not this form of it")
        return "json"
    return form.schema


def _write_think(config: ReasoningConfig, report: LossReport) -> bool | str | None:
    """Thoughts are switched, or told one of three levels by models that know them."""
    if config.summary in ("omitted", "concise", "detailed"):
        report.dropped(Feature.REASONING_SUMMARY, "reasoning.summary", "thoughts come as the model has them")
    if config.is_enabled is False or config.effort == "none" or config.budget_tokens == 0:
        return False
    if config.budget_tokens is not None and config.budget_tokens > 0:
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", "thoughts are switched on, unlimited")
    effort = config.effort
    if effort is None:
        return True if config.is_enabled or config.budget_tokens is not None else None
    if effort in _LEVELS or is_own(config.extra):
        return effort
    nearest = _NEAREST.get(effort)
    report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", f"sent as {nearest or 'true'}")
    return nearest or True


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
