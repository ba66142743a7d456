from __future__ import annotations

import pytest
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.events import Finish
from gatewright.dialects.cohere.names import NAME, is_own, members_of, own, read_reason, write_reason


@pytest.mark.parametrize(
    ("native", "has_calls", "reason"),
    [
        ("COMPLETE", False, "stop"),
        ("COMPLETE", True, "tool_calls"),
        ("STOP_SEQUENCE", False, "stop"),
        ("MAX_TOKENS", False, "length"),
        ("MAX_TOKENS", True, "length"),
        ("TOOL_CALL", True, "tool_calls"),
        ("ERROR_TOXIC", False, "content_filter"),
        ("SOMETHING_NEW", False, "stop"),
    ],
)
def test_reasons_are_read_and_come_back(native: str, has_calls: bool, reason: str) -> None:
    finish = read_reason(native, has_calls=has_calls)
    assert finish.reason == reason
    assert write_reason(finish) == native


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (None, "COMPLETE"),
        (Finish(reason="stop", native="end_turn", dialect="x"), "COMPLETE"),
        (Finish(reason="stop", stop_sequence="END"), "STOP_SEQUENCE"),
        (Finish(reason="length"), "MAX_TOKENS"),
        (Finish(reason="tool_calls", native="tool_use", dialect="x"), "TOOL_CALL"),
        (Finish(reason="content_filter"), "ERROR_TOXIC"),
        (Finish(reason="pause"), "MAX_TOKENS"),
        (Finish(reason="error"), "ERROR"),
    ],
)
def test_reasons_of_others(finish: Finish | None, word: str) -> None:
    assert write_reason(finish) == word


def test_only_own_extensions_are_read() -> None:
    extra = Extension(NAME, {"a": Raw(b"1")})
    assert is_own(extra)
    assert own(extra) == {"a": Raw(b"1")}
    assert not is_own(Extension("another", {}))
    assert own(Extension("another", {"a": Raw(b"1")})) == {}
    assert members_of(Raw(b'{"a":1}')) == {"a": Raw(b"1")}
    assert members_of(None) == {}
