"""Writes of one round of the event loop, done together at its end.

A write to an idle peer wakes it, and a wake-up costs more than the write, on a virtual machine several times more. When
the writes of a round follow each other at once, the first one wakes the peer and the others find it at work. Nothing is
delayed beyond the round: with a single exchange in flight its bytes leave when its callback has ended.
"""

from __future__ import annotations

import asyncio
from typing import Final

_LARGE_BYTES: Final = 16_384
"""A write beyond this leaves at once: it costs more than a wake-up, and its transport must see it to ask for a pause
before the next piece is read."""


class Outbox:
    """Holds bytes for transports until the round ends; order is kept for each transport."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` when this round ends, or at once when it is large."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((transport, data))
        if len(data) > _LARGE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write everything now: before a transport is closed or its write side ended."""
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            # One that was closed meanwhile raises, and would take the writes behind it along.
            if not transport.is_closing():
                transport.write(data)
