from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import Citation, Native, Reasoning, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.cohere.message import is_plan, read_assistant, write_assistant, write_call
from gatewright.wire.json_object import JsonObject

CALL = {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}


def parse(message: dict[str, Any]) -> JsonObject:
    return JsonObject.parse(msgspec.json.encode(message), "messages[0]")


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": "a"}]},
        {"tool_plan": "I will.", "tool_calls": [CALL, CALL | {"id": "f_2", "new": 1}]},
        {"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a", "new": 1}]},
        {"content": [{"type": "picture", "x": 1}]},
        {"tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}", "new": 1}}]},
        {
            "content": [{"type": "text", "text": "abc"}, {"type": "text", "text": "def"}],
            "citations": [
                {"start": 0, "end": 1, "text": "a", "sources": []},
                {"start": 0, "end": 1, "text": "d", "sources": [], "content_index": 1},
                {"start": 0, "end": 1, "text": "w", "sources": [], "type": "PLAN"},
                {"start": 0, "end": 1, "text": "w", "sources": [], "content_index": 9},
            ],
        },
    ],
)
def test_messages_come_back(message: dict[str, Any]) -> None:
    parts, rest = read_assistant(parse(message), Kind.MALFORMED_REQUEST)
    assert plain(write_assistant(parts, rest)) == {"role": "assistant", **message}


def test_parts_come_in_order() -> None:
    message = {
        "tool_calls": [CALL],
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "a"}, {"type": "new"}],
        "tool_plan": "I will.",
        "citations": [{"start": 0, "end": 1}],
    }
    parts, rest = read_assistant(parse(message), Kind.MALFORMED_REQUEST)
    assert [type(part) for part in parts] == [Reasoning, Reasoning, Text, Native, ToolCall]
    assert [is_plan(part) for part in parts] == [True, False, False, False, False]
    assert isinstance(parts[2], Text)
    assert len(parts[2].citations) == 1
    assert rest == []


@pytest.mark.parametrize("arguments", ["", "null", " ", "{}"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    call = {"id": "a", "function": {"name": "f", "arguments": arguments}}
    ((part,), _) = read_assistant(parse({"tool_calls": [call]}), Kind.MALFORMED_REQUEST)
    assert isinstance(part, ToolCall)
    assert part.arguments == "{}"


def test_calls_of_others() -> None:
    free = ToolCall(id="c", name="f", arguments='say "x"', is_custom=True)
    assert msgspec.json.decode(write_call(free)["function"]["arguments"]) == {"input": 'say "x"'}
    assert write_call(ToolCall(id="c", name="f", arguments=""))["function"]["arguments"] == "{}"


def test_citations_of_others_name_their_content() -> None:
    texts = [Text(text="a"), Text(text="b", citations=(Citation(url="https://a.example"),))]
    assert write_assistant(texts)["citations"][0]["content_index"] == 1
    assert "content_index" not in write_assistant(texts[1:])["citations"][0]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"content": 7}, "messages[0].content"),
        ({"content": [{"type": "text", "text": 7}]}, "messages[0].content[0].text"),
        ({"tool_calls": [{"function": {}}]}, "messages[0].tool_calls[0].id"),
        ({"tool_calls": [{"id": "a"}]}, "messages[0].tool_calls[0].function"),
        ({"citations": [{"start": "a"}], "content": "t"}, "messages[0].citations[0].start"),
        ({"tool_plan": []}, "messages[0].tool_plan"),
    ],
)
def test_wrong_members_are_named(message: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_assistant(parse(message), Kind.MALFORMED_REQUEST)
    assert caught.value.param == path


def test_parts_without_form_are_left_out() -> None:
    assert write_assistant([Native(dialect="x", kind="k", raw=Raw(b"{}"))]) == {"role": "assistant"}
