"""Gateway tokens that were revoked before their end: one small LMDB file that all workers of a gateway map.

A revocation is seen by every worker with the next look-up, since they read the same pages; it is on the disk when `add`
returns. Names of tokens begin with the date of their end (`pipeline.gateway_tokens`), so the entries stand in the order
in which they may be forgotten, and each writing forgets what is due: a day late, for clocks that go wrong.

Somebody may put another file in its place under running workers: a backup, say. What they have open is then a file that
nobody else sees, so they look at the directory 20 times a second, as they do at the key table, and go over to the new
one. A gateway begins with no file, but while it runs one that is gone is missing: until it is back, or the gateway is
started anew, nobody can tell what was revoked.
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
_FILE: Final = "data.mdb"
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_HEADER_PAGES: Final = 2
_DATE_BYTES: Final = 5
_SPARED_S: Final = 86_400
"""Entries are kept for so long beyond the end of their tokens. Else a clock that was ahead for a while would let tokens
hold again, as their revocation was forgotten meanwhile."""
_PRUNED: Final = 1_000
"""Entries that one writing forgets at most."""
_TRY_AGAIN: Final = 20
"""Refreshes between two looks at a file that could not be used: once a second."""
_REPLACED: Final = "was replaced just now; try again"
_CUT_OFF: Final = "is cut off; restore it, or remove it when every token that was revoked has ended"


class UnusableRevocations(Exception):
    """What was revoked cannot be told, or not be kept; the message says why."""


class RevokedTokens:
    """The names of revoked tokens. A process opens a directory once at a time; `add` blocks, so call it in a thread.

    Who keeps it open calls `refresh`.
    """

    def __init__(self, directory: Path, *, map_bytes: int = _MAP_BYTES) -> None:
        """Open or make the file. Raises UnusableRevocations."""
        self.problem: str | None = None
        """Why nobody can tell what was revoked, in words for the log."""
        self._directory = directory
        self._path = str(directory / _FILE)
        self._map_bytes = map_bytes
        self._lock = threading.Lock()
        """Held by who writes, and by who changes files."""
        self._environment: lmdb.Environment | None = None
        self._place: tuple[int, int] | None = None
        """Device and inode of the open file."""
        self._bytes = 0
        """What the file must at least hold."""
        self._refreshes_left = 0
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise UnusableRevocations(f"{directory} cannot be used: {error}") from error
        self._open()

    def add(self, token_id: bytes, now: float) -> bool:
        """Keep that this token is revoked; whether that is new. `now` is Unix seconds. Raises UnusableRevocations."""
        with self._lock:
            environment = self._opened()
            try:
                # Marks of killed readers would keep every page alive that they could have seen.
                environment.reader_check()
                is_new = _add(environment, token_id, now)
                found = os.stat(self._path)
            except (lmdb.Error, OSError) as error:
                raise UnusableRevocations(f"{self._directory} cannot be written: {error}") from error
            if _place_of(found) != self._place:
                raise UnusableRevocations(f"{self._directory} {_REPLACED}")
            return is_new

    def is_revoked(self, token_id: bytes) -> bool:
        """Whether it was. Takes some 2 µs. Raises UnusableRevocations: then nobody can tell."""
        environment = self._opened()
        try:
            try:
                with environment.begin() as transaction:
                    return transaction.get(token_id) is not None
            except lmdb.MapResizedError:
                environment.set_mapsize(0)
                with environment.begin() as transaction:
                    return transaction.get(token_id) is not None
        except lmdb.Error as error:
            raise UnusableRevocations(f"{self._directory} cannot be read: {error}") from error

    def refresh(self) -> bool:
        """Notice that the file was replaced, removed or cut off; whether anything changed. Never raises.

        Call it every 50 ms (it takes about 6 µs), from the thread that calls `is_revoked`.
        """
        if not self._lock.acquire(blocking=False):
            return False  # Something is being written: the next time.
        try:
            return self._look()
        finally:
            self._lock.release()

    def names(self, now: float) -> list[bytes]:
        """Those that would still hold, the first to end first."""
        try:
            with self._opened().begin() as transaction:
                cursor = transaction.cursor()
                return [bytes(key) for key in cursor.iternext(values=False) if _end_of(bytes(key)) > now]
        except lmdb.Error as error:
            raise UnusableRevocations(f"{self._directory} cannot be read: {error}") from error

    def close(self) -> None:
        """Give the file back. Call nothing else afterwards."""
        with self._lock:
            self._fail("was closed")

    def _opened(self) -> lmdb.Environment:
        if self._environment is None:
            raise UnusableRevocations(self.problem)
        return self._environment

    def _look(self) -> bool:
        environment = self._environment
        if environment is None:
            self._refreshes_left -= 1
            if self._refreshes_left > 0:
                return False
        try:
            found = os.stat(self._path)
        except OSError as error:
            return self._fail(f"is gone ({error.strerror}); put it back, or start the gateway anew without it")
        if environment is None:
            # An empty file is just being made, or copied, by somebody.
            return found.st_size > 0 and self._open_again()
        if _place_of(found) != self._place:
            self._fail(_REPLACED)
            return self._open_again()
        if found.st_size < self._bytes:
            return self._fail(_CUT_OFF)
        # It only grows, so it holds so much by the next time.
        self._bytes = _bytes_of(environment)
        return False

    def _open_again(self) -> bool:
        before = self.problem
        try:
            self._open()
        except UnusableRevocations as error:
            self.problem = str(error)
            self._refreshes_left = _TRY_AGAIN
        return self.problem != before

    def _open(self) -> None:
        try:
            before = _stat(self._path)
            if before is not None and 0 < before.st_size < _HEADER_PAGES * _PAGE_BYTES:
                raise UnusableRevocations(_CUT_OFF)
            environment = lmdb.open(
                str(self._directory), map_size=self._map_bytes, mode=0o600, max_readers=1_024, max_spare_txns=4
            )
            try:
                found = os.stat(self._path)
                if before is not None and _place_of(before) != _place_of(found):
                    raise UnusableRevocations(_REPLACED)
                if found.st_size < _bytes_of(environment):
                    raise UnusableRevocations(_CUT_OFF)
                _check_lock(environment)
            except (lmdb.Error, OSError, UnusableRevocations):
                environment.close()
                raise
        except (lmdb.Error, OSError) as error:
            raise UnusableRevocations(f"{self._directory} cannot be used: {error}") from error
        except UnusableRevocations as error:
            raise UnusableRevocations(f"{self._directory} {error}") from None
        self._environment, self.problem = environment, None
        self._place, self._bytes = _place_of(found), _bytes_of(environment)

    def _fail(self, problem: str) -> bool:
        """Go on without a file; whether that is news."""
        environment, self._environment = self._environment, None
        before, self.problem = self.problem, f"{self._directory} {problem}"
        if environment is not None:
            environment.close()
        return self.problem != before


def _bytes_of(environment: lmdb.Environment) -> int:
    """As much as the file holds by its own account: LMDB maps that, and who reads beyond the end is killed."""
    return (int(environment.info()["last_pgno"]) + 1) * _PAGE_BYTES


def _stat(path: str) -> os.stat_result | None:
    with contextlib.suppress(FileNotFoundError):
        return os.stat(path)
    return None


def _place_of(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _check_lock(environment: lmdb.Environment) -> None:
    """Who has the file open keeps in `lock.mdb` which transaction was the last. With another file beside it, readers
    would miss the one before."""
    with environment.begin(write=True) as transaction:
        if transaction.id() != int(environment.info()["last_txnid"]) + 1:
            raise UnusableRevocations(_REPLACED)


def _add(environment: lmdb.Environment, token_id: bytes, now: float) -> bool:
    while True:
        try:
            with environment.begin(write=True) as transaction:
                _prune(transaction, now)
                return transaction.put(token_id, b"", overwrite=False)
        except lmdb.MapFullError:
            environment.set_mapsize(2 * int(environment.info()["map_size"]))
        except lmdb.MapResizedError:
            environment.set_mapsize(0)


def _prune(transaction: lmdb.Transaction[bytes], now: float) -> None:
    cursor = transaction.cursor()
    for _ in range(_PRUNED):
        if not cursor.first() or _end_of(bytes(cursor.key())) + _SPARED_S > now:
            return
        cursor.delete()


def _end_of(token_id: bytes) -> int:
    return int.from_bytes(token_id[:_DATE_BYTES], "big")
