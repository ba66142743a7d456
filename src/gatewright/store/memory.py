"""Counters in the worker's own memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gatewright.core.cells import ROW, CellCounters, Row, describe, free_at_s
from gatewright.core.counting import Allowance

_MAX_KEYS: Final = 100_000
"""Counters kept; beyond it those are forgotten of which nothing matters any more."""
_SHARE: Final = 100
"""Looking through all of them is worth it when one of so many can be forgotten; else it waits for a while."""
_RESERVED_SHARE: Final = 5
"""One of so many is not for those that callers make at will."""


class MemoryCounters(CellCounters):
    """Counters (`core.ports.Counters`) of one process. `now` gives Unix seconds; `on_problem` is told once when there
    is no room left."""

    def __init__(self, now: Callable[[], float], *, on_problem: Callable[[str], None] = lambda message: None) -> None:
        super().__init__(now, on_problem)
        self._full_until = 0.0
        """When it is worth looking again for counters to forget."""
        self._pools: dict[str, set[str]] = {}
        """By shared key, the counters that callers made."""
        self._pool_of: dict[str, str] = {}

    def _find(self, allowance: Allowance, allowances: Sequence[Allowance]) -> Row | None:
        if not self._has_room(allowance):
            self._make_room({key for each in allowances for key in (each.key, each.shared_key)})
            if not self._has_room(allowance):
                return self._find_shared(allowance, allowances)
        row = self._rows[allowance.key] = [0] * ROW
        describe(row, allowance)
        if allowance.is_open:
            self._pools.setdefault(allowance.shared_key, set()).add(allowance.key)
            self._pool_of[allowance.key] = allowance.shared_key
        return row

    def _has_room(self, allowance: Allowance) -> bool:
        """Of a pool: for one more than what it leaves to others, and beyond that to those that belong to none."""
        free = _MAX_KEYS - len(self._rows)
        if not allowance.is_open:
            return free > 0
        return len(self._pools.get(allowance.shared_key, ())) < free - _MAX_KEYS // _RESERVED_SHARE

    def _make_room(self, spared: set[str]) -> None:
        now = self._now()
        if now < self._full_until:
            return
        free = [key for key, row in self._rows.items() if key not in spared and free_at_s(row) <= now]
        for key in free:
            del self._rows[key]
            pool = self._pool_of.pop(key, None)
            if pool is not None:
                self._pools[pool].discard(key)
                if not self._pools[pool]:
                    del self._pools[pool]
        self._full_until = 0.0 if len(free) > _MAX_KEYS // _SHARE else now + 1.0
