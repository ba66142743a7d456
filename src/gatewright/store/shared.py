"""Counters in memory that all workers of one gateway share: no server, no process between them.

The supervisor makes one anonymous file (`memfd_create`); every worker maps it. It is a table of sets of buckets: the
hash of a key chooses the set, and a record lock on the set's byte (`fcntl`) makes each operation atomic; the kernel
releases it when its holder dies, however it dies. A set that is full gives up its fullest bucket: one that is full
again loses nothing by that, since a bucket nobody touched is full.

Times are of CLOCK_MONOTONIC, which is one for all processes of a machine.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable
from hashlib import blake2b
from struct import Struct as Layout
from typing import Final

_SETS: Final = 8_192
_BUCKETS_PER_SET: Final = 16
_BUCKET: Final = Layout("=16sdddd")
"""Hash of the key, level, time of that level, capacity, flow per second; a hash of zeros is a free place."""
_SET_BYTES: Final = _BUCKET.size * _BUCKETS_PER_SET
_TABLE_BYTES: Final = _SET_BYTES * _SETS
_FREE: Final = bytes(16)
_MAX_KNOWN: Final = 100_000
"""Keys whose place is kept; beyond it they are hashed again."""


def create_table() -> int:
    """The descriptor of a new, empty table (6 MB, of which only what is touched takes memory). The caller closes it."""
    fd = os.memfd_create("gatewright-counters", os.MFD_CLOEXEC)
    os.ftruncate(fd, _TABLE_BYTES)
    return fd


class SharedCounters:
    """Token buckets (`core.ports.Counters`) shared by every process that maps the same table."""

    def __init__(self, fd: int, now: Callable[[], float]) -> None:
        self._fd = fd
        self._now = now
        self._table = mmap.mmap(fd, _TABLE_BYTES)
        self._places: dict[str, tuple[int, bytes]] = {}
        """Key → its set and its hash."""

    def take(self, key: str, amount: float, capacity: float, per_s: float) -> float:
        rate = capacity / per_s
        number, digest = self._places.get(key) or self._find(key)
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, number)
        try:
            now = self._now()
            place, level = self._look_up(number, digest, now, capacity, rate)
            # An amount above the capacity waits for a full bucket and runs it into debt.
            needed = amount if amount < capacity else capacity
            if level < needed:
                return (needed - level) / rate
            _BUCKET.pack_into(self._table, place, digest, level - amount, now, capacity, rate)
            return 0.0
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)

    def give(self, key: str, amount: float, capacity: float, per_s: float) -> None:
        rate = capacity / per_s
        number, digest = self._places.get(key) or self._find(key)
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, number)
        try:
            now = self._now()
            place, level = self._look_up(number, digest, now, capacity, rate)
            level = min(level + amount, capacity)
            _BUCKET.pack_into(self._table, place, digest, level, now, capacity, rate)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)

    def left(self, key: str, capacity: float, per_s: float) -> float:
        number, digest = self._places.get(key) or self._find(key)
        fcntl.lockf(self._fd, fcntl.LOCK_EX, 1, number)
        try:
            return self._look_up(number, digest, self._now(), capacity, capacity / per_s)[1]
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, number)

    def _find(self, key: str) -> tuple[int, bytes]:
        digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if len(self._places) >= _MAX_KNOWN:
            self._places.clear()
        place = self._places[key] = (int.from_bytes(digest[:4], "little") % _SETS, digest)
        return place

    def _look_up(self, number: int, digest: bytes, now: float, capacity: float, rate: float) -> tuple[int, float]:
        """Where the bucket stands, or may be put, and its level now. The set's lock is held."""
        start = number * _SET_BYTES
        at = self._table.find(digest, start, start + _SET_BYTES)
        while at >= 0:
            if (at - start) % _BUCKET.size == 0:
                _, level, since, _, _ = _BUCKET.unpack_from(self._table, at)
                return at, min(level + max(now - since, 0.0) * rate, capacity)
            at = self._table.find(digest, at + 1, start + _SET_BYTES)
        return self._free_place(start, now), capacity

    def _free_place(self, start: int, now: float) -> int:
        """A place nobody holds, else that of the fullest bucket."""
        fullest, place = -float("inf"), start
        for at in range(start, start + _SET_BYTES, _BUCKET.size):
            digest, level, since, capacity, rate = _BUCKET.unpack_from(self._table, at)
            if digest == _FREE:
                return at
            share = (level + (now - since) * rate) / capacity
            if share > fullest:
                fullest, place = share, at
        return place
