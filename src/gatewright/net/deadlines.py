"""Time-outs for ten thousand connections at the price of one timer.

Each connection owns one `Deadline`; arming it again is two comparisons. A heap holds at most a few entries per
deadline: an entry that fires early, because its deadline was moved on meanwhile, is put back. One tick a few times a
second keeps a coarse clock and fires what is due, so deadlines are late by up to one tick, never early.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable
from typing import Final

TICK_S: Final = 0.05
_NEVER: Final = math.inf


class Deadline:
    """A moment that calls its owner back when it passes. Disarm before the owner ends."""

    __slots__ = ("_clock", "_entry_at", "_on_expired", "at")

    def __init__(self, clock: Deadlines, on_expired: Callable[[], None]) -> None:
        self._clock = clock
        self._on_expired: Callable[[], None] | None = on_expired
        self.at = _NEVER
        """When it passes. An owner that is armed may move it on by assignment."""
        self._entry_at = _NEVER

    def arm(self, seconds: float) -> None:
        """Call the owner when `seconds` have passed, instead of any time set before."""
        clock = self._clock
        at = clock.now + seconds
        self.at = at
        if at < self._entry_at:
            self._entry_at = at
            clock.push(at, self)

    def disarm(self) -> None:
        """Call nobody until armed again."""
        self.at = _NEVER

    def close(self) -> None:
        """The owner ends: forget it at once, though an entry may linger in the heap."""
        self.at = _NEVER
        self._on_expired = None

    def fire(self, entry_at: float, now: float) -> None:
        """The clock found an entry of this deadline due."""
        if entry_at == self._entry_at:
            self._entry_at = _NEVER
        if self.at <= now:
            self.at = _NEVER
            if self._on_expired is not None:
                self._on_expired()
        elif self.at < self._entry_at:
            self._entry_at = self.at
            self._clock.push(self.at, self)


class Deadlines:
    """The clock of one event loop. `now` is its coarse time; read `loop.time()` where 50 ms matter."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[float, int, Deadline]] = []
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._on_tick: list[Callable[[], None]] = []
        self.now = loop.time()

    def start(self) -> None:
        """Begin to tick."""
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._timer is not None:
            self._timer.cancel()

    def on_tick(self, callback: Callable[[], None]) -> None:
        """Call `callback` at every tick, for work that is due several times a second."""
        self._on_tick.append(callback)

    def push(self, at: float, deadline: Deadline) -> None:
        """Used by Deadline."""
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, deadline))

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._tick)
        now = self.now = self._loop.time()
        heap = self._heap
        while heap and heap[0][0] <= now:
            at, _, deadline = heapq.heappop(heap)
            deadline.fire(at, now)
        for callback in self._on_tick:
            callback()
