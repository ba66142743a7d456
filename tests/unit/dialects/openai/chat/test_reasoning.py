from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Extension, Opaque, Reasoning
from gatewright.dialects.openai.chat.reasoning import (
    is_gateway_format,
    member_of,
    read_block,
    read_entry,
    read_thinking,
    read_thought_signature,
    read_thoughts,
    write_block,
    write_entry,
    write_thinking,
    write_thought_signature,
)
from gatewright.wire.json_object import JsonObject


def reader(value: Any) -> JsonObject:
    return JsonObject.parse(msgspec.json.encode(value))


def plain(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


@pytest.mark.parametrize(
    ("word", "is_ours"),
    [
        ("anthropic.messages", True),
        ("google.generate_content", True),
        ("anthropic-claude-v1", False),
        ("unknown", False),
        (None, False),
    ],
)
def test_formats(word: str | None, is_ours: bool) -> None:
    assert is_gateway_format(word) is is_ours


@pytest.mark.parametrize(
    "part",
    [
        Reasoning(text="a", signature=Opaque("anthropic.messages", "s+/=")),
        Reasoning(encrypted=Opaque("anthropic.messages", "blob")),
        Reasoning(text="sum", is_summary=True, id="rs_1", encrypted=Opaque("openai.responses", "blob")),
        Reasoning(text="a", signature=Opaque("openai.chat", "s")),
    ],
)
def test_entries_of_the_gateway_hold_everything(part: Reasoning) -> None:
    assert read_entry(reader(write_entry(part, 3))) == part


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "reasoning.text", "text": "a", "signature": "s", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.summary", "summary": "a", "format": "openai-responses-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "d", "format": "openai-responses-v1", "index": 1, "id": "rs_1"},
    ],
)
def test_entries_of_hosts_go_back_as_they_came(entry: dict[str, Any]) -> None:
    part = read_entry(reader(entry))
    assert member_of(part) == "reasoning_details"
    assert plain(write_entry(part, 9)) == entry


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
    ],
)
def test_thinking_blocks(block: dict[str, Any]) -> None:
    part = read_block(reader(block))
    blob = part.signature or part.encrypted
    assert blob is not None
    assert blob.dialect == "anthropic.messages"
    assert plain(write_block(part)) == block


def test_thinking_parts() -> None:
    part = read_thinking(reader({"type": "thinking", "thinking": [{"type": "text", "text": "a"}, {"text": "b"}]}))
    assert part.text == "ab"
    assert member_of(part) == "content"
    assert plain(write_thinking(part)) == {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]}
    assert read_thinking(reader({"thinking": "c"})).text == "c"


@pytest.mark.parametrize(
    ("message", "texts", "left"),
    [
        ({"reasoning_content": "a", "reasoning": "a"}, ["a"], {"reasoning": "a"}),
        ({"reasoning": "b"}, ["b"], {}),
        ({"reasoning_content": "", "reasoning": "b"}, ["b"], {"reasoning_content": ""}),
        (
            {"reasoning": "dup", "reasoning_details": [{"type": "reasoning.text", "text": "c"}]},
            ["c"],
            {"reasoning": "dup"},
        ),
        (
            {"reasoning_content": "dup", "reasoning_details": [{"text": "c", "format": "anthropic.messages"}]},
            ["c"],
            {},
        ),
        ({"reasoning_details": [], "thinking_blocks": [{"thinking": "d"}]}, ["d"], {"reasoning_details": []}),
        ({"reasoning": {"not": "text"}}, [], {"reasoning": {"not": "text"}}),
    ],
)
def test_where_thoughts_are_found(message: dict[str, Any], texts: list[str], left: dict[str, Any]) -> None:
    owner = reader(message)
    assert [part.text for part in read_thoughts(owner)] == texts
    assert plain(owner.spelled()) == left


def test_signatures_of_google() -> None:
    call = reader({"id": "1", "extra_content": {"google": {"thought_signature": "s", "thought": True}, "other": 1}})
    assert read_thought_signature(call) == Opaque("openai.chat", "s")
    extra = call.rest("openai.chat")
    assert plain(write_thought_signature(Opaque("openai.chat", "s"), extra)) == {
        "google": {"thought": True, "thought_signature": "s"},
        "other": 1,
    }


def test_signatures_of_other_dialects_say_whose_they_are() -> None:
    written = write_thought_signature(Opaque("google.generate_content", "s"))
    assert read_thought_signature(reader({"extra_content": written})) == Opaque("google.generate_content", "s")


def test_thoughts_of_others_have_no_member_here() -> None:
    assert member_of(Reasoning(text="a")) is None
    assert member_of(Reasoning(text="a", extra=Extension("another", {"type": msgspec.Raw(b'"x"')}))) is None
