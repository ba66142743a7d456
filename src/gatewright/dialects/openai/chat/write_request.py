"""The hub's request as a chat completion request (platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw, structs

from gatewright.core.chat import ChatRequest, NativeTool, ReasoningConfig, ResponseFormat, Tool, ToolChoice
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.openai.chat.media import form_of, rest_of
from gatewright.dialects.openai.chat.words import NAME, own
from gatewright.dialects.openai.chat.write_message import MessageWriter
from gatewright.wire.json_object import JsonObject

_BUDGETS: Final = ((2048, "low"), (8192, "medium"))
"""Budgets of thought and the effort that comes near, the first that is not smaller counts."""


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """Write a request; a streaming one always asks for usage, which the gateway must know."""
    members: dict[str, Any] = {"model": request.model}
    writer = MessageWriter(traits, report)
    members["messages"] = []
    form = request.response_format
    if form is not None and form.kind == "json_schema" and not traits.has_json_schema:
        report.approximated(Feature.JSON_SCHEMA, "response_format", "JSON mode, with the schema as an instruction")
        writer.messages.append(_schema_message(form, traits))
        form = ResponseFormat(kind="json")
    for index, message in enumerate(request.messages):
        writer.write(message, f"messages[{index}]")
    members["messages"] = writer.end()
    _tell_of_prefill(request, report)
    _write_tools(request, members, report)
    if form is not None:
        members["response_format"] = _write_format(form)
    if request.reasoning is not None:
        members |= _write_reasoning(request.reasoning, report)
    members |= write_sampling(request, traits, report)
    if request.max_output_tokens is not None:
        members["max_completion_tokens"] = request.max_output_tokens
    _write_plain(request, members, report)
    _write_extra(request, members, report)
    if request.stream:
        members["stream"] = True
        options = members.pop("stream_options", None)
        rest = None if options is None else JsonObject.parse(options).rest(NAME)
        members["stream_options"] = {**({} if rest is None else rest.members), "include_usage": True}
    return members


def _schema_message(form: ResponseFormat, traits: Traits) -> dict[str, Any]:
    schema = "{}" if form.schema is None else bytes(form.schema).decode()
    role = "system" if traits.has_system_role else "developer"
    return {"role": role, "content": f"Answer with one JSON object that is valid by this JSON Schema:\n{schema}"}


def _tell_of_prefill(request: ChatRequest, report: LossReport) -> None:
    last = request.messages[-1] if request.messages else None
    if last is not None and last.role == "assistant" and (last.extra is None or last.extra.dialect != NAME):
        path = f"messages[{len(request.messages) - 1}]"
        report.approximated(Feature.PREFILL, path, "the provider may answer anew instead of continuing it")


def _write_plain(request: ChatRequest, members: dict[str, Any], report: LossReport) -> None:
    tier = request.service_tier
    if tier == "standard_only":  # Anthropic's word for it
        report.approximated(Feature.SERVICE_TIER, "service_tier", "sent as `default`")
        tier = "default"
    if request.cache is not None:
        report.dropped(Feature.CACHE_MARK, "cache", "the provider chooses by itself what it caches")
    values = {
        "modalities": list(request.modalities) or None,
        "verbosity": request.verbosity,
        "user": request.user,
        "metadata": request.metadata,
        "service_tier": tier,
        "store": request.store,
        "prompt_cache_key": request.cache_key,
    }
    members |= {name: value for name, value in values.items() if value is not None}


def write_sampling(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members that say how tokens are chosen."""
    sampling = request.sampling
    if sampling.top_k is not None and not traits.has_top_k:
        report.dropped(Feature.TOP_K, "sampling.top_k", "the provider refuses requests that hold it")
        sampling = structs.replace(sampling, top_k=None)
    values = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "stop": list(sampling.stop) or None,
        "n": sampling.n,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "logit_bias": sampling.logit_bias,
    }
    return {name: value for name, value in values.items() if value is not None}


def _write_extra(request: ChatRequest, members: dict[str, Any], report: LossReport) -> None:
    for name, value in own(request.extra).items():
        members.setdefault(name, value)
    tell_foreign(request.extra, NAME, report)


# -- tools


def _write_tools(request: ChatRequest, members: dict[str, Any], report: LossReport) -> None:
    tools: list[Any] = []
    functions: list[Any] = []
    has_told_cache = False
    for index, tool in enumerate(request.tools):
        if isinstance(tool, NativeTool):
            if tool.dialect == NAME:
                tools.append(tool.raw)
            else:
                report.refused(Feature.NATIVE_TOOLS, f"tools[{index}]", f"`{tool.kind}` runs only at its own vendor")
            continue
        if tool.cache is not None and not own(tool.extra) and not has_told_cache:
            has_told_cache = True
            report.dropped(Feature.CACHE_MARK, f"tools[{index}]", "the provider chooses by itself what it caches")
        if form_of(tool) == "functions":
            functions.append(_write_function(tool))
        else:
            tools.append(_write_tool(tool))
    if tools:
        members["tools"] = tools
    if functions:
        members["functions"] = functions
    if request.tool_choice is not None:
        members |= _write_choice(request.tool_choice, request, has_tools=bool(tools or functions))
    if request.parallel_tool_calls is not None and (tools or not request.tools):
        members["parallel_tool_calls"] = request.parallel_tool_calls


def _members(raw: Raw | None) -> dict[str, Any]:
    rest = None if raw is None else JsonObject.parse(raw).rest(NAME)
    return {} if rest is None else dict(rest.members)


def _write_function(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {**function, **_members(own(tool.extra).get("function"))}


def _write_tool(tool: Tool) -> dict[str, Any]:
    if tool.is_custom:
        described = {} if tool.description is None else {"description": tool.description}
        custom = {"name": tool.name, **described, **_members(own(tool.extra).get("custom"))}
        return {"type": "custom", "custom": custom, **rest_of(tool, "custom")}
    return {"type": "function", "function": _write_function(tool), **rest_of(tool, "function")}


def _write_choice(choice: ToolChoice, request: ChatRequest, *, has_tools: bool) -> dict[str, Any]:
    spelled = own(choice.extra)
    if spelled:
        return dict(spelled)
    if not has_tools and request.tools:
        return {}  # every tool was left out, and told: a choice among none is an error
    if choice.mode == "named":
        is_custom = any(isinstance(t, Tool) and t.name == choice.name and t.is_custom for t in request.tools)
        kind = "custom" if is_custom else "function"
        return {"tool_choice": {"type": kind, kind: {"name": choice.name}}}
    if choice.allowed is not None and choice.mode != "none":
        custom = {tool.name for tool in request.tools if isinstance(tool, Tool) and tool.is_custom}
        tools = []
        for name in choice.allowed:
            kind = "custom" if name in custom else "function"
            tools.append({"type": kind, kind: {"name": name}})
        return {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": choice.mode, "tools": tools}}}
    return {"tool_choice": choice.mode}


# -- form and reasoning


def _write_format(form: ResponseFormat) -> dict[str, Any]:
    extra = own(form.extra)
    if form.kind != "json_schema":
        return {"type": "text" if form.kind == "text" else "json_object", **extra}
    schema: dict[str, Any] = {}
    if form.name is not None or not extra:
        schema["name"] = form.name or "response"
    if form.description is not None:
        schema["description"] = form.description
    if form.schema is not None:
        schema["schema"] = form.schema
    if form.strict is not None:
        schema["strict"] = form.strict
    rest = {name: value for name, value in extra.items() if name != "json_schema"}
    return {"type": "json_schema", "json_schema": {**schema, **_members(extra.get("json_schema"))}, **rest}


def _write_reasoning(config: ReasoningConfig, report: LossReport) -> dict[str, Any]:
    spelled = own(config.extra)
    if spelled:
        return dict(spelled)
    if config.summary is not None and config.summary != "omitted":
        report.dropped(Feature.REASONING_SUMMARY, "reasoning.summary", "it cannot be asked for; some hosts always tell")
    effort = config.effort
    if effort is not None:
        if effort == "max":
            report.approximated(Feature.REASONING_EFFORT, "reasoning.effort", "sent as `xhigh`")
            effort = "xhigh"
        return {"reasoning_effort": effort}
    budget = config.budget_tokens
    if config.is_enabled is False or budget == 0:
        report.approximated(Feature.REASONING_EFFORT, "reasoning", "sent as effort `none`")
        return {"reasoning_effort": "none"}
    if budget is not None and budget > 0:
        effort = next((word for limit, word in _BUDGETS if budget <= limit), "high")
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"sent as effort `{effort}`")
        return {"reasoning_effort": effort}
    if budget is not None or config.is_enabled:
        report.approximated(Feature.REASONING_EFFORT, "reasoning", "left to the model")
    return {}
