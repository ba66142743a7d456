"""An assistant's message of Cohere's API ↔ parts, for requests and answers alike (docs.cohere.com/reference/chat).

It holds a `tool_plan` (thoughts before calls), contents of text and thinking, calls, and citations of the text: parts
come in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw

from gatewright.core.chat import Citation, Extension, Native, Part, Reasoning, Text, ToolCall
from gatewright.core.errors import Kind
from gatewright.dialects.cohere.citations import content_index, is_of_text, read_citation, write_citation
from gatewright.dialects.cohere.names import NAME, OWN, PLAN, members_of, own
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.tool_arguments import arguments_object


def read_assistant(message: JsonObject, kind: Kind) -> tuple[tuple[Part, ...], list[Raw]]:
    """Take what an assistant's message says: its parts, and the citations that belong to none of its texts."""
    parts: list[Part] = []
    plan = message.string("tool_plan")
    if plan:
        parts.append(Reasoning(text=plan, extra=PLAN))
    first = len(parts)
    parts.extend(_read_contents(message, kind))
    rest = _attach(parts, first, message, kind)
    parts.extend([read_call(call) for call in message.objects("tool_calls") or ()])
    return tuple(parts), rest


def _read_contents(message: JsonObject, kind: Kind) -> list[Part]:
    raw = message.peek("content")
    if raw is not None and bytes(raw).startswith(b'"'):
        text = message.string("content")
        return [Text(text=text)] if text else []
    path = message.at("content")
    return [_read_content(item, f"{path}[{n}]", kind) for n, item in enumerate(message.items("content") or ())]


def _read_content(raw: Raw, path: str, kind: Kind) -> Part:
    content = JsonObject.parse(raw, path, kind)
    type_ = content.string("type") or "text"
    if type_ == "text":
        return Text(text=content.string("text") or "", extra=content.rest(NAME))
    if type_ == "thinking":
        return Reasoning(text=content.string("thinking") or "", extra=content.rest(NAME) or OWN)
    return Native(dialect=NAME, kind=type_, raw=raw)


def _attach(parts: list[Part], first: int, message: JsonObject, kind: Kind) -> list[Raw]:
    """Take the citations and put each on its text: the content it names, else the first text."""
    texts = [place for place, part in enumerate(parts) if isinstance(part, Text)]
    found: dict[int, list[Citation]] = {}
    rest: list[Raw] = []
    path = message.at("citations")
    for number, raw in enumerate(message.items("citations") or ()):
        citation = JsonObject.parse(raw, f"{path}[{number}]", kind)
        index = content_index(citation)
        place = next(iter(texts), -1) if index is None else first + index
        if place in texts and is_of_text(citation):
            found.setdefault(place, []).append(read_citation(citation))
        else:
            rest.append(raw)
    for place, citations in found.items():
        text = parts[place]
        if isinstance(text, Text):
            parts[place] = msgspec.structs.replace(text, citations=tuple(citations))
    return rest


def read_call(call: JsonObject) -> ToolCall:
    """One call. Arguments `""` and `null` are how the API spells none."""
    call.drop("type")
    call_id = call.required_string("id")
    function = call.object("function")
    if function is None:
        raise call.error("function", "is missing")
    name = function.required_string("name")
    arguments = (function.string("arguments") or "").strip()
    inner, outer = function.rest(NAME), call.rest(NAME)
    members = {} if outer is None else dict(outer.members)
    if inner is not None:
        members["function"] = render_json(inner.members)
    return ToolCall(
        id=call_id,
        name=name,
        arguments="{}" if arguments in ("", "null") else arguments,
        extra=Extension(NAME, members) if members else None,
    )


def write_call(call: ToolCall) -> dict[str, Any]:
    """One call; its arguments are JSON text."""
    members = own(call.extra)
    function: dict[str, Any] = {"name": call.name, "arguments": write_arguments(call)}
    function.update(members_of(members.pop("function", None)))
    return {"id": call.id, "type": "function", **members, "function": function}


def write_arguments(call: ToolCall) -> str:
    """The arguments as text; free text is wrapped in an object, so that nothing of it is lost."""
    if call.is_custom:
        return str(bytes(arguments_object(call)), "utf-8")
    return call.arguments or "{}"


def is_plan(part: Part) -> bool:
    """Whether thoughts stood in `tool_plan`."""
    return isinstance(part, Reasoning) and "slot" in own(part.extra)


def write_assistant(parts: Sequence[Part], more: Sequence[Raw] = ()) -> dict[str, Any]:
    """An assistant's message. `more` are citations that belong to none of its texts."""
    plans: list[str] = []
    contents: list[Any] = []
    calls: list[dict[str, Any]] = []
    citations: list[Any] = []
    for part in parts:
        match part:
            case Reasoning(text=text) if is_plan(part):
                plans.append(text)
            case Reasoning(text=text):
                if text or part.extra is not None:
                    contents.append({"type": "thinking", "thinking": text, **own(part.extra)})
            case Text(text=text):
                citations.extend(_place(part, len(contents)))
                contents.append({"type": "text", "text": text, **own(part.extra)})
            case ToolCall():
                calls.append(write_call(part))
            case Native(dialect=dialect, raw=raw) if dialect == NAME:
                contents.append(raw)
            case _:
                pass
    message: dict[str, Any] = {"role": "assistant"}
    if plans:
        message["tool_plan"] = "".join(plans)
    if contents:
        message["content"] = contents
    if calls:
        message["tool_calls"] = calls
    if citations or more:
        message["citations"] = [*citations, *more]
    return message


def _place(text: Text, index: int) -> list[dict[str, Any]]:
    """The citations of a text that is the content of this number."""
    written = [write_citation(citation, text.text) for citation in text.citations]
    if index:
        for citation, spelled in zip(text.citations, written, strict=True):
            if citation.extra is None or citation.extra.dialect != NAME:
                spelled["content_index"] = index
    return written
