"""A client's chat messages as the hub's (platform.openai.com/docs/api-reference/chat/create, `messages`)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Audio, Message, Part, Refusal, Source, Text, ToolCall, ToolResult
from gatewright.dialects.openai.chat.media import read_image, read_part
from gatewright.dialects.openai.chat.reasoning import read_thinking, read_thought_signature, read_thoughts
from gatewright.dialects.openai.chat.words import NAME, extended, take_objects
from gatewright.wire.json_object import JsonObject, render_json

_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")


class _Function(Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class _Call(Struct, forbid_unknown_fields=True):
    id: str
    type: Literal["function"]
    function: _Function


class _Plain(Struct, forbid_unknown_fields=True):
    """A message with nothing out of the ordinary: most are, and reading them so is several times faster."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    tool_call_id: str | None = None
    tool_calls: list[_Call] | None = None


_plain = msgspec.json.Decoder(_Plain)


class MessageReader:
    """Reads the messages of one request in order; results of legacy functions are matched to their calls."""

    def __init__(self) -> None:
        self._count = 0
        self._called: dict[str, str] = {}
        """Name of a legacy function → id of its latest call."""

    def read_all(self, body: JsonObject) -> list[Message]:
        """The messages of a request. Raises GatewayError (malformed_request)."""
        items = body.items("messages")
        if items is None:
            raise body.error("messages", "is missing")
        messages = []
        for index, item in enumerate(items):
            message = _read_quickly(item)
            if message is None:
                message = self.read(JsonObject.parse(item, f"messages[{index}]"))
            else:
                self._count += 1
            messages.append(message)
        return messages

    def read(self, message: JsonObject) -> Message:
        """One message. Raises GatewayError (malformed_request)."""
        role = message.required_string("role")
        self._count += 1
        match role:
            case "system" | "developer" | "user":
                return _read_plain(message, role)
            case "assistant":
                return self._read_assistant(message)
            case "tool" | "function":
                return self._read_result(message, role)
            case _:
                raise message.error("role", f"must be one of {', '.join(_ROLES)}")

    def _read_assistant(self, message: JsonObject) -> Message:
        parts: list[Part] = list(read_thoughts(message))
        signature = read_thought_signature(message)
        raw = message.peek("content")
        content = list(read_content(message, is_assistant=True))
        if raw is not None and content in ([], [Text(text="")]) and signature is None:
            content = []
            message.keep("content", raw)  # it says nothing, but it was there
        if signature is not None:
            last = next((n for n in reversed(range(len(content))) if isinstance(content[n], Text)), None)
            if last is None:
                content.append(Text(text="", signature=signature))
            else:
                text = content[last]
                assert isinstance(text, Text)
                content[last] = Text(
                    text=text.text, citations=text.citations, signature=signature, cache=text.cache, extra=text.extra
                )
        parts += content
        refusal = message.string("refusal")
        if refusal:
            parts.append(Refusal(text=refusal))
        audio = message.object("audio")
        if audio is not None:
            name = audio.required_string("id")
            parts.append(Audio(source=Source(), id=name, extra=audio.rest(NAME)))
        for image in take_objects(message, "images"):
            parts.append(read_image(image))
        parts += [
            read_call(call, f"call_{self._count}_{n}") for n, call in enumerate(take_objects(message, "tool_calls"))
        ]
        legacy = message.object("function_call")
        if legacy is not None:
            parts.append(self._read_legacy_call(legacy))
        return Message(role="assistant", parts=tuple(parts), name=message.string("name"), extra=message.rest(NAME))

    def _read_legacy_call(self, call: JsonObject) -> ToolCall:
        name = call.required_string("name")
        self._called[name] = call_id = f"call_{self._count}_{name}"
        arguments = read_arguments(call, "arguments")
        return ToolCall(
            id=call_id, name=name, arguments=arguments, extra=extended(call.rest(NAME), form="function_call")
        )

    def _read_result(self, message: JsonObject, role: str) -> Message:
        name = message.string("name")
        if role == "function":
            if name is None:
                raise message.error("name", "is missing")
            call_id = self._called.get(name, f"call_{name}")
        else:
            call_id = message.string("tool_call_id") or ""
        content = read_content(message, is_assistant=False)
        extra = message.rest(NAME)
        if role == "function":
            extra = extended(extra, form="function")
        elif name is not None:
            extra = extended(extra)
        result = ToolResult(call_id=call_id, name=name, content=content, extra=extra)
        return Message(role="user", parts=(result,))


def _read_quickly(item: Raw) -> Message | None:
    """A plain message; None when it is anything else."""
    try:
        plain = _plain.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    role, content, calls, call_id = plain.role, plain.content, plain.tool_calls, plain.tool_call_id
    if role == "assistant":
        if content == "" or call_id is not None or (calls is not None and not (calls and all(c.id for c in calls))):
            return None
        parts: list[Part] = [] if content is None else [Text(text=content)]
        for call in calls or ():
            function = call.function
            parts.append(ToolCall(id=call.id, name=function.name, arguments=function.arguments or "{}"))
        return Message(role="assistant", parts=tuple(parts))
    texts = () if content is None else (Text(text=content),)
    if calls is not None or (role == "tool") is (call_id is None):
        return None
    if role == "tool":
        return Message(role="user", parts=(ToolResult(call_id=call_id or "", content=texts),))
    return Message(role=role, parts=texts)


def _read_plain(message: JsonObject, role: Literal["system", "developer", "user"]) -> Message:
    parts = read_content(message, is_assistant=False)
    return Message(role=role, parts=parts, name=message.string("name"), extra=message.rest(NAME))


def read_content(message: JsonObject, *, is_assistant: bool) -> tuple[Part, ...]:
    """The `content` of a message: a string, or a list of parts (strings among them count as text)."""
    raw = message.peek("content")
    if raw is None:
        message.drop("content")
        return ()
    start = bytes(raw)[:1]
    if start == b'"':
        return (Text(text=message.required_string("content")),)
    if start != b"[":
        raise message.error("content", "must be a string or a list of parts")
    parts: list[Part] = []
    path = message.at("content")
    for index, item in enumerate(message.items("content") or ()):
        if bytes(item)[:1] == b'"':
            item = Raw(b'{"type":"text","text":%b}' % bytes(item))
        part = JsonObject.parse(item, f"{path}[{index}]", message.kind)
        if is_assistant and bytes(part.peek("type") or b"") == b'"thinking"':
            parts.append(read_thinking(part))
        else:
            parts.append(read_part(part))
    return tuple(parts)


def read_arguments(call: JsonObject, name: str) -> str:
    """JSON text of a call's arguments; some hosts and clients give the object itself."""
    raw = call.peek(name)
    if raw is None:
        call.drop(name)
        return "{}"
    if bytes(raw)[:1] in (b"{", b"["):
        call.drop(name)
        return bytes(raw).decode()
    return call.string(name) or "{}"


def read_call(call: JsonObject, spare_id: str) -> ToolCall:
    """An element of `tool_calls`."""
    name = call.string("id")
    call_id = name or spare_id
    kind = call.string("type") or "function"
    signature = read_thought_signature(call)
    call.drop("index")
    if kind == "custom":
        custom = call.object("custom")
        if custom is None:
            raise call.error("custom", "is missing")
        tool, text = custom.required_string("name"), custom.string("input") or ""
        return ToolCall(
            id=call_id, name=tool, arguments=text, is_custom=True, signature=signature, extra=call.rest(NAME)
        )
    function = call.object("function")
    if function is None:
        raise call.error("function", "is missing")
    tool = function.required_string("name")
    arguments = read_arguments(function, "arguments")
    rest = function.rest(NAME)
    extra = call.rest(NAME)
    if rest is not None:
        extra = extended(extra, function=render_json(rest.members))
    return ToolCall(id=call_id, name=tool, arguments=arguments, signature=signature, extra=extra)
