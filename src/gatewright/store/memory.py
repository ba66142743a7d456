"""Counters in the worker's own memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import nsmallest
from typing import Final

from gatewright.core.cells import KIND, ROW, CellCounters, Row, describe, free_at_s
from gatewright.core.counting import Allowance, Kind

_MAX_KEYS: Final = 100_000
"""Counters kept; beyond it the free ones are forgotten, then sliding ones, those first that are free soonest."""
_SHARE: Final = 100
"""One of so many is forgotten at a time, so that looking through all of them is worth it."""


class MemoryCounters(CellCounters):
    """Counters (`core.ports.Counters`) of one process. `now` gives Unix seconds; `on_problem` is told once when there
    is no room left."""

    def __init__(self, now: Callable[[], float], *, on_problem: Callable[[str], None] = lambda message: None) -> None:
        super().__init__(now, on_problem)
        self._full_until = 0.0
        """When it is worth looking again for counters to forget."""

    def _find(self, allowance: Allowance, allowances: Sequence[Allowance]) -> Row | None:
        if len(self._rows) >= _MAX_KEYS and not self._make_room({other.key for other in allowances}):
            return None
        row = self._rows[allowance.key] = [0] * ROW
        describe(row, allowance)
        return row

    def _make_room(self, spared: set[str]) -> bool:
        now = self._now()
        if now < self._full_until:
            return False
        ends = {key: free_at_s(row) for key, row in self._rows.items() if key not in spared}
        free = [key for key, end in ends.items() if end <= now]
        wanted = _MAX_KEYS // _SHARE + 1
        if len(free) < wanted:
            sliding = [key for key in ends if self._rows[key][KIND] == Kind.SLIDING]
            free += nsmallest(wanted, sliding, key=ends.__getitem__)
        for key in free:
            self._rows.pop(key, None)
        self._full_until = now + 1.0 if not free else 0.0
        return bool(free)
