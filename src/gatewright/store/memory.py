"""Counters in the worker's own memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_MAX_KEYS: Final = 100_000
"""Buckets kept; beyond it those that are full again are forgotten, which changes nothing for their owners."""


class MemoryCounters:
    """Token buckets (`core.ports.Counters`) of one process. A bucket nobody touched is full."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets: dict[str, tuple[float, float, float]] = {}
        """Key → (level, time of that level, time at which it will be full)."""

    def take(self, key: str, amount: float, capacity: float, per_s: float) -> float:
        now = self._now()
        rate = capacity / per_s
        level = self._level(key, capacity, rate, now)
        # An amount above the capacity waits for a full bucket and runs it into debt.
        needed = min(amount, capacity)
        if level < needed:
            return (needed - level) / rate
        self._put(key, level - amount, capacity, rate, now)
        return 0.0

    def give(self, key: str, amount: float, capacity: float, per_s: float) -> None:
        now = self._now()
        rate = capacity / per_s
        self._put(key, min(self._level(key, capacity, rate, now) + amount, capacity), capacity, rate, now)

    def left(self, key: str, capacity: float, per_s: float) -> float:
        return self._level(key, capacity, capacity / per_s, self._now())

    def _level(self, key: str, capacity: float, rate: float, now: float) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return capacity
        level = bucket[0] + (now - bucket[1]) * rate
        return level if level < capacity else capacity

    def _put(self, key: str, level: float, capacity: float, rate: float, now: float) -> None:
        if len(self._buckets) >= _MAX_KEYS and key not in self._buckets:
            self._forget_full(now)
        self._buckets[key] = (level, now, now + (capacity - level) / rate)

    def _forget_full(self, now: float) -> None:
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket[2] > now}
