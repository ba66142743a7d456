"""Reads a request of the Responses API (platform.openai.com/docs/api-reference/responses/create).

Items of the model that follow each other become one assistant message, so that thoughts stay with what they led to.
`instructions` becomes the first system message, marked. What names state kept at the vendor (`previous_response_id`,
`conversation`, stored prompts, item references, background mode) binds the request to a provider of this dialect.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    Bound,
    ChatRequest,
    Extension,
    File,
    Message,
    Native,
    Part,
    ReasoningConfig,
    Role,
    Sampling,
    Text,
    ToolResult,
)
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.dialects.openai.responses.names import NAME, extension, string_value
from gatewright.dialects.openai.responses.options import (
    read_format,
    read_reasoning_config,
    read_tool,
    read_tool_choice,
)
from gatewright.dialects.openai.responses.read_content import read_content
from gatewright.dialects.openai.responses.read_items import PREVIOUS_KEY, read_made
from gatewright.wire.json_object import JsonObject, render_json

LOGPROBS: Final = "message.output_text.logprobs"
ENCRYPTED_REASONING: Final = "reasoning.encrypted_content"

_RESULTS: Final = ("function_call_output", "custom_tool_call_output")
_MESSAGE: Final = Raw(b'"message"')
_TRUE: Final = Raw(b"true")
_ROLES: Final[dict[str, Role]] = {"system": "system", "developer": "developer", "user": "user"}
_SEND_ALL: Final = (
    "the conversation is not kept here; send all of it as `input`, with `store: false`"
    ' and `include: ["reasoning.encrypted_content"]` so that thoughts can be sent back'
)
_BOUND: Final = {
    "previous_response_id": _SEND_ALL,
    "conversation": _SEND_ALL,
    "prompt": "stored prompts are known to the vendor alone; send their text as `instructions` and `input`",
    "background": "the answer would have to be kept for later; send `background: false`",
}
_CLIENT_ITEMS: Final = ("mcp_approval_response", "item_reference", "compaction_trigger")
_metadata: msgspec.json.Decoder[dict[str, str]] = msgspec.json.Decoder(dict[str, str])
replace = msgspec.structs.replace


def decode_request(members: Fields, model: str, stream: bool) -> ChatRequest:
    """A client's request. Raises GatewayError with the path of the member that is wrong."""
    fields = JsonObject(members)
    fields.drop("model", "stream")
    has_input = fields.has("input")
    messages, bound = _read_input(fields)
    instructions = fields.string("instructions")
    if instructions is not None:
        first = Message(role="system", parts=(Text(text=instructions),), extra=extension(instructions=_TRUE))
        messages = [first, *messages]
    bound = [*_read_bound(fields), *bound]
    if not has_input and not bound:
        raise fields.error("input", "is missing")
    text = fields.object("text") or JsonObject({}, "text")
    form = text.object("format")
    has_logprobs, wants_encrypted, others = _read_include(fields)
    raw_choice = fields.raw("tool_choice")
    user, service_tier = fields.string("user"), fields.string("service_tier")
    safety_identifier = string_value(fields.peek("safety_identifier"))
    return ChatRequest(
        model=model,
        messages=tuple(messages),
        tools=tuple(
            read_tool(JsonObject.parse(raw, f"tools[{index}]"), raw)
            for index, raw in enumerate(fields.items("tools") or ())
        ),
        tool_choice=None if raw_choice is None else read_tool_choice(raw_choice, "tool_choice"),
        parallel_tool_calls=fields.boolean("parallel_tool_calls"),
        response_format=None if form is None else read_format(form),
        reasoning=_read_reasoning(fields),
        sampling=Sampling(
            temperature=fields.number("temperature"),
            top_p=fields.number("top_p"),
            logprobs=has_logprobs,
            top_logprobs=fields.integer("top_logprobs"),
        ),
        max_output_tokens=fields.integer("max_output_tokens"),
        verbosity=text.string("verbosity"),
        user=user if user is not None else safety_identifier,
        metadata=_read_metadata(fields),
        service_tier=service_tier,
        store=fields.boolean("store"),
        wants_encrypted_reasoning=wants_encrypted,
        bound=tuple(bound),
        cache_key=fields.string("prompt_cache_key"),
        stream=stream,
        extra=_extra(fields, text, others),
    )


def _extra(fields: JsonObject, text: JsonObject, include: list[str]) -> Extension:
    """What is left of the request; also empty, as the mark that this dialect made the request."""
    rest = fields.rest(NAME) or extension()
    text_rest = text.rest(NAME)
    if text_rest is not None:
        rest.members["text"] = render_json(text_rest.members)
    if include:
        rest.members["include"] = render_json(include)
    return rest


def _read_reasoning(fields: JsonObject) -> ReasoningConfig | None:
    config = fields.object("reasoning")
    return None if config is None else read_reasoning_config(config)


def _read_metadata(fields: JsonObject) -> dict[str, str] | None:
    raw = fields.peek("metadata")
    if raw is None:
        return None
    try:
        metadata = _metadata.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None  # stays in the extension: the vendor will say what is wrong with it
    fields.drop("metadata")
    return metadata


def _read_include(fields: JsonObject) -> tuple[bool | None, bool | None, list[str]]:
    """Whether log probabilities and encrypted thoughts are asked for, and the wishes that only this dialect knows."""
    include = fields.strings("include")
    if include is None:
        return None, None, []
    others = [wish for wish in include if wish not in (LOGPROBS, ENCRYPTED_REASONING)]
    return LOGPROBS in include or None, ENCRYPTED_REASONING in include, others


def _read_bound(fields: JsonObject) -> list[Bound]:
    return [
        Bound(dialect=NAME, path=name, advice=advice)
        for name, advice in _BOUND.items()
        if fields.has(name) and bytes(fields.peek(name) or b"") != b"false"
    ]


class _Turns:
    """Messages being put together: what the model made in a row becomes one."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._parts: list[Part] = []

    def add_made(self, parts: list[Part]) -> None:
        self._parts.extend(parts)

    def sign_last(self, part: Part) -> None:
        """A signature of the part before, carried by an item of its own."""
        if self._parts and hasattr(self._parts[-1], "signature"):
            self._parts[-1] = replace(self._parts[-1], signature=part.signature)  # type: ignore[union-attr]

    def add(self, message: Message) -> None:
        self.close()
        self.messages.append(message)

    def close(self) -> None:
        if self._parts:
            self.messages.append(Message(role="assistant", parts=tuple(self._parts)))
            self._parts = []


def _read_input(fields: JsonObject) -> tuple[list[Message], list[Bound]]:
    text = string_value(fields.peek("input"))
    if text is not None:
        fields.drop("input")
        return [Message(role="user", parts=(Text(text=text),), extra=extension(input=_TRUE))], []
    turns = _Turns()
    bound: list[Bound] = []
    for index, raw in enumerate(fields.items("input") or ()):
        _read_input_item(raw, f"input[{index}]", turns, bound)
    turns.close()
    return turns.messages, bound


def _read_input_item(raw: Raw, path: str, turns: _Turns, bound: list[Bound]) -> None:
    item = JsonObject.parse(raw, path)
    kind = item.string("type")
    role = string_value(item.peek("role"))
    if kind in _RESULTS and item.has("call_id"):
        turns.add(Message(role="user", parts=(_read_result(item, is_custom=kind == _RESULTS[1]),)))
    elif role is not None and role != "assistant" and (kind == "message" or kind is None):
        turns.add(_read_message(item, kind, role))
    elif _is_made(kind, role):
        keyed, _ = read_made(item, raw, kind, Kind.MALFORMED_REQUEST)
        if keyed[0][0] == PREVIOUS_KEY:
            turns.sign_last(keyed[0][1])
        else:
            turns.add_made([part for _, part in keyed])
    else:
        kind = kind or "item_reference"
        if kind == "item_reference":
            bound.append(Bound(dialect=NAME, path=path, advice=_SEND_ALL))
        native_role: Role = "developer" if role == "developer" else "user"
        turns.add(Message(role=native_role, parts=(Native(dialect=NAME, kind=kind, raw=raw),), extra=extension()))


def _is_made(kind: str | None, role: str | None) -> bool:
    """Whether an item is what a model made; what the client or a tool added stands between the model's turns."""
    if role is not None:
        return role == "assistant" and kind in (None, "message")
    return kind is not None and kind not in _CLIENT_ITEMS and not kind.endswith("_output")


def _read_message(item: JsonObject, kind: str | None, role: str) -> Message:
    item.drop("role")
    if role not in _ROLES:
        raise item.error("role", "must be user, assistant, system or developer")
    parts = _read_parts(item, "content", "input_text")
    extra = item.rest(NAME)
    if kind is not None:
        extra = extra or extension()
        extra.members["type"] = _MESSAGE  # it may be left out
    return Message(role=_ROLES[role], parts=parts, extra=extra)


def _read_parts(item: JsonObject, member: str, default: str) -> tuple[Part, ...]:
    text = string_value(item.peek(member))
    if text is not None:
        item.drop(member)
        return (Text(text=text),)
    contents = item.items(member)
    if contents is None:
        raise item.error(member, "is missing")
    path = item.at(member)
    parts: list[Part] = []
    for index, raw in enumerate(contents):
        part, members = read_content(raw, f"{path}[{index}]", Kind.MALFORMED_REQUEST, default)
        if members or isinstance(part, File):
            part = replace(part, extra=Extension(NAME, members))
        parts.append(part)
    return tuple(parts)


def _read_result(item: JsonObject, *, is_custom: bool) -> ToolResult:
    call_id = item.required_string("call_id")
    content = _read_parts(item, "output", "input_text")
    return ToolResult(
        call_id=call_id,
        name=item.string("name"),
        content=content,
        is_custom=is_custom,
        extra=item.rest(NAME),
    )
