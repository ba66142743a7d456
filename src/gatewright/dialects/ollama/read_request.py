"""Reads a client's request of the Ollama API (docs.ollama.com/api/chat)."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gatewright.core.call_ids import OpenCalls, make_call_id
from gatewright.core.chat import (
    ChatRequest,
    Extension,
    Message,
    NativeTool,
    Part,
    ReasoningConfig,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from gatewright.core.events import merge_extensions
from gatewright.core.fields import Fields
from gatewright.dialects.ollama.message import read_images, read_parts
from gatewright.dialects.ollama.names import NAME, mark
from gatewright.wire.json_object import JsonObject, render_json

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "developer": "developer"}


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """The hub's form of a request. Raises GatewayError (malformed_request) with the path of what is wrong."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    messages = _read_messages(body)
    sampling, limit, options = _read_options(body)
    tools = _read_tools(body)
    reasoning = _read_think(body)
    response_format = _read_format(body)
    return ChatRequest(
        model=model,
        messages=messages,
        tools=tools,
        response_format=response_format,
        reasoning=reasoning,
        sampling=sampling,
        max_output_tokens=limit,
        stream=stream,
        extra=merge_extensions(body.rest(NAME), options),
    )


def _read_messages(body: JsonObject) -> tuple[Message, ...]:
    calls = OpenCalls()
    return tuple([_read_message(message, index, calls) for index, message in enumerate(body.objects("messages") or [])])


def _read_message(message: JsonObject, index: int, calls: OpenCalls) -> Message:
    role = message.required_string("role")
    if role == "tool":
        return Message(role="user", parts=(_read_result(message, index, calls),))
    known = _ROLES.get(role)
    if known is None:
        raise message.error("role", "must be system, user, assistant or tool")
    parts = read_parts(message, f"request{index}")
    if known == "assistant":
        for part in parts:
            if isinstance(part, ToolCall):
                calls.made(part.id, part.name)
    return Message(role=known, parts=parts, extra=message.rest(NAME))


def _read_result(message: JsonObject, index: int, calls: OpenCalls) -> ToolResult:
    name = message.string("tool_name")
    text = message.string("content")
    content: list[Part] = [Text(text=text)] if text else []
    content.extend(read_images(message))
    call_id = message.string("tool_call_id")
    # What the client left out is not filled in when the message is sent on in its own dialect.
    absent = None if call_id else Extension(NAME, {"tool_call_id": Raw(b"null")})
    return ToolResult(
        call_id=calls.answered(call_id, name) or make_call_id("result", index),
        name=name,
        content=tuple(content),
        extra=mark(merge_extensions(message.rest(NAME), absent)),
    )


def _read_options(body: JsonObject) -> tuple[Sampling, int | None, Extension | None]:
    """Sampling, the output limit, and the options that only this API has."""
    raw = body.peek("options")
    has_logprobs, top_logprobs = body.boolean("logprobs"), body.integer("top_logprobs")
    if raw is None:
        body.drop("options")
        return Sampling(logprobs=has_logprobs, top_logprobs=top_logprobs), None, None
    options = JsonObject.parse(raw, "options")
    body.drop("options")
    # Below zero is no limit: endless, or until the context is full.
    limit = options.peek("num_predict")
    max_tokens = None if limit is None or bytes(limit).startswith(b"-") else options.integer("num_predict")
    sampling = Sampling(
        temperature=options.number("temperature"),
        top_p=options.number("top_p"),
        top_k=options.integer("top_k"),
        seed=options.integer("seed"),
        frequency_penalty=options.number("frequency_penalty"),
        presence_penalty=options.number("presence_penalty"),
        stop=_read_stop(options),
        logprobs=has_logprobs,
        top_logprobs=top_logprobs,
    )
    rest = options.rest(NAME)
    return sampling, max_tokens, None if rest is None else Extension(NAME, {"options": render_json(rest.members)})


def _read_stop(options: JsonObject) -> tuple[str, ...]:
    raw = options.peek("stop")
    if raw is not None and bytes(raw).startswith(b'"'):
        return (options.string("stop") or "",)
    return options.strings("stop") or ()


def _read_format(body: JsonObject) -> ResponseFormat | None:
    raw = body.raw("format")
    if raw is None or bytes(raw) == b'""':
        return None
    if bytes(raw) == b'"json"':
        return ResponseFormat(kind="json")
    if not bytes(raw).startswith(b"{"):
        raise body.error("format", 'must be "json" or a JSON Schema')
    return ResponseFormat(kind="json_schema", schema=raw)


def _read_think(body: JsonObject) -> ReasoningConfig | None:
    raw = body.peek("think")
    if raw is None:
        body.drop("think")
        return None
    if bytes(raw).startswith(b'"'):
        return ReasoningConfig(effort=body.string("think"), extra=mark(None))
    return ReasoningConfig(is_enabled=body.boolean("think"))


def _read_tools(body: JsonObject) -> tuple[Tool | NativeTool, ...]:
    path = body.at("tools")
    return tuple([_read_tool(raw, f"{path}[{index}]") for index, raw in enumerate(body.items("tools") or [])])


def _read_tool(raw: Raw, path: str) -> Tool | NativeTool:
    tool = JsonObject.parse(raw, path)
    kind = tool.string("type") or "function"
    if kind != "function":
        return NativeTool(dialect=NAME, kind=kind, raw=raw)
    function = tool.object("function")
    if function is None:
        raise tool.error("function", "is missing")
    name = function.required_string("name")
    description = function.string("description")
    parameters = function.raw("parameters")
    inner, members = function.rest(NAME), tool.rest(NAME)
    extra: dict[str, Any] = {} if members is None else dict(members.members)
    if inner is not None:
        extra["function"] = render_json(inner.members)
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        extra=Extension(NAME, extra),
    )
