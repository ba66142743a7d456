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
        self._buckets: dict[str, list[float]] = {}
        """Key → [level, time of that level, capacity, flow per second]."""

    def take(self, key: str, amount: float, capacity: float, per_s: float) -> float:
        now = self._now()
        rate = capacity / per_s
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _MAX_KEYS:
                self._forget_full(now)
            bucket = self._buckets[key] = [capacity, now, capacity, rate]
            level = capacity
        else:
            level = bucket[0] + (now - bucket[1]) * rate
            if level > capacity:
                level = capacity
        # An amount above the capacity waits for a full bucket and runs it into debt.
        needed = amount if amount < capacity else capacity
        if level < needed:
            return (needed - level) / rate
        # Changed in place, for every request: building an entry anew costs more than the arithmetic.
        bucket[0] = level - amount
        bucket[1] = now
        bucket[2] = capacity
        bucket[3] = rate
        return 0.0

    def give(self, key: str, amount: float, capacity: float, per_s: float) -> None:
        now = self._now()
        rate = capacity / per_s
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = [capacity, now, capacity, rate]
        level = bucket[0] + (now - bucket[1]) * rate
        # Full is full, before and after: what flowed back meanwhile must not pay for a debt beyond the capacity.
        if level > capacity:
            level = capacity
        level += amount
        bucket[0] = level if level < capacity else capacity
        bucket[1] = now
        bucket[2] = capacity
        bucket[3] = rate

    def left(self, key: str, capacity: float, per_s: float) -> float:
        bucket = self._buckets.get(key)
        if bucket is None:
            return capacity
        return min(bucket[0] + (self._now() - bucket[1]) * capacity / per_s, capacity)

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if bucket[0] + (now - bucket[1]) * bucket[3] < bucket[2]
        }
