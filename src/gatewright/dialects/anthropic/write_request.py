"""The hub's request → the members of an upstream's request (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import ChatRequest, ResponseFormat, Tool, ToolChoice
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_choice, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.anthropic.cache_marks import TOOL, Marks
from gatewright.dialects.anthropic.reasoning import Situation, Thinking, write_reasoning
from gatewright.dialects.anthropic.schema import closed
from gatewright.dialects.anthropic.vocabulary import (
    DEFAULT_MAX_TOKENS,
    JSON_TOOL,
    NAME,
    clean_name,
    own,
)
from gatewright.dialects.anthropic.write_blocks import Block
from gatewright.dialects.anthropic.write_messages import write_conversation
from gatewright.dialects.anthropic.write_sampling import write_sampling
from gatewright.wire.json_object import render_json

_NO_ARGUMENTS: Final = Raw(b'{"type":"object","properties":{}}')
_JSON_WORDS: Final = "Answer with one JSON object and nothing else: no words around it and no code fence."
_JSON_TOOL_WORDS: Final = "Give your final answer by calling this tool; its input is the answer."
_OBJECT: Final = Raw(b'"object"')
_FEATURES: Final = {
    "temperature": Feature.TEMPERATURE,
    "top_p": Feature.TOP_P,
    "top_k": Feature.TOP_K,
    "stop_sequences": Feature.STOP,
    "metadata": Feature.USER,
    "service_tier": Feature.SERVICE_TIER,
    "thinking": Feature.REASONING_BUDGET,
    "tool_choice": Feature.TOOL_CHOICE_REQUIRED,
    "cache_control": Feature.CACHE_MARK,
}
"""What is lost with a member that a host does not take (`Traits.unsupported`)."""
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of the request's body, `model` and `stream` included."""
    marks = Marks(report)
    if request.cache is not None:
        marks.count(request.cache)
    conversation = write_conversation(request, traits, report, marks)
    tools = _tools(request, report, marks)
    choice = _tool_choice(request, tools, report)
    format_ = _format(request, traits, report)
    if isinstance(format_, Raw):
        tools, choice = _with_json_tool(tools, choice, format_)
    limit = _max_tokens(request, traits, report)
    is_forced = choice is not None and choice["type"] in ("any", "tool")
    situation = Situation(
        max_tokens=limit,
        has_own_limit=request.max_output_tokens is not None,
        is_forced=is_forced,
        lacks_thinking=conversation.lacks_thinking(),
        has_lost_thinking=any(loss.feature is Feature.REASONING_REPLAY for loss in report.entries),
    )
    thinking = write_reasoning(request, traits, report, situation)
    system = conversation.system
    if request.response_format is not None and request.response_format.kind == "json":
        system = [*system, {"type": "text", "text": _JSON_WORDS}]
    marks.limit()
    body: dict[str, Any] = {"model": request.model, "max_tokens": thinking.max_tokens}
    if system:
        body["system"] = _shortest(system)
    body["messages"] = conversation.messages()
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice
    if thinking.thinking is not None:
        body["thinking"] = thinking.thinking
    _write_config(body, request, thinking, format_)
    write_sampling(body, request, thinking, report)
    if request.stream:
        body["stream"] = True
    _write_extra(body, request, report)
    return _fitted(body, traits, report)


def _shortest(system: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    only = system[0]
    text: str = only["text"]
    return text if len(system) == 1 and only.keys() == {"type", "text"} else system


def _max_tokens(request: ChatRequest, traits: Traits, report: LossReport) -> int:
    ceiling = traits.max_output_tokens
    wanted = request.max_output_tokens
    if wanted is None:
        if ceiling is not None:
            return ceiling
        report.approximated(
            Feature.MAX_TOKENS, "max_output_tokens", f"the API needs a limit; {DEFAULT_MAX_TOKENS} is written"
        )
        return DEFAULT_MAX_TOKENS
    if ceiling is not None and wanted > ceiling:
        report.approximated(Feature.MAX_TOKENS, "max_output_tokens", f"lowered to {ceiling}, the most of the model")
        return ceiling
    return wanted


def _tools(request: ChatRequest, report: LossReport, marks: Marks) -> list[Block]:
    allowed = request.tool_choice.allowed if request.tool_choice is not None else None
    if allowed is not None:
        report.approximated(Feature.TOOL_CHOICE_ALLOWED, "tool_choice.allowed", "the other tools are left out")
    written: list[Block] = []
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        if isinstance(tool, Tool):
            if allowed is None or tool.name in allowed:
                block = _tool(tool, path, report, marks)
                if block is not None:
                    written.append(block)
        elif tool.dialect != NAME:
            report.refused(Feature.NATIVE_TOOLS, path, f"`{tool.kind}` is hosted by another vendor")
        else:
            marks.count(tool.cache)
            written.append(tool.raw)
    return written


def _tool(tool: Tool, path: str, report: LossReport, marks: Marks) -> dict[str, Any] | None:
    if clean_name(tool.name) != tool.name:
        # A changed name could not be changed back in the answer, whose reader does not know the request.
        report.refused(Feature.TOOLS, path, "names of tools have at most 128 letters, digits, - and _")
        return None
    if tool.is_custom:
        report.refused(Feature.CUSTOM_TOOLS, path, "tools take JSON arguments only")
        return None
    block: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        block["description"] = tool.description
    block["input_schema"] = _schema(tool.parameters)
    if tool.strict:
        block["strict"] = True
    marks.put(block, tool.cache, path, TOOL)
    block.update(own(tool.extra))
    return block


def _schema(parameters: Raw | None) -> Raw:
    """The schema as the API needs it: always of an object."""
    if parameters is None:
        return _NO_ARGUMENTS
    try:
        members = _fields.decode(parameters)
    except (msgspec.DecodeError, RecursionError):
        return parameters
    return parameters if "type" in members else render_json({"type": _OBJECT, **members})


def _tool_choice(request: ChatRequest, tools: list[Block], report: LossReport) -> dict[str, Any] | None:
    choice = request.tool_choice
    is_single = request.parallel_tool_calls is False
    if not tools:
        tell_choice(request, report)
        return None
    if choice is None:
        return {"type": "auto", "disable_parallel_tool_use": True} if is_single else None
    written = _mode(choice)
    if is_single and choice.mode != "none":
        written["disable_parallel_tool_use"] = True
    return written | own(choice.extra)


def _mode(choice: ToolChoice) -> dict[str, Any]:
    match choice.mode:
        case "named":
            return {"type": "tool", "name": choice.name or ""}
        case "required":
            return {"type": "any"}
        case mode:
            return {"type": mode}


def _format(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any] | Raw | None:
    """The `format` member; as Raw the schema of the tool that stands in for it."""
    format_ = request.response_format
    if format_ is None or format_.kind == "text":
        return None
    if format_.kind == "json":
        report.approximated(Feature.JSON_MODE, "response_format", "asked for in the system prompt")
        return None
    schema = format_.schema or Raw(b'{"type":"object"}')
    if format_.description is not None:
        report.dropped(Feature.JSON_SCHEMA, "response_format.description", "the API has no place for it")
    if traits.has_json_schema:
        if format_.extra is None or format_.extra.dialect != NAME:
            written = closed(schema)
            if written is not schema:
                note = "objects that leave other members open are closed"
                report.approximated(Feature.JSON_SCHEMA, "response_format.schema", note)
            schema = written
        return {"type": "json_schema", "schema": schema, **own(format_.extra)}
    return _stand_in(format_, schema, request, report)


def _stand_in(format_: ResponseFormat, schema: Raw, request: ChatRequest, report: LossReport) -> Raw | None:
    try:
        is_fit = bytes(_fields.decode(schema).get("type", _OBJECT)) == b'"object"'
    except (msgspec.DecodeError, RecursionError):
        is_fit = False
    if not is_fit:
        report.refused(Feature.JSON_SCHEMA, "response_format", "only schemas of an object can be followed")
        return None
    if request.tool_choice is not None and request.tool_choice.mode == "named":
        report.dropped(Feature.JSON_SCHEMA, "response_format", "the answer must be a call of a tool")
        return None
    report.approximated(Feature.JSON_SCHEMA, "response_format", "a tool with this schema stands in")
    return schema


def _with_json_tool(
    tools: list[Block], choice: dict[str, Any] | None, schema: Raw
) -> tuple[list[Block], dict[str, Any]]:
    stand_in = {"name": JSON_TOOL, "description": _JSON_TOOL_WORDS, "input_schema": _schema(schema)}
    if not tools or (choice is not None and choice["type"] == "none"):
        return [*tools, stand_in], {"type": "tool", "name": JSON_TOOL}
    return [*tools, stand_in], {**(choice or {}), "type": "any"}


def _write_config(
    body: dict[str, Any], request: ChatRequest, thinking: Thinking, format_: dict[str, Any] | Raw | None
) -> None:
    config: dict[str, Any] = {}
    if thinking.effort is not None:
        config["effort"] = thinking.effort
    if isinstance(format_, dict):
        config["format"] = format_
    if config:
        body["output_config"] = config


def _write_extra(body: dict[str, Any], request: ChatRequest, report: LossReport) -> None:
    tell_foreign(request.extra, NAME, report)
    for name, raw in own(request.extra).items():
        if name in ("output_config", "metadata") and name in body:
            body[name] = body[name] | _fields.decode(raw)
        else:
            body[name] = raw


def _fitted(body: dict[str, Any], traits: Traits, report: LossReport) -> dict[str, Any]:
    for name in traits.unsupported & body.keys():
        report.dropped(_FEATURES.get(name, Feature.VENDOR), name, "this host does not take it")
        del body[name]
    for name, other in traits.renames.items():
        if name in body:
            body[other] = body.pop(name)
    return body
