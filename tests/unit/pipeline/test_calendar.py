"""Calendar windows: which one holds a moment, and where it begins and ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gatewright.pipeline.calendar import Per, window_at


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("per", "moment", "name", "begins", "ends"),
    [
        ("day", "2026-11-21T00:00:00", "2026-11-21", "2026-11-21", "2026-11-22"),
        ("day", "2026-11-21T23:59:59.999999", "2026-11-21", "2026-11-21", "2026-11-22"),
        ("day", "2026-12-31T12:00:00", "2026-12-31", "2026-12-31", "2027-01-01"),
        ("day", "2028-02-29T01:00:00", "2028-02-29", "2028-02-29", "2028-03-01"),
        ("week", "2026-11-16T00:00:00", "2026-W47", "2026-11-16", "2026-11-23"),
        ("week", "2026-11-22T23:59:59", "2026-W47", "2026-11-16", "2026-11-23"),
        ("week", "2027-01-03T12:00:00", "2026-W53", "2026-12-28", "2027-01-04"),
        ("week", "2024-12-31T12:00:00", "2025-W01", "2024-12-30", "2025-01-06"),
        ("month", "2026-11-01T00:00:00", "2026-11", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59:59", "2026-12", "2026-12-01", "2027-01-01"),
        ("month", "2026-01-31T12:00:00", "2026-01", "2026-01-01", "2026-02-01"),
        ("month", "2028-02-29T12:00:00", "2028-02", "2028-02-01", "2028-03-01"),
    ],
)
def test_windows(per: Per, moment: str, name: str, begins: str, ends: str) -> None:
    window = window_at(per, at(moment))
    assert (window.name, window.begins_at, window.ends_at) == (name, at(begins), at(ends))


@pytest.mark.parametrize("per", ["day", "week", "month"])
def test_windows_follow_each_other_without_gap(per: Per) -> None:
    window = window_at(per, at("2023-12-30T05:00:00"))
    names = {window.name}
    for _ in range(60):
        following = window_at(per, window.ends_at)
        assert following.begins_at == window.ends_at
        assert window_at(per, window.ends_at - 0.001) == window
        names.add(following.name)
        window = following
    assert len(names) == 61


def test_total_never_ends() -> None:
    assert window_at("total", at("2026-11-21T00:00:00")) == window_at("total", at("2099-01-01T00:00:00"))
    assert window_at("total", 0.0).ends_at == float("inf")
