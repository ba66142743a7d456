"""Tools and tool choice → `toolConfig` (docs.aws.amazon.com/bedrock/latest/APIReference, ToolConfiguration)."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import ChatRequest, NativeTool, ResponseFormat, Tool, ToolCall, ToolResult
from gatewright.core.loss import Feature, LossReport, tell_choice
from gatewright.core.traits import Traits
from gatewright.dialects.bedrock.media import own
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME, shorten_tool_name, tool_name, write_tool_name
from gatewright.dialects.bedrock.write_blocks import cache_point

_NO_ARGUMENTS: Final = Raw(b'{"type":"object","properties":{}}')
_ANY_OBJECT: Final = Raw(b'{"type":"object"}')


def write_tools(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The `toolConfig` member; empty when there is nothing to be called."""
    called = _called(request)
    choice = request.tool_choice
    tools = _tools(request, report)
    if request.parallel_tool_calls is False and tools:
        report.dropped(Feature.PARALLEL_TOOLS, "parallel_tool_calls", "Converse has no such switch")
    if choice is not None and choice.mode == "none" and tools:
        if called:
            report.approximated(Feature.TOOL_CHOICE_NONE, "tool_choice", "the history needs tools: they may be called")
        else:
            tools = []
    if _needs_json_tool(request.response_format, traits):
        return _with_json_tool(request, request.response_format, tools, report)
    if not tools and called:
        report.approximated(Feature.TOOLS, "tools", "the history needs tools: those it names are defined")
        tools = [_spec(name, None, _ANY_OBJECT) for name in called]
    if not tools:
        tell_choice(request, report)
        return {}
    config: dict[str, Any] = {"tools": tools}
    written = _choice(request, report)
    if written is not None:
        config["toolChoice"] = written
    return config


def _called(request: ChatRequest) -> list[str]:
    """The tools that the history holds calls of, or results."""
    names: dict[str, None] = {}
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCall):
                names[tool_name(part.name)] = None
            elif isinstance(part, ToolResult) and not names:
                names[tool_name(part.name or "tool")] = None
    return list(names)


def _spec(name: str, description: str | None, schema: Raw) -> dict[str, Any]:
    spec: dict[str, Any] = {"name": name, "inputSchema": {"json": schema}}
    if description:
        spec["description"] = description
    return {"toolSpec": spec}


def _tools(request: ChatRequest, report: LossReport) -> list[Any]:
    allowed = request.tool_choice.allowed if request.tool_choice is not None else None
    if allowed is not None:
        note = "the other tools are left out, so that they cannot be called"
        report.approximated(Feature.TOOL_CHOICE_ALLOWED, "tool_choice.allowed", note)
    out: list[Any] = []
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        if isinstance(tool, NativeTool):
            if tool.dialect == NAME:
                out.append(tool.raw)
            else:
                report.refused(Feature.NATIVE_TOOLS, path, f"{tool.kind} is known to {tool.dialect} only")
                continue
        elif allowed is not None and tool.name not in allowed:
            continue
        elif tool.is_custom:
            report.refused(Feature.CUSTOM_TOOLS, path, "Converse's tools take JSON only")
            continue
        else:
            out.append(_tool(tool, path, report))
        if tool.cache is not None:
            out.append(cache_point(tool.cache))
    return out


def _tool(tool: Tool, path: str, report: LossReport) -> dict[str, Any]:
    name = write_tool_name(tool.name)
    if name is None:
        report.refused(Feature.TOOLS, f"{path}.name", "at most 64 letters, digits, `_` and `-`")
        name = shorten_tool_name(tool.name)
    entry = _spec(name, tool.description, tool.parameters or _NO_ARGUMENTS)
    if tool.strict is not None:
        entry["toolSpec"]["strict"] = tool.strict
    entry["toolSpec"].update(own(tool.extra))
    return entry


def _choice(request: ChatRequest, report: LossReport) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None:
        return None
    match choice.mode:
        case "auto":
            return {"auto": {}}
        case "required":
            return {"any": {}}
        case "named":
            return {"tool": {"name": tool_name(choice.name or "")}}
        case "none":
            return None


def _needs_json_tool(form: ResponseFormat | None, traits: Traits) -> bool:
    if form is None or form.kind == "text":
        return False
    return form.kind == "json" or form.schema is None or not traits.has_json_schema


def _with_json_tool(
    request: ChatRequest, form: ResponseFormat | None, tools: list[Any], report: LossReport
) -> dict[str, Any]:
    """Ask for JSON by a tool whose arguments are the answer: `read_blocks` knows it by its name."""
    schema = None if form is None else form.schema
    feature = Feature.JSON_MODE if schema is None else Feature.JSON_SCHEMA
    report.approximated(feature, "response_format", "asked for as the arguments of a tool that must be called")
    described = form.description if form is not None and form.description else "Give the answer with this tool."
    spec = _spec(JSON_TOOL, described, schema or _ANY_OBJECT)
    choice: dict[str, Any] = {"any": {}} if tools else {"tool": {"name": JSON_TOOL}}
    return {"tools": [*tools, spec], "toolChoice": choice}
