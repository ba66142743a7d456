"""Ids and blobs of the Responses dialect."""

from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.chat import Extension, Opaque
from gatewright.dialects.openai.responses import names
from gatewright.dialects.openai.responses.names import ENCRYPTED, NAME, PREVIOUS, SIGNATURE


@pytest.mark.parametrize("slot", [SIGNATURE, ENCRYPTED, PREVIOUS])
@pytest.mark.parametrize("value", ["abc", "", "a:b:c", "gatewright.x:y", "+encrypted"])
def test_a_foreign_blob_comes_back_with_its_slot(slot: str, value: str) -> None:
    blob = Opaque("anthropic.messages", value)
    assert names.uncarry_blob(names.carry_blob(blob, slot)) == (blob, slot)


@pytest.mark.parametrize("slot", [SIGNATURE, ENCRYPTED])
def test_an_own_blob_stays_byte_for_byte(slot: str) -> None:
    assert names.carry_blob(Opaque(NAME, "gAAAA=="), slot) == "gAAAA=="
    assert names.uncarry_blob("gAAAA==") == (Opaque(NAME, "gAAAA=="), ENCRYPTED)


@pytest.mark.parametrize(
    ("upstream", "exchange", "is_ours", "expected"),
    [
        ("resp_1", "resp_x", False, "resp_1"),
        ("0b9d-uuid", "resp_x", True, "0b9d-uuid"),
        ("chatcmpl-9", "resp_x", False, "resp_x"),
        ("", "0199-abcd", False, "resp_0199abcd"),
        ("", "", True, "resp_0"),
    ],
)
def test_ids_of_answers(upstream: str, exchange: str, is_ours: bool, expected: str) -> None:
    assert names.response_id(upstream, exchange, is_ours=is_ours) == expected


def test_only_own_extensions_are_read() -> None:
    members = {"a": Raw(b"1")}
    assert names.own(Extension(NAME, members)) == members
    assert names.own(Extension("openai.chat", members)) == {}
    assert names.own(None) == {}
    assert names.is_own(names.extension())
    assert not names.is_own(Extension("openai.chat", {}))


@pytest.mark.parametrize(
    ("raw", "text"),
    [(b'"a"', "a"), (b"1", None), (b"null", None), (b'["a"]', None), (b'"\\ud800"', None), (None, None)],
)
def test_strings_are_told_from_the_rest(raw: bytes | None, text: str | None) -> None:
    assert names.string_value(None if raw is None else Raw(raw)) == text


@pytest.mark.parametrize(("raw", "count"), [(b'{"a":1,"b":2}', 2), (b"[]", 0), (b"3", 0)])
def test_members_of_anything(raw: bytes, count: int) -> None:
    assert len(names.object_members(Raw(raw))) == count
