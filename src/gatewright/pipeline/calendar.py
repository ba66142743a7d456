"""Calendar windows of budgets, in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from msgspec import Struct

Per = Literal["day", "week", "month", "total"]
"""Midnight to midnight; Monday to Sunday; the first to the last; for ever."""

_ONE_DAY: Final = timedelta(days=1)


class Window(Struct, frozen=True):
    """One calendar window."""

    name: str
    """`2026-11-21`, `2026-W47`, `2026-11`; `total` for the one that never ends."""
    begins_at: float
    """Unix seconds; 0 for the one that has always been."""
    ends_at: float
    """Unix seconds; infinite for the one that never ends."""


def window_at(per: Per, unix_s: float) -> Window:
    """The window that holds a moment."""
    if per == "total":
        return Window("total", 0.0, float("inf"))
    day = datetime.fromtimestamp(unix_s, UTC).date()
    match per:
        case "day":
            return Window(day.isoformat(), _midnight(day), _midnight(day + _ONE_DAY))
        case "week":
            monday = day - timedelta(days=day.weekday())
            year, week, _ = monday.isocalendar()
            return Window(f"{year}-W{week:02d}", _midnight(monday), _midnight(monday + timedelta(days=7)))
        case "month":
            first = day.replace(day=1)
            following = (first + timedelta(days=32)).replace(day=1)
            return Window(f"{first:%Y-%m}", _midnight(first), _midnight(following))


def _midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
