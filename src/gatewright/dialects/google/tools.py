"""`tools` and `toolConfig` (ai.google.dev/api/caching#Tool), both directions.

A declaration's `parameters` are Google's own subset of OpenAPI, which the servers check member by member;
`parametersJsonSchema` takes JSON Schema whole. Schemas of other dialects are JSON Schema, so they are always written
there; what a client of this API spelled as `parameters` goes back as it was, and is JSON Schema to everyone else.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension, NativeTool, Tool, ToolChoice
from gatewright.core.loss import Feature, LossReport
from gatewright.dialects.google.members import NAME, Members, merged, own_members
from gatewright.dialects.google.schema import to_json_schema
from gatewright.wire.json_object import render_json

_MODES: Final = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")
"""By number of the proto enum."""
_mode: msgspec.json.Decoder[str | int] = msgspec.json.Decoder(str | int)


def read_tools(body: Members) -> tuple[Tool | NativeTool, ...]:
    """The member `tools`: functions of all its groups, and each hosted tool, in order."""
    tools: list[Tool | NativeTool] = []
    for raw, group in body.many("tools") or ():
        declarations = group.many("functionDeclarations")
        if declarations is not None:
            tools.extend(_declaration(each) for _, each in declarations)
        if declarations is None:
            hosted = group.rest(NAME)
            kind = next(iter(hosted.members)) if hosted is not None else "tool"
            tools.append(NativeTool(dialect=NAME, kind=kind, raw=raw))
            continue
        rest = group.rest(NAME)
        if rest is not None:
            kind = next(iter(rest.members))
            tools.append(NativeTool(dialect=NAME, kind=kind, raw=render_json(rest.members)))
    return tuple(tools)


def _declaration(each: Members) -> Tool:
    name = each.required_string("name")
    description = each.string("description")
    parameters = each.object_raw("parametersJsonSchema")
    kept: dict[str, Raw] = {}
    if parameters is None:
        spelled = each.object_raw("parameters")
        if spelled is not None:
            kept["parameters"] = spelled
            parameters = to_json_schema(spelled)
    rest = each.rest(NAME)
    if rest is not None:
        kept |= rest.members
    return Tool(
        name=name, description=description, parameters=parameters, extra=Extension(NAME, kept) if kept else None
    )


def write_tools(tools: tuple[Tool | NativeTool, ...], report: LossReport) -> list[Any]:
    """The member `tools`; functions that follow each other share one group, as several groups of them are refused."""
    written: list[Any] = []
    group: list[dict[str, Any]] | None = None
    for index, tool in enumerate(tools):
        path = f"tools[{index}]"
        if tool.cache is not None:
            report.dropped(Feature.CACHE_MARK, path, "Gemini caches prompts by itself or by `cachedContent`")
        if isinstance(tool, NativeTool):
            if tool.dialect != NAME:
                report.refused(Feature.NATIVE_TOOLS, path, f"Gemini has no hosted tool `{tool.kind}` of that form")
                continue
            written.append(tool.raw)
            group = None
            continue
        declaration = _write_declaration(tool, path, report)
        if declaration is None:
            continue
        if group is None:
            group = []
            written.append({"functionDeclarations": group})
        group.append(declaration)
    return written


def _write_declaration(tool: Tool, path: str, report: LossReport) -> dict[str, Any] | None:
    if tool.is_custom:
        report.refused(Feature.CUSTOM_TOOLS, path, "Gemini's tools take JSON arguments alone")
        return None
    if tool.strict:
        report.dropped(Feature.STRICT_TOOLS, path, "Gemini has no switch for strict schemas")
    kept = own_members(tool.extra, NAME)
    written: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.parameters is not None and "parameters" not in kept:
        written["parametersJsonSchema"] = tool.parameters
    return written | kept


def read_tool_config(body: Members) -> tuple[ToolChoice | None, Raw | None]:
    """The member `toolConfig`: the choice of tools, and what else it holds."""
    config = body.object("toolConfig")
    if config is None:
        return None, None
    calling = config.object("functionCallingConfig")
    choice = None if calling is None else _choice(calling)
    rest = config.rest(NAME)
    if rest is None and choice is None:
        return None, Raw(b"{}")
    return choice, None if rest is None else render_json(rest.members)


def _choice(calling: Members) -> ToolChoice:
    spelled = calling.raw("mode")
    allowed = calling.strings("allowedFunctionNames") or None
    mode = _read_mode(spelled)
    rest = calling.rest(NAME)
    kept = dict(rest.members) if rest is not None else {}
    name = None
    found = "auto"
    match mode:
        case "ANY" if allowed is not None and len(allowed) == 1:
            found, name, allowed = "named", allowed[0], None
        case "ANY":
            found = "required"
        case "NONE":
            found = "none"
            if allowed is not None:
                kept["allowedFunctionNames"] = render_json(allowed)
                allowed = None
        case _ if spelled is None or mode != "AUTO" or allowed is not None:
            # VALIDATED, or a mode left to the server: `auto` to others, the client's own word to this API.
            kept["mode"] = spelled or Raw(b"null")
        case _:
            pass
    extra = Extension(NAME, kept) if kept else None
    return ToolChoice(mode=found, name=name, allowed=allowed, extra=extra)  # type: ignore[arg-type]


def _read_mode(spelled: Raw | None) -> str:
    if spelled is None:
        return "MODE_UNSPECIFIED"
    try:
        value = _mode.decode(spelled)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "MODE_UNSPECIFIED"
    if isinstance(value, int):
        return _MODES[value] if 0 <= value < len(_MODES) else "MODE_UNSPECIFIED"
    return value.upper()


def write_tool_config(
    choice: ToolChoice | None, *, parallel: bool | None, kept: Raw | None, report: LossReport
) -> dict[str, Any] | None:
    """The member `toolConfig`; None when it says nothing."""
    if parallel is False:
        report.dropped(Feature.PARALLEL_TOOLS, "parallel_tool_calls", "Gemini may always call several tools at once")
    written: dict[str, Any] = {}
    if choice is not None:
        written["functionCallingConfig"] = _write_choice(choice)
    if kept is not None:
        return merged(written, kept)
    return written or None


def _write_choice(choice: ToolChoice) -> dict[str, Any]:
    kept = own_members(choice.extra, NAME)
    written: dict[str, Any]
    match choice.mode:
        case "named":
            written = {"mode": "ANY", "allowedFunctionNames": [choice.name]}
        case "required":
            written = {"mode": "ANY"}
        case "none":
            written = {"mode": "NONE"}
        case "auto":
            # Names are allowed beside ANY and VALIDATED alone; VALIDATED leaves the model free to answer in text.
            written = {"mode": "VALIDATED" if choice.allowed else "AUTO"}
    if choice.allowed and choice.mode in ("auto", "required"):
        written["allowedFunctionNames"] = list(choice.allowed)
    if kept.get("mode") == Raw(b"null"):
        del kept["mode"], written["mode"]
    return written | kept
