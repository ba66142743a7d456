"""Reads the items of a conversation that a model made: its messages, thoughts and calls.

One item becomes one part or several. The last part of an item carries `item` in its extension, the item's members that
the hub has no place for; parts before it carry `item` with what is known from the start, and `open`. So the items can
be put together again, also from the parts of a stream. Items the hub does not know become `Native`, whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension, Native, Part, Reasoning, Text, ToolCall
from gatewright.core.errors import Kind
from gatewright.core.events import TokenLogprob
from gatewright.dialects.openai.responses.names import ENCRYPTED, NAME, NO_BLOB, PREVIOUS, string_value, uncarry_blob
from gatewright.dialects.openai.responses.read_content import part_members, read_content
from gatewright.wire.json_object import JsonObject, render_json

Key = tuple[str, int]
"""Which part of an item: its content, summary or another slot, and the index there."""

OPEN: Final = Raw(b"true")
CALL: Final[Key] = ("call", 0)
WHOLE: Final[Key] = ("whole", 0)
ENCRYPTED_KEY: Final[Key] = ("encrypted", 0)
PREVIOUS_KEY: Final[Key] = ("previous", 0)
"""No part, but the signature of the part before."""

_FROM_START: Final = ("id", "phase")
_EMPTY_LIST: Final = Raw(b"[]")
_MESSAGE: Final = Raw(b'"message"')
replace = msgspec.structs.replace


def begin_members(members: dict[str, Raw]) -> dict[str, Raw]:
    """The members of an item that do not change while it is streamed."""
    return {name: members[name] for name in _FROM_START if name in members and bytes(members[name]) != b"null"}


def read_item(
    raw: Raw, path: str, error: Kind, tokens: list[TokenLogprob] | None = None
) -> tuple[list[tuple[Key, Part]], dict[str, Raw]]:
    """The parts of one item the model made, each with its place in the item, and the members of the item that the hub
    does not know.

    `tokens` takes the log probabilities of an answer's text.
    """
    fields = JsonObject.parse(raw, path, error)
    return read_made(fields, raw, fields.string("type"), error, tokens)


def read_made(
    fields: JsonObject, raw: Raw, kind: str | None, error: Kind, tokens: list[TokenLogprob] | None = None
) -> tuple[list[tuple[Key, Part]], dict[str, Raw]]:
    """`read_item` for an item whose type was taken already."""
    is_typed = kind is not None
    if kind is None and fields.has("role"):
        kind = "message"
    match kind:
        case "message" if fields.string("role") in ("assistant", None):
            # In a request the type of a message may be left out.
            item = {"type": _MESSAGE} if is_typed and tokens is None else {}
            return _read_message(fields, error, item, tokens)
        case "reasoning":
            keyed, item = _read_reasoning(fields)
            if keyed[0][0] == PREVIOUS_KEY and tokens is not None:
                # Another gateway's mark, which comes when the part it belongs to has ended: for its client alone.
                return [(WHOLE, Native(dialect=NAME, kind=kind, raw=raw))], {}
            return keyed, item
        case "function_call":
            return _read_call(fields, "arguments")
        case "custom_tool_call":
            return _read_call(fields, "input")
        case _:
            return [(WHOLE, Native(dialect=NAME, kind=kind or "item_reference", raw=raw))], {}


def _closed(
    parts: Sequence[tuple[Key, Part, dict[str, Raw]]], item: dict[str, Raw]
) -> tuple[list[tuple[Key, Part]], dict[str, Raw]]:
    """Parts with the extensions that hold them together."""
    closed: list[tuple[Key, Part]] = []
    last = len(parts) - 1
    for index, (key, part, members) in enumerate(parts):
        if index < last:
            members["item"], members["open"] = render_json(begin_members(item)), OPEN
        else:
            members["item"] = render_json(item)
        closed.append((key, replace(part, extra=Extension(NAME, members))))
    return closed, item


def _rest(fields: JsonObject) -> dict[str, Raw]:
    rest = fields.rest(NAME)
    return {} if rest is None else dict(rest.members)


def _read_message(
    fields: JsonObject, error: Kind, item: dict[str, Raw], tokens: list[TokenLogprob] | None
) -> tuple[list[tuple[Key, Part]], dict[str, Raw]]:
    parts: list[tuple[Key, Part, dict[str, Raw]]] = []
    text = string_value(fields.peek("content"))
    if text is not None:
        fields.drop("content")
        parts.append((("content", 0), Text(text=text), {}))
    else:
        path = fields.at("content")
        for index, content in enumerate(fields.items("content") or ()):
            part, members = read_content(content, f"{path}[{index}]", error, "output_text", tokens)
            parts.append((("content", index), part, members))
    item |= _rest(fields)
    if not parts:
        return _closed([(WHOLE, Text(text=""), {"empty": OPEN})], item)
    if any(isinstance(part, Native) for _, part, _ in parts):
        # A Native has no extension, so it could not be told apart from an item of its own.
        known = [entry for entry in parts if not isinstance(entry[1], Native)]
        unknown = [entry[1].raw for entry in parts if isinstance(entry[1], Native)]
        item["content"] = render_json(unknown)
        parts = known or [(WHOLE, Text(text=""), {"empty": OPEN})]
    return _closed(parts, item)


def _read_reasoning(fields: JsonObject) -> tuple[list[tuple[Key, Part]], dict[str, Raw]]:
    parts: list[tuple[Key, Reasoning, dict[str, Raw]]] = []
    item: dict[str, Raw] = {}
    item_id = string_value(fields.peek("id"))
    for member, default, is_summary in (("summary", "summary_text", True), ("content", "reasoning_text", False)):
        texts = fields.objects(member)
        if texts == [] and member == "content":
            item["content"] = _EMPTY_LIST
        for index, text in enumerate(texts or ()):
            part, members = read_thought(text, default)
            parts.append(((member, index), replace(part, is_summary=is_summary, id=item_id), members))
    encrypted = fields.string("encrypted_content")
    item |= _rest(fields)
    if encrypted is not None:
        blob, slot = uncarry_blob(encrypted)
        if slot == PREVIOUS:
            return [(PREVIOUS_KEY, Reasoning(signature=blob))], item
        if blob == NO_BLOB:
            return [(key, replace(part, id=None)) for key, part, _ in parts] or [(WHOLE, Reasoning())], item
        if slot == ENCRYPTED:
            parts.append((ENCRYPTED_KEY, Reasoning(encrypted=blob, id=item_id), {}))
        elif parts:
            key, last, members = parts[-1]
            parts[-1] = key, replace(last, signature=blob), members
        else:
            parts.append((ENCRYPTED_KEY, Reasoning(signature=blob, id=item_id), {}))
    if not parts:
        parts.append((WHOLE, Reasoning(id=item_id), {}))
    return _closed(parts, item)


def read_thought(fields: JsonObject, default: str) -> tuple[Reasoning, dict[str, Raw]]:
    """One text of a reasoning item, and the members of the extension it should get."""
    kind = fields.string("type") or default
    part = Reasoning(text=fields.string("text") or "")
    members = part_members(fields, kind, default)
    if not part.text:
        members["text"] = OPEN  # told apart from thoughts that have no text at all
    return part, members


def _read_call(fields: JsonObject, member: str) -> tuple[list[tuple[Key, Part]], dict[str, Raw]]:
    call_id = fields.string("call_id") or string_value(fields.peek("id"))
    if not call_id:
        raise fields.error("call_id", "is missing")
    is_custom = member == "input"
    name = fields.required_string("name")
    arguments = fields.string(member) or ("" if is_custom else "{}")
    item = _rest(fields)
    call = ToolCall(id=call_id, name=name, arguments=arguments, is_custom=is_custom)
    return _closed([(CALL, call, {})], item)
