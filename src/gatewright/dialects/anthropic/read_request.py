"""A client's request → the hub's (platform.claude.com/docs/en/api/messages).

`max_tokens` may be absent: only this vendor demands it, and another may answer. `output_config` and `metadata` members
that the hub does not know stay under those names in the request's extension.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import (
    ChatRequest,
    Extension,
    Message,
    NativeTool,
    ResponseFormat,
    Role,
    Sampling,
    Tool,
    ToolChoice,
)
from gatewright.core.events import merge_extensions
from gatewright.core.fields import Fields
from gatewright.dialects.anthropic.read_blocks import read_content
from gatewright.dialects.anthropic.reasoning import read_reasoning
from gatewright.dialects.anthropic.vocabulary import NAME, read_cache
from gatewright.wire.json_object import JsonObject, render_json

_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_TIERS: Final = {"standard_only": "default"}
_CUSTOM: Final = "custom"


class _PlainMessage(Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["user", "assistant", "system"]
    content: Raw


_plain_messages = msgspec.json.Decoder(list[_PlainMessage])


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """The members of a Messages request. Raises GatewayError (malformed_request) naming the member that is wrong."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    messages = _messages(body)
    tool_choice, parallel = _tool_choice(body)
    config = body.object("output_config") or JsonObject({}, "output_config")
    reasoning = read_reasoning(body, config)
    response_format = _response_format(config)
    user, metadata = _metadata(body)
    tier = body.string("service_tier")
    nested = {"output_config": config.rest(NAME), "metadata": metadata}
    request = ChatRequest(
        model=model,
        messages=messages,
        tools=tuple([_tool(tool, raw) for tool, raw in _tools(body)]),
        tool_choice=tool_choice,
        parallel_tool_calls=parallel,
        response_format=response_format,
        reasoning=reasoning,
        sampling=Sampling(
            temperature=body.number("temperature"),
            top_p=body.number("top_p"),
            top_k=body.integer("top_k"),
            stop=body.strings("stop_sequences") or (),
        ),
        max_output_tokens=body.integer("max_tokens"),
        user=user,
        service_tier=_TIERS.get(tier, tier) if tier is not None else None,
        cache=read_cache(body),
        stream=stream,
        extra=merge_extensions(body.rest(NAME), _nested(nested)),
    )
    return request


def _nested(members: dict[str, Extension | None]) -> Extension | None:
    rest = {name: render_json(extra.members) for name, extra in members.items() if extra is not None}
    return Extension(NAME, rest) if rest else None


def _messages(body: JsonObject) -> tuple[Message, ...]:
    system = read_content(body.raw("system"), "", "system")
    messages = [Message(role="system", parts=system)] if system else []
    raw = body.raw("messages")
    if raw is None:
        raise body.error("messages", "is missing")
    try:
        # As nearly all clients write messages: with these two members alone.
        plain = _plain_messages.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        objects = JsonObject({"messages": raw}).required_objects("messages")
        return (*messages, *[_message(item) for item in objects])
    for index, item in enumerate(plain):
        parts = read_content(item.content, f"messages[{index}]", "content")
        messages.append(Message(role=item.role, parts=parts))
    return tuple(messages)


def _message(item: JsonObject) -> Message:
    role = _ROLES.get(item.required_string("role"))
    if role is None:
        raise item.error("role", "must be user, assistant or system")
    content = item.raw("content")
    if content is None:
        raise item.error("content", "is missing")
    return Message(role=role, parts=read_content(content, item.path, "content"), extra=item.rest(NAME))


def _tools(body: JsonObject) -> list[tuple[JsonObject, Raw]]:
    path = body.at("tools")
    items = body.items("tools") or ()
    return [(JsonObject.parse(item, f"{path}[{index}]"), item) for index, item in enumerate(items)]


def _tool(tool: JsonObject, raw: Raw) -> Tool | NativeTool:
    kind = tool.string("type") or _CUSTOM
    if kind != _CUSTOM:
        return NativeTool(dialect=NAME, kind=kind, raw=raw, cache=read_cache(tool))
    return Tool(
        name=tool.required_string("name"),
        description=tool.string("description"),
        parameters=tool.raw("input_schema"),
        strict=tool.boolean("strict"),
        cache=read_cache(tool),
        extra=tool.rest(NAME),
    )


def _tool_choice(body: JsonObject) -> tuple[ToolChoice | None, bool | None]:
    choice = body.object("tool_choice")
    if choice is None:
        return None, None
    kind = choice.required_string("type")
    single = choice.boolean("disable_parallel_tool_use")
    parallel = None if single is None else not single
    if kind == "tool":
        name = choice.required_string("name")
        return ToolChoice(mode="named", name=name, extra=choice.rest(NAME)), parallel
    extra = choice.rest(NAME)
    match kind:
        case "auto":
            return ToolChoice(mode="auto", extra=extra), parallel
        case "any":
            return ToolChoice(mode="required", extra=extra), parallel
        case "none":
            return ToolChoice(mode="none", extra=extra), parallel
        case _:
            raise choice.error("type", "must be auto, any, tool or none")


def _response_format(config: JsonObject) -> ResponseFormat | None:
    format_ = config.object("format")
    if format_ is None:
        return None
    if format_.required_string("type") != "json_schema":
        raise format_.error("type", "must be json_schema")
    schema = format_.raw("schema")
    if schema is None:
        raise format_.error("schema", "is missing")
    # The extension, even empty, says that the schema follows this vendor's rules.
    return ResponseFormat(kind="json_schema", schema=schema, extra=format_.rest(NAME) or Extension(NAME, {}))


def _metadata(body: JsonObject) -> tuple[str | None, Extension | None]:
    metadata = body.object("metadata")
    if metadata is None:
        return None, None
    return metadata.string("user_id"), metadata.rest(NAME)
