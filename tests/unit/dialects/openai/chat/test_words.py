from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.events import Finish, FinishReason
from gatewright.dialects.openai.chat.words import NAME, extended, own, read_finish, take_objects, write_finish
from gatewright.wire.json_object import JsonObject


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("", "stop"),
        (None, "stop"),
        ("eos", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("function_call", "tool_calls"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("network_error", "error"),
        ("insufficient_system_resource", "error"),
        ("a new word", "stop"),
    ],
)
def test_finish_reasons_of_hosts(word: str | None, reason: str) -> None:
    assert read_finish(word, has_calls=False) == reason
    assert read_finish(word, has_calls=True) == ("tool_calls" if reason == "stop" else reason)


@pytest.mark.parametrize(
    ("reason", "word"),
    [("stop", "stop"), ("pause", "stop"), ("length", "length"), ("tool_calls", "tool_calls"), ("error", "error")],
)
def test_finish_reasons_for_clients(reason: FinishReason, word: str) -> None:
    assert write_finish(Finish(reason=reason, native="their word", dialect="anthropic.messages")) == word
    assert write_finish(Finish(reason=reason, native="our word", dialect=NAME)) == "our word"


def test_extensions_are_read_by_their_own_dialect_alone() -> None:
    extra = extended(None, a=1, b=None, c=Raw(b"[1]"))
    assert {name: bytes(value) for name, value in own(extra).items()} == {"a": b"1", "c": b"[1]"}
    assert own(Extension("another", {"a": Raw(b"1")})) == {}
    assert own(extended(extra, a=2))["a"] == Raw(b"2")


def test_an_empty_list_stays_where_it_was() -> None:
    owner = JsonObject.parse(b'{"a": [ ], "b": [{"x": 1}]}')
    assert take_objects(owner, "a") == []
    assert len(take_objects(owner, "b")) == 1
    assert take_objects(owner, "c") == []
    assert bytes(owner.spelled()) == b'{"a":[ ]}'
