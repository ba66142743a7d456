from __future__ import annotations

import pytest

from gatewright.core.chat import Extension
from gatewright.core.events import Finish
from gatewright.dialects.ollama.names import (
    NAME,
    own,
    read_reason,
    write_reason,
)


@pytest.mark.parametrize(
    ("native", "has_calls", "reason"),
    [
        ("stop", False, "stop"),
        (None, False, "stop"),
        ("length", False, "length"),
        ("length", True, "length"),
        ("stop", True, "tool_calls"),
        ("load", False, "stop"),
        ("something_new", False, "stop"),
    ],
)
def test_reasons_are_read_and_come_back(native: str | None, has_calls: bool, reason: str) -> None:
    finish = read_reason(native, has_calls=has_calls)
    assert finish.reason == reason
    assert write_reason(finish) == native


@pytest.mark.parametrize(
    ("finish", "word"),
    [
        (None, "stop"),
        (Finish(reason="tool_calls", native="tool_use", dialect="x"), "stop"),
        (Finish(reason="length", native="max_tokens", dialect="x"), "length"),
        (Finish(reason="content_filter"), "content_filter"),
    ],
)
def test_reasons_of_others(finish: Finish | None, word: str) -> None:
    assert write_reason(finish) == word


def test_only_own_extensions_are_read() -> None:
    assert own(Extension("another", {})) == {}
    assert own(Extension(NAME, {})) == {}
    assert own(None) == {}
