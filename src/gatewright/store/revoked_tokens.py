"""Gateway tokens that were revoked before their end: one small LMDB file that all workers of a gateway map.

A revocation is seen by every worker with the next look-up, since they read the same pages; it is on the disk when `add`
returns. Names of tokens begin with the date of their end (`pipeline.gateway_tokens`), so the entries stand in the order
in which they may be forgotten, and each writing forgets what is due: a day late, for clocks that go wrong.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Final

import lmdb

DIRECTORY: Final = "revoked.lmdb"
"""The file's name in a state directory."""
_MAP_BYTES: Final = 64 << 20
"""Address space, not memory; room for half a million. It doubles when that is full."""
_HEADER_PAGES: Final = 2
_DATE_BYTES: Final = 5
_SPARED_S: Final = 86_400
"""Entries are kept for so long beyond the end of their tokens. Else a clock that was ahead for a while would let tokens
hold again, as their revocation was forgotten meanwhile."""
_PRUNED: Final = 1_000
"""Entries that one writing forgets at most."""


class UnusableRevocations(Exception):
    """What was revoked cannot be told, or not be kept; the message says why."""


class RevokedTokens:
    """The names of revoked tokens. A process opens a directory once at a time; `add` blocks, so call it in a thread."""

    def __init__(self, directory: Path, *, map_bytes: int = _MAP_BYTES) -> None:
        """Open or make the file. Raises UnusableRevocations."""
        self._directory = directory
        self._lock = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_size(directory, _HEADER_PAGES)
            self._environment = lmdb.open(
                str(directory), map_size=map_bytes, mode=0o600, max_readers=1_024, max_spare_txns=4
            )
            try:
                _check_size(directory, int(self._environment.info()["last_pgno"]) + 1)
            except UnusableRevocations:
                self._environment.close()
                raise
        except (lmdb.Error, OSError) as error:
            raise UnusableRevocations(f"{directory} cannot be used: {error}") from error

    def add(self, token_id: bytes, now: float) -> bool:
        """Keep that this token is revoked; whether that is new. `now` is Unix seconds. Raises UnusableRevocations."""
        with self._lock:
            try:
                # Marks of killed readers would keep every page alive that they could have seen.
                self._environment.reader_check()
                while True:
                    try:
                        return self._add(token_id, now)
                    except lmdb.MapFullError:
                        self._environment.set_mapsize(2 * int(self._environment.info()["map_size"]))
                    except lmdb.MapResizedError:
                        self._environment.set_mapsize(0)
            except (lmdb.Error, OSError) as error:
                raise UnusableRevocations(f"{self._directory} cannot be written: {error}") from error

    def is_revoked(self, token_id: bytes) -> bool:
        """Whether it was. Takes some 2 µs. Raises UnusableRevocations: then nobody can tell."""
        try:
            try:
                with self._environment.begin() as transaction:
                    return transaction.get(token_id) is not None
            except lmdb.MapResizedError:
                self._environment.set_mapsize(0)
                with self._environment.begin() as transaction:
                    return transaction.get(token_id) is not None
        except lmdb.Error as error:
            raise UnusableRevocations(f"{self._directory} cannot be read: {error}") from error

    def names(self, now: float) -> list[bytes]:
        """Those that would still hold, the first to end first."""
        try:
            with self._environment.begin() as transaction:
                cursor = transaction.cursor()
                return [bytes(key) for key in cursor.iternext(values=False) if _end_of(bytes(key)) > now]
        except lmdb.Error as error:
            raise UnusableRevocations(f"{self._directory} cannot be read: {error}") from error

    def close(self) -> None:
        """Give the file back. Call once."""
        with self._lock:
            self._environment.close()

    def _add(self, token_id: bytes, now: float) -> bool:
        with self._environment.begin(write=True) as transaction:
            _prune(transaction, now)
            return transaction.put(token_id, b"", overwrite=False)


def _check_size(directory: Path, pages: int) -> None:
    """LMDB maps as much as a file says that it holds, and who reads beyond its end is killed."""
    with contextlib.suppress(FileNotFoundError):
        if 0 < os.stat(directory / "data.mdb").st_size < pages * os.sysconf("SC_PAGE_SIZE"):
            raise UnusableRevocations(
                f"{directory} is cut off; restore it, or remove it when every token that was revoked has ended"
            )


def _prune(transaction: lmdb.Transaction[bytes], now: float) -> None:
    cursor = transaction.cursor()
    for _ in range(_PRUNED):
        if not cursor.first() or _end_of(bytes(cursor.key())) + _SPARED_S > now:
            return
        cursor.delete()


def _end_of(token_id: bytes) -> int:
    return int.from_bytes(token_id[:_DATE_BYTES], "big")
