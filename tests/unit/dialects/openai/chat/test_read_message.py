from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import (
    Audio,
    Extension,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.errors import GatewayError
from gatewright.dialects.openai.chat.read_message import MessageReader
from gatewright.wire.json_object import JsonObject


def read(*messages: Any) -> list[Message]:
    return MessageReader().read_all(JsonObject.parse(msgspec.json.encode({"messages": messages})))


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
PLAIN: list[dict[str, Any]] = [
    {"role": "system", "content": "a"},
    {"role": "developer", "content": ""},
    {"role": "user", "content": "a"},
    {"role": "user", "content": None},
    {"role": "assistant", "content": "a"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
    {"role": "assistant", "content": "a", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "result"},
    {"role": "tool", "tool_call_id": "", "content": ""},
]


@pytest.mark.parametrize("message", PLAIN)
def test_the_quick_way_and_the_long_way_agree(message: dict[str, Any]) -> None:
    long = MessageReader().read(JsonObject.parse(msgspec.json.encode(message), "messages[0]"))
    assert read(message) == [long]


def test_roles_and_contents() -> None:
    assert read(
        {"role": "user", "content": ["a", {"type": "text", "text": "b"}], "name": "Ann"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}], "refusal": "never"},
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "r"}]},
    ) == [
        Message(role="user", parts=(Text(text="a"), Text(text="b")), name="Ann"),
        Message(
            role="assistant",
            parts=(
                Refusal(text="no", extra=Extension("openai.chat", {"form": msgspec.Raw(b'"part"')})),
                Refusal(text="never"),
            ),
        ),
        Message(role="user", parts=(ToolResult(call_id="c1", content=(Text(text="r"),)),)),
    ]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (CALL, ToolCall(id="c1", name="f", arguments='{"a":1}')),
        ({**CALL, "function": {"name": "f", "arguments": ""}}, ToolCall(id="c1", name="f", arguments="{}")),
        ({**CALL, "function": {"name": "f", "arguments": {"a": 1}}}, ToolCall(id="c1", name="f", arguments='{"a":1}')),
        ({"function": {"name": "f"}, "index": 4}, ToolCall(id="call_1_0", name="f", arguments="{}")),
        (
            {"id": "c", "type": "custom", "custom": {"name": "f", "input": "free"}},
            ToolCall(id="c", name="f", arguments="free", is_custom=True),
        ),
        (
            {**CALL, "extra_content": {"google": {"thought_signature": "gatewright.google.generate_content:sig"}}},
            ToolCall(
                id="c1", name="f", arguments='{"a":1}', signature=Opaque("google.generate_content", "sig"), extra=None
            ),
        ),
    ],
)
def test_calls(call: dict[str, Any], expected: ToolCall) -> None:
    assert read({"role": "assistant", "tool_calls": [call]})[0].parts == (expected,)


def test_functions_of_old_are_calls_and_results() -> None:
    call, result = read(
        {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    )
    made, answered = call.parts[0], result.parts[0]
    assert isinstance(made, ToolCall)
    assert isinstance(answered, ToolResult)
    assert made.id == answered.call_id


def test_what_an_assistant_made() -> None:
    message = read(
        {
            "role": "assistant",
            "content": "text",
            "reasoning_content": "thought",
            "audio": {"id": "audio_1"},
            "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
            "extra_content": {"google": {"thought_signature": "s"}},
        }
    )[0]
    assert [type(part) for part in message.parts] == [Reasoning, Text, Audio, Image]
    text = message.parts[1]
    assert isinstance(text, Text)
    assert text.signature == Opaque("openai.chat", "s")


def test_a_signature_without_text_has_a_place() -> None:
    message = read({"role": "assistant", "extra_content": {"google": {"thought_signature": "s"}}})[0]
    assert message.parts == (Text(text="", signature=Opaque("openai.chat", "s")),)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({}, "messages[0].role"),
        ({"role": "robot"}, "messages[0].role"),
        ({"role": "user", "content": 1}, "messages[0].content"),
        ({"role": "user", "content": [1]}, "messages[0].content[0]"),
        ({"role": "function", "content": "x"}, "messages[0].name"),
        ({"role": "assistant", "tool_calls": [{"id": "x"}]}, "messages[0].tool_calls[0].function"),
        ({"role": "assistant", "tool_calls": "x"}, "messages[0].tool_calls"),
        ("text", "messages[0]"),
    ],
)
def test_wrong_shapes_name_their_place(message: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(message)
    assert caught.value.param == path
