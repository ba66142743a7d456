from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.call_ids import is_made_up
from gatewright.core.chat import Image, Reasoning, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.ollama.message import join_text, read_parts, write_call
from gatewright.wire.json_object import JsonObject


def read(message: dict[str, Any]) -> JsonObject:
    return JsonObject.parse(msgspec.json.encode(message), "messages[0]")


def test_parts_come_in_order() -> None:
    message = {
        "content": "See.",
        "thinking": "Hm.",
        "images": ["/9j/4AAQ", "iVBORw0KGgoAAA", "AAAA"],
        "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "f"}}],
    }
    parts = read_parts(read(message), "seed")
    assert [type(part) for part in parts] == [Reasoning, Text, Image, Image, Image, ToolCall, ToolCall]
    media = [part.source.media_type for part in parts if isinstance(part, Image)]
    assert media == ["image/jpeg", "image/png", None]
    calls = [part for part in parts if isinstance(part, ToolCall)]
    assert [call.arguments for call in calls] == ['{"a":1}', "{}"]
    assert len({call.id for call in calls}) == 2
    assert all(is_made_up(call.id) for call in calls)


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "f", "arguments": {"a": 1.50}}},
        {"id": "call_9", "function": {"name": "f", "arguments": {}}},
        {"function": {"index": 1, "name": "f", "arguments": {"x": None}}},
        {"id": "call_9", "function": {"name": "f", "arguments": {}}, "new": [1]},
    ],
)
def test_calls_come_back(call: dict[str, Any]) -> None:
    (part,) = read_parts(read({"tool_calls": [call]}), "seed")
    assert isinstance(part, ToolCall)
    assert msgspec.json.decode(msgspec.json.encode(write_call(part))) == call


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ({}, "messages[0].tool_calls[0].function"),
        ({"function": {}}, "messages[0].tool_calls[0].function.name"),
        ({"function": {"name": "f", "arguments": [1]}}, "messages[0].tool_calls[0].function.arguments"),
    ],
)
def test_wrong_calls_are_named(call: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_parts(read({"tool_calls": [call]}), "seed")
    assert caught.value.kind is Kind.MALFORMED_REQUEST
    assert caught.value.param == path


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (ToolCall(id="c", name="f", arguments=""), {}),
        (ToolCall(id="c", name="f", arguments='{"a":1}'), {"a": 1}),
        (ToolCall(id="c", name="f", arguments="not json"), {"_raw": "not json"}),
        (ToolCall(id="c", name="f", arguments="[1]"), {"_raw": "[1]"}),
        (ToolCall(id="c", name="f", arguments="{}", is_custom=True), {"input": "{}"}),
    ],
)
def test_arguments_are_objects(call: ToolCall, arguments: dict[str, Any]) -> None:
    written = msgspec.json.decode(msgspec.json.encode(write_call(call)))
    assert written == {"id": "c", "function": {"name": "f", "arguments": arguments}}


def test_texts_are_joined() -> None:
    assert join_text(["a"]) == "a"
    assert join_text(["a", "b"]) == "a\nb"
