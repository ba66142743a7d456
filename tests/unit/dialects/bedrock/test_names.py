"""Names Converse does not take are written so that they can be read back, or stably."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.dialects.bedrock.names import (
    DocumentNames,
    call_id,
    read_tool_name,
    shorten_tool_name,
    tool_name,
    write_tool_name,
)

TOOL = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@pytest.mark.parametrize("name", ["a", "get_weather", "get-weather", "x" * 64])
def test_names_that_fit_stay(name: str) -> None:
    assert write_tool_name(name) == name


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_names_come_back(name: str) -> None:
    written = write_tool_name(name)
    if written is None:
        assert len(name.encode()) > 15
    else:
        assert TOOL.fullmatch(written)
        assert read_tool_name(written) == name


@pytest.mark.parametrize("name", ["gwx-a", "gwx-", "gwx-a-2E", "gwx--"])
def test_names_that_look_written_come_back_too(name: str) -> None:
    written = write_tool_name(name)
    assert written is not None
    assert written != name
    assert read_tool_name(written) == name


@pytest.mark.parametrize("name", ["gwx-", "gwx-a-2", "gwx-a.b", "gwx--FF", "gwx-a-zz", "weather"])
def test_names_nobody_wrote_are_read_as_they_are(name: str) -> None:
    assert read_tool_name(name) == name


def test_names_that_are_too_long_are_shortened_stably() -> None:
    long = "mcp.server/" + "tool" * 30
    assert write_tool_name(long) is None
    assert write_tool_name("") is None
    assert tool_name(long) == shorten_tool_name(long)
    assert TOOL.fullmatch(tool_name(long))
    assert tool_name(long) != tool_name(long + "2")
    assert tool_name("a.b") == write_tool_name("a.b")


@pytest.mark.parametrize(
    ("value", "strict", "stays"),
    [
        ("tooluse_abc-1", True, True),
        ("functions.get:0", False, True),
        ("functions.get:0", True, False),
        ("a" * 64, False, True),
        ("a" * 65, False, False),
        ("call|1", False, False),
        ("", False, False),
    ],
)
def test_ids_of_calls(value: str, strict: bool, stays: bool) -> None:
    written = call_id(value, strict=strict)
    assert (written == value) is stays
    assert written == call_id(value, strict=strict)
    assert re.fullmatch(r"[a-zA-Z0-9_.:-]{1,64}", written)


def test_document_names_are_clean_and_unique() -> None:
    names = DocumentNames()
    names.keep("Kept name")
    assert names.take("report_v1.final") == "report v1 final"
    assert names.take("report  v1 / final") == "report v1 final 2"
    assert names.take("Kept name") == "Kept name 2"
    assert names.take("…") == "Document"
    assert names.take("(a) [b] - c") == "(a) [b] - c"
    assert len(names.take("x" * 300)) == 200
    assert len(names.take("x" * 300)) <= 200
