from __future__ import annotations

import pytest

from gatewright.dialects.ollama.clock import parse_time, render_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("2023-11-14T21:43:20.5-00:30", 1_700_000_000),
        ("1998-12-31T23:59:60Z", 915_148_799),
        ("2023-02-30T00:00:00Z", None),
        ("2023-11-14T22:13:20+99:00", None),
        ("0000-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_times_are_read(text: str | None, seconds: int | None) -> None:
    assert parse_time(text) == seconds


def test_times_are_written() -> None:
    assert render_time(1_700_000_000) == "2023-11-14T22:13:20Z"
    assert parse_time(render_time(1_700_000_000)) == 1_700_000_000
    assert render_time(10**18) == "1970-01-01T00:00:00Z"
