"""A client's Converse request → the hub's (docs.aws.amazon.com/bedrock/latest/APIReference, API_runtime_Converse)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import (
    ChatRequest,
    Extension,
    Message,
    NativeTool,
    ReasoningConfig,
    ResponseFormat,
    Role,
    Sampling,
    Tool,
    ToolChoice,
)
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.dialects.bedrock.model_fields import ModelFields, read_effort, read_model_fields
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.read_blocks import read_blocks, read_cache_point
from gatewright.wire.json_object import JsonObject, render_json

IN_PLACE: Final = Extension(NAME, {"role": Raw(b'"system"')})
"""Marks a system message that the client put inside the conversation."""
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant", "system": "system"}
_strings: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
_any = msgspec.json.Decoder()


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """Read a request. Raises GatewayError (malformed_request) that names the member; unknown members are kept."""
    request = JsonObject(fields)
    kept: dict[str, Raw] = {}
    system = read_blocks(request.items("system") or [], "system", Kind.MALFORMED_REQUEST)
    items = request.items("messages") or []
    messages = tuple(_read_message(item, f"messages[{index}]") for index, item in enumerate(items))
    if system:
        messages = (Message(role="system", parts=system), *messages)
    sampling, limit = _read_inference(request, kept)
    tools, choice = _read_tools(request, kept)
    form, effort = _read_output(request, kept)
    model_fields = _read_model_fields(request, effort, kept)
    tier = _read_tier(request, kept)
    metadata = _read_metadata(request, kept)
    rest = request.rest(NAME)
    members = kept if rest is None else {**rest.members, **kept}
    return ChatRequest(
        model=model,
        messages=messages,
        tools=tools,
        tool_choice=choice,
        response_format=form,
        reasoning=model_fields.reasoning,
        sampling=sampling
        if model_fields.top_k is None
        else msgspec.structs.replace(sampling, top_k=model_fields.top_k),
        max_output_tokens=limit,
        metadata=metadata,
        service_tier=tier,
        stream=stream,
        extra=Extension(NAME, members) if members else None,
    )


class _Turn(Struct, forbid_unknown_fields=True):
    """A message without members of its own, as nearly all are: read at once instead of member by member."""

    role: Literal["user", "assistant"]
    content: list[Raw]


_turn = msgspec.json.Decoder(_Turn)


def _read_message(item: Raw, path: str) -> Message:
    try:
        turn = _turn.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _read_any_message(JsonObject.parse(item, path))
    return Message(role=turn.role, parts=read_blocks(turn.content, f"{path}.content", Kind.MALFORMED_REQUEST))


def _read_any_message(message: JsonObject) -> Message:
    role = _ROLES.get(message.required_string("role"))
    if role is None:
        raise message.error("role", "must be `user`, `assistant` or `system`")
    items = message.items("content")
    if items is None:
        raise message.error("content", "is missing")
    parts = read_blocks(items, message.at("content"), Kind.MALFORMED_REQUEST)
    rest = message.rest(NAME)
    if role == "system":
        rest = IN_PLACE if rest is None else Extension(NAME, {**rest.members, **IN_PLACE.members})
    return Message(role=role, parts=parts, extra=rest)


def _read_inference(request: JsonObject, kept: dict[str, Raw]) -> tuple[Sampling, int | None]:
    config = request.object("inferenceConfig")
    if config is None:
        return Sampling(), None
    sampling = Sampling(
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        stop=config.strings("stopSequences") or (),
    )
    limit = config.integer("maxTokens")
    _keep(config, "inferenceConfig", kept)
    return sampling, limit


def _keep(object_: JsonObject, name: str, kept: dict[str, Raw]) -> None:
    """What was not taken of a member stays an extension under the member's name."""
    rest = object_.rest(NAME)
    if rest is not None:
        kept[name] = render_json(rest.members)


def _read_tools(request: JsonObject, kept: dict[str, Raw]) -> tuple[tuple[Tool | NativeTool, ...], ToolChoice | None]:
    config = request.object("toolConfig")
    if config is None:
        return (), None
    tools: list[Tool | NativeTool] = []
    path = config.at("tools")
    for index, item in enumerate(config.items("tools") or []):
        entry = JsonObject.parse(item, f"{path}[{index}]")
        if entry.has("cachePoint"):
            mark = read_cache_point(entry)
            if mark is not None and tools and tools[-1].cache is None:
                tools[-1] = msgspec.structs.replace(tools[-1], cache=mark)
            else:
                tools.append(NativeTool(dialect=NAME, kind="cachePoint", raw=item))
        elif (spec := entry.object("toolSpec")) is not None:
            tools.append(_read_tool(spec))
        else:
            kind = "systemTool" if entry.has("systemTool") else "tool"
            tools.append(NativeTool(dialect=NAME, kind=kind, raw=item))
    choice = _read_choice(config)
    _keep(config, "toolConfig", kept)
    return tuple(tools), choice


def _read_tool(spec: JsonObject) -> Tool:
    name, description, strict = spec.required_string("name"), spec.string("description"), spec.boolean("strict")
    schema = spec.object("inputSchema")
    parameters = None if schema is None else schema.raw("json")
    return Tool(
        name=name,
        description=description,
        parameters=parameters,
        strict=strict,
        extra=spec.rest(NAME),
    )


def _read_choice(config: JsonObject) -> ToolChoice | None:
    choice = config.object("toolChoice")
    if choice is None:
        return None
    if (named := choice.object("tool")) is not None:
        return ToolChoice(mode="named", name=named.required_string("name"))
    if choice.has("any"):
        return ToolChoice(mode="required")
    if choice.has("auto"):
        return ToolChoice(mode="auto")
    raise config.error("toolChoice", "must hold `auto`, `any` or `tool`")


def _read_output(request: JsonObject, kept: dict[str, Raw]) -> tuple[ResponseFormat | None, str | None]:
    """The answer's form, and the effort that stands beside it."""
    output = request.object("outputConfig")
    if output is None:
        return None, None
    effort = output.string("effort")
    form = output.object("textFormat")
    read: ResponseFormat | None = None
    if form is not None:
        structure = form.object("structure")
        defined = None if structure is None else structure.object("jsonSchema")
        if defined is None:
            raise form.error("structure", "must hold `jsonSchema`")
        schema = defined.required_string("schema")
        try:
            _any.decode(schema)
        except (msgspec.DecodeError, RecursionError):
            raise defined.error("schema", "must be JSON") from None
        read = ResponseFormat(
            kind="json_schema",
            name=defined.string("name"),
            description=defined.string("description"),
            schema=Raw(schema.encode()),
            extra=defined.rest(NAME),
        )
    _keep(output, "outputConfig", kept)
    return read, effort


def _read_model_fields(request: JsonObject, effort: str | None, kept: dict[str, Raw]) -> ModelFields:
    raw = request.raw("additionalModelRequestFields")
    reasoning: ReasoningConfig | None = None
    if raw is None:
        reasoning = read_effort(effort)
        return ModelFields(reasoning=reasoning)
    read = read_model_fields(raw, "additionalModelRequestFields", effort)
    if read.rest is not None:
        kept["additionalModelRequestFields"] = read.rest
    return read


def _read_tier(request: JsonObject, kept: dict[str, Raw]) -> str | None:
    tier = request.object("serviceTier")
    if tier is None:
        return None
    kind = tier.string("type")
    _keep(tier, "serviceTier", kept)
    return kind


def _read_metadata(request: JsonObject, kept: dict[str, Raw]) -> dict[str, str] | None:
    raw = request.raw("requestMetadata")
    if raw is None:
        return None
    try:
        return _strings.decode(raw)
    except msgspec.DecodeError:
        raise request.error("requestMetadata", "must hold strings") from None
