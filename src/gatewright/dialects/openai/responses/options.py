"""Tools, tool choice, output form and reasoning of a request, both directions; an answer echoes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    Extension,
    NativeTool,
    ReasoningConfig,
    ResponseFormat,
    Tool,
    ToolChoice,
)
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import Traits
from gatewright.dialects.openai.responses.names import NAME, extension, own, string_value
from gatewright.wire.json_object import JsonObject

_NO_PARAMETERS: Final = Raw(b'{"type":"object","properties":{}}')
_MODES: Final = ("auto", "none", "required")
_BUDGETS: Final = ((1_024, "minimal"), (4_096, "low"), (16_384, "medium"), (65_536, "high"))
_choice: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def read_tool(fields: JsonObject, raw: Raw) -> Tool | NativeTool:
    """One tool: a function, free text, or one the vendor hosts."""
    kind = fields.required_string("type")
    if kind == "function":
        return Tool(
            name=fields.required_string("name"),
            description=fields.string("description"),
            parameters=fields.raw("parameters"),
            strict=fields.boolean("strict"),
            extra=fields.rest(NAME),
        )
    if kind == "custom":
        return Tool(
            name=fields.required_string("name"),
            description=fields.string("description"),
            is_custom=True,
            extra=fields.rest(NAME),
        )
    return NativeTool(dialect=NAME, kind=kind, raw=raw)


def write_tools(tools: Iterable[Tool | NativeTool], report: LossReport, *, is_ours: bool) -> list[Any]:
    """The tools; `is_ours`: whether the request was made in this dialect, where a missing `strict` means true."""
    written: list[Any] = []
    for index, tool in enumerate(tools):
        if isinstance(tool, NativeTool):
            if tool.dialect == NAME:
                written.append(tool.raw)
            else:
                report.refused(Feature.NATIVE_TOOLS, f"tools[{index}]", f"{tool.kind} is hosted by another vendor")
            continue
        if tool.cache is not None:
            report.dropped(Feature.CACHE_MARK, f"tools[{index}]", "the provider finds the prompts to cache by itself")
        written.append(_write_tool(tool, is_ours=is_ours))
    return written


def _write_tool(tool: Tool, *, is_ours: bool) -> dict[str, Any]:
    members: dict[str, Any] = {"type": "custom" if tool.is_custom else "function", "name": tool.name}
    if tool.description is not None:
        members["description"] = tool.description
    if not tool.is_custom:
        if tool.parameters is not None:
            members["parameters"] = tool.parameters
        elif not is_ours:
            members["parameters"] = _NO_PARAMETERS
        if tool.strict is not None:
            members["strict"] = tool.strict
        elif not is_ours:
            members["strict"] = False
    return {**members, **own(tool.extra)}


def read_tool_choice(raw: Raw, path: str) -> ToolChoice:
    """`auto`, `none`, `required`, or an object that names tools."""
    mode = string_value(raw)
    if mode is not None:
        if mode in _MODES:
            return ToolChoice(mode=mode)  # type: ignore[arg-type]  # checked above
        return ToolChoice(mode="auto", extra=extension(choice=raw))
    fields = JsonObject.parse(raw, path)
    kind = fields.required_string("type")
    if kind in ("function", "custom"):
        return ToolChoice(mode="named", name=fields.required_string("name"), extra=fields.rest(NAME))
    if kind == "allowed_tools":
        tools = fields.required_objects("tools")
        names = [tool.string("name") for tool in tools if tool.string("type") in ("function", "custom")]
        allowed = tuple(name for name in names if name is not None)
        mode = fields.string("mode")
        return ToolChoice(
            mode="required" if mode == "required" else "auto",
            allowed=allowed,
            # Tools the vendor hosts have no name; only the original lists them.
            extra=fields.rest(NAME) if len(allowed) == len(tools) else extension(choice=raw),
        )
    return ToolChoice(mode="required", extra=extension(choice=raw))


def write_tool_choice(choice: ToolChoice, tools: Iterable[Tool | NativeTool]) -> Any:
    """The tool choice; whether a named tool takes free text is looked up among the tools."""
    members = dict(own(choice.extra))
    raw = members.pop("choice", None)
    if raw is not None:
        return raw
    custom = {tool.name for tool in tools if isinstance(tool, Tool) and tool.is_custom}

    def named(name: str) -> dict[str, Any]:
        return {"type": "custom" if name in custom else "function", "name": name}

    if choice.mode == "named" and choice.name is not None:
        return {**named(choice.name), **members}
    mode = "required" if choice.mode == "named" else choice.mode
    if choice.allowed is not None and mode in ("auto", "required"):
        return {"type": "allowed_tools", "mode": mode, "tools": [named(name) for name in choice.allowed], **members}
    return mode


def read_format(fields: JsonObject) -> ResponseFormat:
    """`text.format`."""
    kind = fields.required_string("type")
    if kind == "json_schema":
        return ResponseFormat(
            kind="json_schema",
            name=fields.string("name"),
            description=fields.string("description"),
            schema=fields.raw("schema"),
            strict=fields.boolean("strict"),
            extra=fields.rest(NAME),
        )
    if kind in ("json_object", "text"):
        return ResponseFormat(kind="json" if kind == "json_object" else "text", extra=fields.rest(NAME))
    raise fields.error("type", "must be text, json_object or json_schema")


def write_format(form: ResponseFormat, traits: Traits, report: LossReport) -> dict[str, Any]:
    """`text.format`."""
    if form.kind == "text":
        return {"type": "text", **own(form.extra)}
    if form.kind == "json" or not traits.has_json_schema:
        if form.kind == "json_schema":
            report.approximated(Feature.JSON_SCHEMA, "response_format", "JSON is asked for, its schema is not enforced")
        return {"type": "json_object", **own(form.extra)}
    members: dict[str, Any] = {"type": "json_schema", "name": form.name or "answer", "schema": form.schema}
    if form.description is not None:
        members["description"] = form.description
    if form.strict is not None:
        members["strict"] = form.strict
    return {**members, **own(form.extra)}


def read_reasoning_config(fields: JsonObject) -> ReasoningConfig:
    """`reasoning`."""
    return ReasoningConfig(
        effort=fields.string("effort"), summary=fields.string("summary"), extra=fields.rest(NAME) or extension()
    )


def write_reasoning_config(config: ReasoningConfig, report: LossReport) -> dict[str, Any] | None:
    """`reasoning`; None when nothing of it is to be said."""
    members: dict[str, Any] = {}
    effort = config.effort
    budget = config.budget_tokens
    if effort is None and config.is_enabled is False:
        effort = "none"
        report.approximated(Feature.REASONING_EFFORT, "reasoning.is_enabled", "written as effort `none`")
    elif effort is None and budget is not None and budget >= 0:
        effort = next((name for limit, name in _BUDGETS if budget <= limit), "xhigh") if budget else "none"
        report.approximated(Feature.REASONING_BUDGET, "reasoning.budget_tokens", f"written as effort `{effort}`")
    elif effort is not None and budget is not None and budget >= 0:
        report.dropped(Feature.REASONING_BUDGET, "reasoning.budget_tokens", "the provider takes an effort only")
    if effort is not None:
        members["effort"] = effort
    if config.summary is not None and config.summary != "omitted":
        members["summary"] = config.summary
    members.update(own(config.extra))
    is_ours = isinstance(config.extra, Extension) and config.extra.dialect == NAME
    return members if members or is_ours else None
