"""A clock for tests: it moves only when told."""

from __future__ import annotations


class FakeClock:
    """Call it for the time in seconds, as code under test calls its clock; `advance` moves it.

    It never goes back, like the monotonic clock it stands for.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self._now = now

    def __call__(self) -> float:
        """The time now."""
        return self._now

    def advance(self, seconds: float) -> float:
        """Move the time on by `seconds` and give the new time. Raises ValueError when that would go back."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back by {-seconds} s")
        self._now += seconds
        return self._now
