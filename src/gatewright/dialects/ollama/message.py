"""Messages of the Ollama API ↔ parts, for requests and answers alike (docs.ollama.com/api/chat).

A message is one string of thoughts, one of words, a list of base64 images and a list of calls whose arguments are
objects. Older servers give calls no ids; then they are made up, always the same for the same call.
"""

from __future__ import annotations

from typing import Any

from gatewright.core.call_ids import is_made_up, make_call_id
from gatewright.core.chat import Extension, Image, Part, Reasoning, Source, Text, ToolCall
from gatewright.dialects.ollama.names import (
    NAME,
    mark,
    own,
)
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.media import image_type
from gatewright.wire.tool_arguments import arguments_object, is_object


def read_parts(message: JsonObject, call_seed: str) -> tuple[Part, ...]:
    """Take what the message says. `call_seed` tells its calls from those of any other message."""
    parts: list[Part] = []
    thinking = message.string("thinking")
    if thinking:
        parts.append(Reasoning(text=thinking, extra=mark(None)))
    text = message.string("content")
    if text:
        parts.append(Text(text=text))
    parts.extend(read_images(message))
    parts.extend(read_calls(message, call_seed))
    return tuple(parts)


def read_images(message: JsonObject) -> list[Image]:
    """Take the images of a message. The API tells no media types, and other dialects demand them."""
    images = message.strings("images") or ()
    return [Image(source=Source(media_type=image_type(data), data=data)) for data in images]


def read_calls(message: JsonObject, call_seed: str, first: int = 0) -> list[ToolCall]:
    """Take the calls of a message; `first` is the number of those known before."""
    calls = message.objects("tool_calls") or []
    return [_read_call(call, call_seed, first + index) for index, call in enumerate(calls)]


def _read_call(call: JsonObject, call_seed: str, index: int) -> ToolCall:
    call_id = call.string("id")
    call.drop("type")
    function = call.object("function")
    if function is None:
        raise call.error("function", "is missing")
    name = function.required_string("name")
    arguments = _read_arguments(function)
    return ToolCall(
        id=call_id or make_call_id(call_seed, index, name),
        name=name,
        arguments=arguments,
        extra=_call_extra(call, function),
    )


def _read_arguments(function: JsonObject) -> str:
    raw = function.peek("arguments")
    if raw is None:
        function.drop("arguments")
        return "{}"
    if bytes(raw)[:1] == b'"':
        # Some clients send the JSON text instead of the object.
        return function.string("arguments") or "{}"
    if not is_object(raw):
        raise function.error("arguments", "must be an object")
    function.drop("arguments")
    try:
        return str(bytes(raw), "utf-8")
    except UnicodeDecodeError:
        raise function.error("arguments", "must be UTF-8") from None


def _call_extra(call: JsonObject, function: JsonObject) -> Extension | None:
    inner = function.rest(NAME)
    outer = call.rest(NAME)
    if inner is None:
        return outer
    members = {} if outer is None else dict(outer.members)
    return Extension(NAME, members | {"function": render_json(inner.members)})


def write_call(call: ToolCall) -> dict[str, Any]:
    """One call. Made-up ids are left out: whoever reads the call makes up the same."""
    members = own(call.extra)
    inner: dict[str, Any] = {"name": call.name, "arguments": arguments_object(call)}
    more = members.pop("function", None)
    if more is not None:
        rest = JsonObject.parse(more).rest(NAME)
        inner.update(rest.members if rest is not None else {})
    written: dict[str, Any] = {} if is_made_up(call.id) else {"id": call.id}
    return {**written, **members, "function": inner}


def join_text(texts: list[str]) -> str:
    """Several texts as the one string a message holds."""
    return texts[0] if len(texts) == 1 else "\n".join(texts)


def with_extra(message: dict[str, Any], extra: Extension | None) -> dict[str, Any]:
    """A message with the members that only this dialect defines."""
    return message | own(extra)
