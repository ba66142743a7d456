"""Items of the model, read into parts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from gatewright.core.chat import Native, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_items import begin_members, read_item


def read(item: Any) -> list[tuple[tuple[str, int], Part]]:
    return read_item(Raw(json.dumps(item).encode()), "i", Kind.UPSTREAM_BAD_RESPONSE, [])[0]


def bare(part: Part) -> tuple[Any, ...]:
    """A part without its extension."""
    match part:
        case Text(text=text) | Refusal(text=text):
            return type(part).__name__, text
        case Reasoning():
            return "Reasoning", part.text, part.is_summary, part.encrypted, part.signature, part.id
        case ToolCall():
            return "ToolCall", part.id, part.name, part.arguments, part.is_custom
        case Native():
            return "Native", part.kind
        case _:
            raise AssertionError


REASONING = {"type": "reasoning", "id": "rs_1", "summary": []}
SUMMARY = {"type": "summary_text", "text": "s"}
OWN = Opaque(NAME, "E")
CLAUDE = Opaque("anthropic.messages", "S")


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            [("Text", "a")],
        ),
        ({"role": "assistant", "content": "a"}, [("Text", "a")]),
        ({"type": "message", "content": []}, [("Text", "")]),
        (
            {
                "type": "message",
                "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
            },
            [("Text", "a"), ("Refusal", "no")],
        ),
        (REASONING, [("Reasoning", "", False, None, None, "rs_1")]),
        (
            {**REASONING, "summary": [SUMMARY, SUMMARY], "encrypted_content": "E"},
            [
                ("Reasoning", "s", True, None, None, "rs_1"),
                ("Reasoning", "s", True, None, None, "rs_1"),
                ("Reasoning", "", False, OWN, None, "rs_1"),
            ],
        ),
        (
            {**REASONING, "content": [{"type": "reasoning_text", "text": "t"}]},
            [("Reasoning", "t", False, None, None, "rs_1")],
        ),
        (
            {**REASONING, "summary": [SUMMARY], "encrypted_content": "gatewright.anthropic.messages:S"},
            [("Reasoning", "s", True, None, CLAUDE, "rs_1")],
        ),
        (
            {**REASONING, "encrypted_content": "gatewright.anthropic.messages+encrypted:S"},
            [("Reasoning", "", False, CLAUDE, None, "rs_1")],
        ),
        (
            {**REASONING, "summary": [SUMMARY], "encrypted_content": "gatewright.none:"},
            [("Reasoning", "s", True, None, None, None)],
        ),
        (
            {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": '{"a":1}'},
            [("ToolCall", "c", "f", '{"a":1}', False)],
        ),
        (
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": ""},
            [("ToolCall", "c", "f", "{}", False)],
        ),
        ({"type": "function_call", "id": "fc", "name": "f"}, [("ToolCall", "fc", "f", "{}", False)]),
        (
            {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
            [("ToolCall", "c", "f", "x", True)],
        ),
        ({"type": "web_search_call", "id": "ws"}, [("Native", "web_search_call")]),
        ({"type": "message", "role": "user", "content": []}, [("Native", "message")]),
        ({"id": "x"}, [("Native", "item_reference")]),
    ],
)
def test_items(item: Any, expected: list[tuple[Any, ...]]) -> None:
    assert [bare(part) for _, part in read(item)] == expected


def test_the_last_part_of_an_item_carries_its_members() -> None:
    item = {**REASONING, "status": "completed", "summary": [SUMMARY], "encrypted_content": "E"}
    (_, first), (_, last) = read(item)
    assert isinstance(first, Reasoning)
    assert isinstance(last, Reasoning)
    assert first.extra is not None
    assert last.extra is not None
    assert {name: json.loads(bytes(raw)) for name, raw in first.extra.members.items()} == {
        "item": {"id": "rs_1"},
        "open": True,
    }
    assert json.loads(bytes(last.extra.members["item"])) == {"id": "rs_1", "status": "completed"}
    assert "open" not in last.extra.members


def test_a_signature_of_the_part_before_is_no_part_of_its_own() -> None:
    item = {**REASONING, "encrypted_content": "gatewright.google+previous:G"}
    [(key, part)], _ = read_item(Raw(json.dumps(item).encode()), "i", Kind.MALFORMED_REQUEST)
    assert key == ("previous", 0)
    assert isinstance(part, Reasoning)
    assert part.signature == Opaque("google", "G")


def test_in_an_answer_such_a_signature_is_passed_on_whole() -> None:
    [(_, part)] = read({**REASONING, "encrypted_content": "gatewright.google+previous:G"})
    assert bare(part) == ("Native", "reasoning")


def test_unknown_content_stays_with_its_message() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "odd", "x": 1}]}
    [(_, part)] = read(item)
    assert isinstance(part, Text)
    assert part.extra is not None
    assert json.loads(bytes(part.extra.members["item"])) == {"content": [{"type": "odd", "x": 1}]}


@pytest.mark.parametrize(
    "item",
    [
        5,
        {"type": "function_call", "name": "f"},
        {"type": "function_call", "call_id": "c"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": {"a": 1}},
        {"type": "reasoning", "summary": "x"},
        {"type": "message", "content": 5},
        {"type": 5},
    ],
)
def test_wrong_shapes(item: Any) -> None:
    with pytest.raises(GatewayError) as caught:
        read(item)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_what_is_known_from_the_start() -> None:
    members = {"id": Raw(b'"m"'), "status": Raw(b'"in_progress"'), "phase": Raw(b"null")}
    assert begin_members(members) == {"id": Raw(b'"m"')}
