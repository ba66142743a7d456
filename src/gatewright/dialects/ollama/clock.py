"""`created_at` of the Ollama API: RFC 3339 with up to nanoseconds ↔ Unix seconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_FORM: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


def parse_time(text: str | None) -> int | None:
    """Unix seconds; None when `text` is no date."""
    match = _FORM.fullmatch(text) if text is not None else None
    if match is None:
        return None
    numbers = [int(match.group(index)) for index in range(1, 7)]
    offset = timedelta(0)
    if match.group(7):
        offset = timedelta(hours=int(match.group(8)), minutes=int(match.group(9)))
        offset = -offset if match.group(7) == "-" else offset
    try:
        year, month, day, hour, minute, second = numbers
        zone = timezone(offset)
        # A leap second is told as :60, which no datetime can hold.
        return int(datetime(year, month, day, hour, minute, min(second, 59), tzinfo=zone).timestamp())
    except (ValueError, OverflowError):
        return None


def render_time(seconds: int) -> str:
    """RFC 3339 in UTC; the epoch for what no calendar holds."""
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
