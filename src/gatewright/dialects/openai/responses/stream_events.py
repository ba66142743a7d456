"""The events of a Responses stream: their members, and what a text or an item they tell of is part of."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.errors import GatewayError
from gatewright.dialects.openai.responses.names import object_members, string_value
from gatewright.dialects.openai.responses.read_items import CALL, Key
from gatewright.dialects.openai.responses.read_response import BAD
from gatewright.wire.json_object import JsonObject, mend_surrogates

NOTHING: Final = Raw(b"")
"""Stands for a member that an event does not have."""


class StreamEvent(Struct, gc=False):
    """The members of any event that are looked at."""

    type: str = ""
    output_index: int | None = None
    content_index: int | None = None
    summary_index: int | None = None
    delta: str | None = None
    text: str | None = None
    refusal: str | None = None
    arguments: str | None = None
    input: str | None = None
    logprobs: Raw = NOTHING
    annotation: Raw = NOTHING
    part: Raw = NOTHING
    item: Raw = NOTHING
    response: Raw = NOTHING
    error: Raw = NOTHING
    item_id: str | None = None


class _AnyEvent(Struct):
    type: str = ""
    error: Raw = NOTHING


class ItemHead(Struct):
    """The type and the names of an item."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None


DELTAS: Final = {
    "response.output_text.delta": ("message", "content"),
    "response.refusal.delta": ("message", "content"),
    "response.reasoning_text.delta": ("reasoning", "content"),
    "response.reasoning_summary_text.delta": ("reasoning", "summary"),
    "response.function_call_arguments.delta": ("function_call", "call"),
    "response.custom_tool_call_input.delta": ("custom_tool_call", "call"),
}
"""The events that add to a text: the type of the item, and in which of its members the text stands."""
DONES: Final = {name.removesuffix("delta") + "done": slot for name, slot in DELTAS.items()}
"""The events that tell the whole text, and where it stands."""
_HANDLED: Final = frozenset(
    (
        *DELTAS,
        *DONES,
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.output_item.added",
        "response.output_item.done",
        "response.content_part.added",
        "response.content_part.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.output_text.annotation.added",
        "response.completed",
        "response.incomplete",
        "response.failed",
        "error",
    )
)

_OWNERS: Final = {
    "output_text": "message",
    "refusal": "message",
    "reasoning_text": "reasoning",
    "summary_text": "reasoning",
}
"""Which items hold parts of these types."""

_events = msgspec.json.Decoder(StreamEvent)
_any_events = msgspec.json.Decoder(_AnyEvent)
_items = msgspec.json.Decoder(ItemHead)


def owner_of(event: StreamEvent) -> tuple[str | None, str]:
    """The type of the item that holds the part of an event, and the part's own; None for parts of no known type."""
    kind = string_value(object_members(event.part).get("type")) if event.part else None
    return _OWNERS.get(kind or ""), kind or ""


def key_of(event: StreamEvent, member: str) -> Key:
    """Which slot of its item an event speaks of."""
    if member == "content":
        return member, event.content_index or 0
    if member == "summary":
        return member, event.summary_index or 0
    return CALL


def read_event(data: bytes) -> StreamEvent | None:
    """An event; None when it is of a type that does not matter here. Raises GatewayError."""
    try:
        return _events.decode(data)
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        data = mend_surrogates(data)
    try:
        event = _any_events.decode(data)
        return _events.decode(data) if event.type in _HANDLED or event.error else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GatewayError(BAD, f"The provider's stream is not usable: {error}.", cause=error) from None


def is_whole(data: bytes) -> bool:
    """Whether the data of an event is all there."""
    try:
        _any_events.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def item_head(raw: Raw) -> ItemHead:
    """The type and the names of an item. Raises GatewayError when it is no object."""
    try:
        return _items.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    members = JsonObject.parse(raw, "item", BAD)
    return ItemHead(type=string_value(members.peek("type")) or "", id=string_value(members.peek("id")))
