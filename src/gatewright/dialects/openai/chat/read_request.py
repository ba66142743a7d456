"""A client's chat completion request as the hub's (platform.openai.com/docs/api-reference/chat/create)."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Extension,
    NativeTool,
    ReasoningConfig,
    ResponseFormat,
    Sampling,
    Tool,
    ToolChoice,
)
from gatewright.core.fields import Fields
from gatewright.dialects.openai.chat.media import read_cache
from gatewright.dialects.openai.chat.read_message import MessageReader
from gatewright.dialects.openai.chat.words import NAME, extended
from gatewright.wire.json_object import JsonObject, render_json

_MODES: Final[dict[str, Literal["auto", "none", "required"]]] = {
    "auto": "auto",
    "none": "none",
    "required": "required",
    "any": "required",
}


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """Read a request; members it does not know travel in the extension. Raises GatewayError (malformed_request)."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    messages = MessageReader().read_all(body)
    if messages and messages[-1].role == "assistant" and messages[-1].extra is None:
        # A last message of the assistant means here what it means upstream, so it needs no telling.
        messages[-1] = msgspec.structs.replace(messages[-1], extra=Extension(NAME, {}))
    include_usage, options = _read_stream_options(body)
    max_tokens = body.integer("max_completion_tokens")
    request = ChatRequest(
        model=model,
        messages=tuple(messages),
        tools=_read_tools(body),
        tool_choice=_read_choice(body),
        parallel_tool_calls=body.boolean("parallel_tool_calls"),
        response_format=_read_format(body),
        reasoning=_read_reasoning(body),
        sampling=read_sampling(body),
        max_output_tokens=max_tokens if max_tokens is not None else body.integer("max_tokens"),
        modalities=body.strings("modalities") or (),
        verbosity=body.string("verbosity"),
        user=body.string("user"),
        metadata=_read_metadata(body),
        service_tier=body.string("service_tier"),
        store=body.boolean("store"),
        cache_key=body.string("prompt_cache_key"),
        stream=stream,
        include_usage=include_usage,
    )
    extra = body.rest(NAME)
    if options is not None:
        extra = extended(extra, stream_options=render_json(options.members))
    return msgspec.structs.replace(request, extra=extra)


def read_sampling(body: JsonObject) -> Sampling:
    """The members that say how tokens are chosen."""
    return Sampling(
        temperature=body.number("temperature"),
        top_p=body.number("top_p"),
        top_k=body.integer("top_k"),
        seed=body.integer("seed"),
        frequency_penalty=body.number("frequency_penalty"),
        presence_penalty=body.number("presence_penalty"),
        stop=read_stop(body),
        n=body.integer("n"),
        logprobs=body.boolean("logprobs"),
        top_logprobs=body.integer("top_logprobs"),
        logit_bias=body.raw("logit_bias"),
    )


def read_stop(body: JsonObject) -> tuple[str, ...]:
    """Stop sequences: one string or a list of them."""
    raw = body.peek("stop")
    if raw is not None and bytes(raw)[:1] == b'"':
        return (body.required_string("stop"),)
    return body.strings("stop") or ()


def _read_stream_options(body: JsonObject) -> tuple[bool, Extension | None]:
    options = body.object("stream_options")
    if options is None:
        return False, None
    return options.boolean("include_usage") or False, options.rest(NAME)


def _read_metadata(body: JsonObject) -> dict[str, str] | None:
    raw = body.peek("metadata")
    if raw is None:
        return None
    value: Any = body.any("metadata")
    if isinstance(value, dict) and all(isinstance(entry, str) for entry in value.values()):
        return value
    body.keep("metadata", raw)  # a host's own use of the member
    return None


def _read_tools(body: JsonObject) -> tuple[Tool | NativeTool, ...]:
    tools = [_read_tool(tool, raw) for tool, raw in _with_spelling(body, "tools")]
    for function in body.objects("functions") or ():
        tool = _read_function(function, None)
        tools.append(msgspec.structs.replace(tool, extra=extended(tool.extra, form="functions")))
    return tuple(tools)


def _with_spelling(body: JsonObject, name: str) -> list[tuple[JsonObject, Raw]]:
    path = body.at(name)
    items = body.items(name) or []
    return [(JsonObject.parse(raw, f"{path}[{index}]"), raw) for index, raw in enumerate(items)]


def _read_tool(tool: JsonObject, raw: Raw) -> Tool | NativeTool:
    kind = tool.string("type") or "function"
    cache = read_cache(tool)
    if kind == "function":
        function = tool.object("function")
        if function is None:
            raise tool.error("function", "is missing")
        read = _read_function(function, tool.rest(NAME))
        return read if cache is None else msgspec.structs.replace(read, cache=cache)
    if kind == "custom":
        custom = tool.object("custom")
        if custom is None:
            raise tool.error("custom", "is missing")
        name, description = custom.required_string("name"), custom.string("description")
        extra = tool.rest(NAME)
        if (rest := custom.rest(NAME)) is not None:
            extra = extended(extra, custom=rest.members)
        return Tool(name=name, description=description, is_custom=True, cache=cache, extra=extra)
    return NativeTool(dialect=NAME, kind=kind, raw=raw, cache=cache)


def _read_function(function: JsonObject, extra: Extension | None) -> Tool:
    name = function.required_string("name")
    description = function.string("description")
    parameters = function.raw("parameters")
    strict = function.boolean("strict")
    if (rest := function.rest(NAME)) is not None:
        extra = extended(extra, function=rest.members)
    return Tool(name=name, description=description, parameters=parameters, strict=strict, extra=extra)


def _read_choice(body: JsonObject) -> ToolChoice | None:
    for name in ("tool_choice", "function_call"):
        raw = body.peek(name)
        if raw is None:
            continue
        if bytes(raw)[:1] == b'"':
            word = body.required_string(name)
            mode = _MODES.get(word)
            if mode is None:
                body.keep(name, raw)
                return None
            spelled = Extension(NAME, {name: raw}) if word == "any" or name == "function_call" else None
            return ToolChoice(mode=mode, extra=spelled)
        choice = body.object(name)
        if choice is None:
            continue
        read = _read_named(choice) if name == "tool_choice" else _named(choice.required_string("name"))
        if read is None:
            body.keep(name, raw)
            return None
        return msgspec.structs.replace(read, extra=Extension(NAME, {name: raw}))
    return None


def _named(name: str) -> ToolChoice:
    return ToolChoice(mode="named", name=name)


def _read_named(choice: JsonObject) -> ToolChoice | None:
    kind = choice.string("type") or "function"
    if kind in ("function", "custom"):
        function = choice.object(kind)
        if function is None:
            raise choice.error(kind, "is missing")
        return _named(function.required_string("name"))
    if kind != "allowed_tools":
        return None
    allowed = choice.object("allowed_tools")
    if allowed is None:
        raise choice.error("allowed_tools", "is missing")
    mode = _MODES.get(allowed.string("mode") or "auto", "auto")
    names = []
    for tool in allowed.objects("tools") or ():
        inner = tool.object(tool.string("type") or "function")
        if inner is not None:
            names.append(inner.required_string("name"))
    return ToolChoice(mode=mode, allowed=tuple(names))


def _read_format(body: JsonObject) -> ResponseFormat | None:
    raw = body.peek("response_format")
    if raw is None or bytes(raw)[:1] != b"{":
        return None
    form = body.object("response_format")
    assert form is not None
    match form.string("type"):
        case "text":
            return ResponseFormat(kind="text", extra=form.rest(NAME))
        case "json_object" if not form.has("schema"):
            return ResponseFormat(kind="json", extra=form.rest(NAME))
        case "json_schema":
            schema = form.object("json_schema")
            if schema is None:
                raise form.error("json_schema", "is missing")
            read = ResponseFormat(
                kind="json_schema",
                name=schema.string("name"),
                description=schema.string("description"),
                schema=schema.raw("schema"),
                strict=schema.boolean("strict"),
            )
            extra = form.rest(NAME)
            if (rest := schema.rest(NAME)) is not None:
                extra = extended(extra, json_schema=rest.members)
            return read if extra is None else msgspec.structs.replace(read, extra=extra)
        case _:
            body.keep("response_format", raw)  # a host's own form
            return None


def _read_reasoning(body: JsonObject) -> ReasoningConfig | None:
    spelled = body.peek("reasoning_effort")
    effort = body.string("reasoning_effort")
    budget: int | None = None
    enabled: bool | None = None
    extra: Extension | None = None
    config = body.peek("reasoning")
    if config is not None and bytes(config)[:1] == b"{":  # OpenRouter
        inner = JsonObject.parse(config, "reasoning")
        effort = effort or inner.string("effort")
        budget, enabled = inner.integer("max_tokens"), inner.boolean("enabled")
        extra = extended(None, reasoning=config)
        body.drop("reasoning")
    thinking = body.peek("thinking")
    if thinking is not None and bytes(thinking)[:1] == b"{":  # DeepSeek, Z.ai, Moonshot
        word = JsonObject.parse(thinking, "thinking").string("type")
        if word in ("enabled", "disabled"):
            enabled = word == "enabled"
        extra = extended(extra, thinking=thinking)
        body.drop("thinking")
    if effort is None and extra is None:
        return None
    if spelled is not None and (extra is not None or effort == "max"):
        extra = extended(extra, reasoning_effort=spelled)
    return ReasoningConfig(effort=effort, budget_tokens=budget, is_enabled=enabled, extra=extra)
