"""Reads a client's request of Cohere's API, version 2 (docs.cohere.com/reference/chat)."""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Extension,
    Image,
    Message,
    Native,
    NativeTool,
    Part,
    ReasoningConfig,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
)
from gatewright.core.errors import Kind
from gatewright.core.events import merge_extensions
from gatewright.core.fields import Fields
from gatewright.dialects.cohere.message import read_assistant
from gatewright.dialects.cohere.names import NAME
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.media import read_data_url

_BAD: Final = Kind.MALFORMED_REQUEST
_ROLES: Final[dict[str, Role]] = {"system": "system", "developer": "developer", "user": "user"}


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """The hub's form of a request. Raises GatewayError (malformed_request) with the path of what is wrong."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    messages = tuple([_read_message(message) for message in body.required_objects("messages")])
    tools = _read_tools(body)
    choice = _read_tool_choice(body)
    sampling = Sampling(
        temperature=body.number("temperature"),
        top_p=body.number("p"),
        top_k=body.integer("k"),
        seed=body.integer("seed"),
        frequency_penalty=body.number("frequency_penalty"),
        presence_penalty=body.number("presence_penalty"),
        stop=body.strings("stop_sequences") or (),
        logprobs=body.boolean("logprobs"),
    )
    limit = body.integer("max_tokens")
    response_format = _read_format(body)
    reasoning = _read_thinking(body)
    return ChatRequest(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        response_format=response_format,
        reasoning=reasoning,
        sampling=sampling,
        max_output_tokens=limit,
        stream=stream,
        extra=body.rest(NAME),
    )


def _read_message(message: JsonObject) -> Message:
    role = message.required_string("role")
    if role == "assistant":
        parts, citations = read_assistant(message, _BAD)
        extra = message.rest(NAME)
        if citations:
            extra = merge_extensions(extra, Extension(NAME, {"citations": render_json(citations)}))
        return Message(role="assistant", parts=parts, extra=extra)
    if role == "tool":
        call_id = message.required_string("tool_call_id")
        content = _read_content(message)
        return Message(role="user", parts=(ToolResult(call_id=call_id, content=content, extra=message.rest(NAME)),))
    known = _ROLES.get(role)
    if known is None:
        raise message.error("role", "must be system, user, assistant or tool")
    parts = _read_content(message)
    return Message(role=known, parts=parts, extra=message.rest(NAME))


def _read_content(message: JsonObject) -> tuple[Part, ...]:
    raw = message.peek("content")
    if raw is not None and bytes(raw).startswith(b'"'):
        return (Text(text=message.required_string("content")),)
    path = message.at("content")
    return tuple([_read_part(item, f"{path}[{n}]") for n, item in enumerate(message.items("content") or ())])


def _read_part(raw: Raw, path: str) -> Part:
    block = JsonObject.parse(raw, path)
    type_ = block.string("type") or "text"
    if type_ == "text":
        return Text(text=block.required_string("text"), extra=block.rest(NAME))
    if type_ == "image_url":
        return _read_image(block)
    if type_ == "document" and block.has("document"):
        # Other dialects read its data; this one gets the document back, whose id its citations name.
        document = JsonObject.parse(block.peek("document") or Raw(b"{}"), block.at("document"))
        return Text(text=_document_text(document), extra=Extension(NAME, {"block": raw}))
    return Native(dialect=NAME, kind=type_, raw=raw)


def _document_text(document: JsonObject) -> str:
    data = document.peek("data")
    if data is None:
        return str(bytes(document.spelled()), "utf-8", "replace")
    if bytes(data).startswith(b'"'):
        return document.string("data") or ""
    return str(bytes(data), "utf-8", "replace")


def _read_image(block: JsonObject) -> Image:
    raw = block.peek("image_url")
    if raw is not None and bytes(raw).startswith(b'"'):
        url, detail, inner = block.required_string("image_url"), None, None
    else:
        image = block.object("image_url")
        if image is None:
            raise block.error("image_url", "is missing")
        url, detail = image.required_string("url"), image.string("detail")
        inner = image.rest(NAME)
    members = None if inner is None else Extension(NAME, {"image_url": render_json(inner.members)})
    return Image(source=read_data_url(url), detail=detail, extra=merge_extensions(block.rest(NAME), members))


def _read_tools(body: JsonObject) -> tuple[Tool | NativeTool, ...]:
    path = body.at("tools")
    items = body.items("tools") or []
    strict = body.boolean("strict_tools") if items else None
    return tuple([_read_tool(raw, f"{path}[{index}]", strict) for index, raw in enumerate(items)])


def _read_tool(raw: Raw, path: str, strict: bool | None) -> Tool | NativeTool:
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
    inner, outer = function.rest(NAME), tool.rest(NAME)
    members = {} if outer is None else dict(outer.members)
    if inner is not None:
        members["function"] = render_json(inner.members)
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        strict=strict,
        extra=Extension(NAME, members) if members else None,
    )


def _read_tool_choice(body: JsonObject) -> ToolChoice | None:
    word = body.string("tool_choice")
    if word is None:
        return None
    match word.upper():
        case "REQUIRED":
            return ToolChoice(mode="required")
        case "NONE":
            return ToolChoice(mode="none")
        case _:
            raise body.error("tool_choice", "must be REQUIRED or NONE, or be left out")


def _read_format(body: JsonObject) -> ResponseFormat | None:
    form = body.object("response_format")
    if form is None:
        return None
    kind = form.string("type") or "text"
    schema = form.raw("json_schema")
    extra = form.rest(NAME)
    if kind == "text":
        return ResponseFormat(kind="text", extra=extra)
    if kind != "json_object":
        raise form.error("type", "must be text or json_object")
    return ResponseFormat(kind="json" if schema is None else "json_schema", schema=schema, extra=extra)


def _read_thinking(body: JsonObject) -> ReasoningConfig | None:
    thinking = body.object("thinking")
    if thinking is None:
        return None
    kind = thinking.string("type") or "enabled"
    if kind not in ("enabled", "disabled"):
        raise thinking.error("type", "must be enabled or disabled")
    budget = thinking.integer("token_budget")
    return ReasoningConfig(is_enabled=kind == "enabled", budget_tokens=budget, extra=thinking.rest(NAME))
