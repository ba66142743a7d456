"""Ids, names and cache marks as the API allows them."""

from __future__ import annotations

import re

import pytest
from msgspec import Raw

from gatewright.core.chat import CacheMark, Extension
from gatewright.dialects.anthropic.vocabulary import (
    FINISH_REASONS,
    NAME,
    STOP_REASONS,
    clean_id,
    clean_name,
    own,
    read_cache,
    render_cache,
)
from gatewright.wire.json_object import JsonObject


@pytest.mark.parametrize("ident", ["toolu_01A", "call-1", "a"])
def test_an_allowed_id_is_kept(ident: str) -> None:
    assert clean_id(ident) == ident


@pytest.mark.parametrize("ident", ["", "call:1", "a b", "functions.f:0", "é", "x\n"])
def test_another_id_is_hashed_alike_each_time(ident: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", clean_id(ident))
    assert clean_id(ident) == clean_id(ident)
    assert clean_id(ident) != clean_id(ident + "x")


@pytest.mark.parametrize(("name", "cleaned"), [("f", "f"), ("a.b c", "a_b_c"), ("x" * 200, "x" * 128), ("", "_")])
def test_names(name: str, cleaned: str) -> None:
    assert clean_name(name) == cleaned


@pytest.mark.parametrize(
    ("spelled", "mark", "left"),
    [
        (b'{"type":"ephemeral"}', CacheMark(), False),
        (b'{"type":"ephemeral","ttl":"1h"}', CacheMark("1h"), False),
        (b'{"type":"ephemeral","ttl":"5m"}', CacheMark("5m"), False),
        (b'{"type":"ephemeral","scope":"global"}', CacheMark(), True),
        (b'{"type":"ephemeral","ttl":"2h"}', CacheMark(), True),
        (b'"odd"', None, True),
    ],
)
def test_cache_marks_are_read(spelled: bytes, mark: CacheMark | None, left: bool) -> None:
    block = JsonObject({"cache_control": Raw(spelled)})
    assert read_cache(block) == mark
    assert (block.rest(NAME) is not None) is left


def test_a_null_mark_is_none() -> None:
    assert read_cache(JsonObject({"cache_control": Raw(b"null")})) is None


def test_cache_marks_are_written() -> None:
    assert render_cache(CacheMark()) == {"type": "ephemeral"}
    assert render_cache(CacheMark("1h")) == {"type": "ephemeral", "ttl": "1h"}


def test_only_own_extensions_are_opened() -> None:
    assert own(Extension(NAME, {"a": Raw(b"1")})) == {"a": Raw(b"1")}
    assert own(Extension("openai.chat", {"a": Raw(b"1")})) == {}
    assert own(None) == {}


def test_stop_reasons_are_understood_as_they_are_written() -> None:
    assert {reason: FINISH_REASONS[word] for reason, word in STOP_REASONS.items() if reason != "error"} == {
        reason: reason for reason in STOP_REASONS if reason != "error"
    }
