"""Parts put together to items."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.core.errors import Kind
from gatewright.dialects.openai.responses.names import NAME, PREVIOUS
from gatewright.dialects.openai.responses.read_items import read_item
from gatewright.dialects.openai.responses.write_items import (
    answer_content,
    continues,
    group_items,
    item_members,
    previous_signature,
    request_message,
    write_call,
    write_call_id,
    write_message,
    write_reasoning,
)

WRITERS: dict[str, Any] = {
    "message": request_message,
    "reasoning": write_reasoning,
    "function_call": lambda group: write_call(group[0]),
    "custom_tool_call": lambda group: write_call(group[0]),
}


def parts_of(item: Any) -> list[Part]:
    keyed, _ = read_item(Raw(json.dumps(item).encode()), "i", Kind.MALFORMED_REQUEST)
    return [part for _, part in keyed]


TEXT = {"type": "output_text", "text": "a", "annotations": []}
REASONING = {"type": "reasoning", "id": "rs", "summary": []}
ITEMS = [
    {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [TEXT, TEXT]},
    {"type": "message", "id": "m", "role": "assistant", "phase": "commentary", "content": [TEXT]},
    {"role": "assistant", "content": "a"},
    {"role": "assistant", "content": []},
    {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {"type": "message", "role": "assistant", "content": [TEXT, {"type": "odd", "x": 1}]},
    REASONING,
    {**REASONING, "content": [], "status": "completed"},
    {**REASONING, "encrypted_content": "E", "summary": [{"type": "summary_text", "text": "s"}] * 2},
    {**REASONING, "content": [{"type": "reasoning_text", "text": "t"}]},
    {**REASONING, "summary": [{"type": "summary_text", "text": ""}]},
    {"type": "function_call", "id": "f", "call_id": "c", "name": "f", "arguments": '{"a": 1}', "namespace": "n"},
    {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"},
]


@pytest.mark.parametrize("item", ITEMS, ids=range(len(ITEMS)))
def test_items_come_back(item: dict[str, Any]) -> None:
    [group] = group_items(parts_of(item), joins_reasoning=True)
    written = WRITERS[item.get("type", "message")](group)
    assert json.loads(msgspec.json.encode(written)) == item


def test_neighbours_stay_apart() -> None:
    parts = [part for item in ITEMS for part in parts_of(item)]
    assert len(list(group_items(parts, joins_reasoning=True))) == len(ITEMS)


OWN = Opaque(NAME, "E")


@pytest.mark.parametrize(
    ("parts", "sizes"),
    [
        ([Text(text="a"), Text(text="b"), Refusal(text="c")], [3]),
        ([Text(text="a", signature=OWN), Text(text="b")], [1, 1]),
        ([ToolCall(id="1", name="f", arguments="{}"), ToolCall(id="2", name="f", arguments="{}")], [1, 1]),
        ([Reasoning(text="a"), Reasoning(text="b"), Reasoning(encrypted=OWN), Reasoning(text="c")], [3, 1]),
        ([Reasoning(text="a"), Text(text="b"), Reasoning(text="c")], [1, 1, 1]),
    ],
)
def test_parts_of_other_dialects_are_put_together(parts: list[Part], sizes: list[int]) -> None:
    assert [len(group) for group in group_items(parts, joins_reasoning=True)] == sizes


def test_an_answers_thoughts_are_items_of_their_own() -> None:
    assert not continues(Reasoning(text="a"), Reasoning(text="b"), joins_reasoning=False)


def test_blobs_of_other_dialects_are_carried() -> None:
    item = write_reasoning([Reasoning(text="t", signature=Opaque("anthropic.messages", "S"))])
    assert item["encrypted_content"] == "gatewright.anthropic.messages:S"
    assert previous_signature(Opaque("google", "G"), PREVIOUS)["encrypted_content"] == "gatewright.google+previous:G"
    assert item_members([Text(text="a")]) == {}
    assert write_message([Text(text="a")], [])["role"] == "assistant"


def test_answers_have_what_clients_expect() -> None:
    assert answer_content(Text(text="a"), []) == {
        "type": "output_text",
        "annotations": [],
        "text": "a",
        "logprobs": [],
    }
    assert answer_content(Refusal(text="no"), []) == {"type": "refusal", "refusal": "no"}


def test_ids_the_api_would_refuse_are_shortened_stably() -> None:
    assert write_call_id("c" * 64) == "c" * 64
    assert write_call_id("c" * 65) == write_call_id("c" * 65) != write_call_id("c" * 66)
    assert len(write_call_id("c" * 65)) <= 64
