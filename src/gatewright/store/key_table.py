"""The key table: what workers know of a million keys, in one LMDB file that all of them map.

Control writes it (`KeyTable`), workers read it (`KeyReader`); nobody waits for anybody. A look-up walks the B-tree in
the page cache, which all processes share, so a worker's own memory holds only the keys it met lately. A transaction is
seen by every reader at once or not at all, and a writer or reader that is killed leaves nothing behind: the next
writer takes over its lock, and clears away the marks of readers that are gone.

The file is a projection of the database and can be made again at any time. So a reader never insists: while the table
is absent, or damaged, every key is unknown to it and `problem` says why. LMDB reports a damaged page by itself; but a
file that is shorter than its own account of itself would kill who reads beyond its end, so its size is looked at first.

Entries: the 32 bytes of a key's digest → `core.keys.KeyRecord`; and `revision`, which is no digest by its length.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import lmdb
import msgspec

from gatewright.core.keys import KeyRecord

DIRECTORY: Final = "keys.lmdb"
"""The table's name in a state directory."""
FILES: Final = ("data.mdb", "lock.mdb")
_REVISION: Final = b"revision"
_MAP_BYTES: Final = 1 << 30
"""Address space, not memory; room for seven million keys. It doubles when that is full."""
_MAX_READERS: Final = 1_024
_HEADER_PAGES: Final = 2
_MAX_KNOWN: Final = 8_192
"""Decoded records in each of the two generations a reader keeps; half a kilobyte each."""
_TRY_AGAIN: Final = 20
"""Refreshes between two looks at a table that could not be used: once a second."""

_DAMAGES: Final = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(KeyRecord).decode
_Result = TypeVar("_Result")


class UnusableTable(Exception):
    """The table cannot be used; the message says why."""

    def __init__(self, message: str, *, is_damaged: bool) -> None:
        super().__init__(message)
        self.is_damaged = is_damaged
        """Whether the file is at fault, and trying again will not help; else it is what is around it: a
        full disk, rights."""


class Writing:
    """One transaction of the writer, while it lasts."""

    def __init__(self, transaction: lmdb.Transaction[bytes]) -> None:
        self._transaction = transaction
        self.changed = 0
        """Entries that are now other than they were."""

    @property
    def revision(self) -> int | None:
        """Every change of the database up to this one is in the table; None when it was never filled."""
        found = self._transaction.get(_REVISION)
        return None if found is None else int.from_bytes(found, "big")

    @revision.setter
    def revision(self, value: int) -> None:
        if self.revision != value:
            self._transaction.put(_REVISION, value.to_bytes(8, "big"))

    def put(self, digest: bytes, record: KeyRecord) -> None:
        """Add an entry or replace it; writes nothing where it is the same."""
        value = _encode(record)
        if self._transaction.get(digest) != value:
            self._transaction.put(digest, value)
            self.changed += 1

    def delete(self, digest: bytes) -> None:
        """Remove an entry, if there is one."""
        self.changed += self._transaction.delete(digest)

    def digests_between(self, after: bytes, last: bytes | None) -> list[bytes]:
        """The digests behind `after` up to and with `last` (None: all), in their order."""
        found: list[bytes] = []
        cursor = self._transaction.cursor()
        is_there = cursor.set_range(after) if after else cursor.first()
        while is_there:
            key = bytes(cursor.key())
            if last is not None and key > last:
                break
            if key not in (_REVISION, after):
                found.append(key)
            is_there = cursor.next()
        return found


class KeyTable:
    """The writer's side. Any thread may use it, and a write waits for that of another thread or process."""

    def __init__(self, directory: Path, *, map_bytes: int = _MAP_BYTES) -> None:
        """Open or make the table. Raises UnusableTable when what is there cannot be used; see `remove`."""
        self._directory = directory
        self._lock = threading.Lock()
        with _told(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._environment = _acquire(directory, map_bytes, is_reader=False)

    @staticmethod
    def remove(directory: Path) -> None:
        """Delete a table that cannot be used; the next writer makes it anew, and readers go over to it."""
        for name in FILES:
            (directory / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Give the table back. Call once."""
        _release(self._environment)

    @property
    def is_in_place(self) -> bool:
        """Whether the open table is still the one in the directory, and not one that somebody removed."""
        try:
            found = os.stat(self._directory / FILES[0])
        except OSError:
            return False
        with _open_lock:
            environment, _ = _open.get((found.st_dev, found.st_ino), (None, 0))
        return environment is self._environment

    def write(self, change: Callable[[Writing], _Result]) -> _Result:
        """Run `change` in one transaction, under the table's only lock, across all processes.

        Everything is seen at once when it returns, nothing when it raises. It is run once more, with more room, when
        the table was full. Raises UnusableTable.
        """
        with self._lock, _told(self._directory):
            # Marks of killed readers would keep every page alive that they could have seen.
            self._environment.reader_check()
            while True:
                try:
                    with self._begin() as transaction:
                        return change(Writing(transaction))
                except lmdb.MapFullError:
                    self._environment.set_mapsize(2 * int(self._environment.info()["map_size"]))

    def revision(self) -> int | None:
        """As in `Writing`. Raises UnusableTable."""
        with _told(self._directory), self._environment.begin() as transaction:
            return Writing(transaction).revision

    def items(self) -> dict[bytes, KeyRecord]:
        """Every entry. Raises UnusableTable."""
        with _told(self._directory), self._environment.begin() as transaction:
            return {bytes(key): _decode(value) for key, value in transaction.cursor() if key != _REVISION}

    def _begin(self) -> lmdb.Transaction[bytes]:
        try:
            return self._environment.begin(write=True)
        except lmdb.MapResizedError:
            # Another process made room.
            self._environment.set_mapsize(0)
            return self._environment.begin(write=True)


class KeyReader:
    """A worker's side. Never raises, never waits, and takes no disk read that the page cache can spare."""

    def __init__(self, directory: Path) -> None:
        self.generation = 0
        """Changes with every change of the table: what was remembered of keys holds no longer."""
        self.problem: str | None = None
        """Why no key is known, in words for the log; None while the table can be read."""
        self._directory = directory
        self._path = str(directory / FILES[0])
        self._environment: lmdb.Environment | None = None
        self._place: tuple[int, int] | None = None
        """Device and inode of the open file."""
        self._bytes = 0
        """What the file must at least hold."""
        self._transaction_id = -1
        self._refreshes_left = 0
        self._young: dict[bytes, KeyRecord] = {}
        self._old: dict[bytes, KeyRecord] = {}
        self.refresh()

    def find(self, digest: bytes) -> KeyRecord | None:
        """What is known of the key with this digest. Whether it holds now, `KeyRecord.fault` says."""
        record = self._young.get(digest)
        if record is not None:
            return record
        record = self._old.get(digest) or self._look_up(digest)
        if record is None:
            return None
        if len(self._young) >= _MAX_KNOWN:
            # Two generations instead of an order of use: the key that is in neither was not used for long.
            self._old, self._young = self._young, {}
        self._young[digest] = record
        return record

    def refresh(self) -> bool:
        """Notice what changed; call it every 50 ms (it takes about 6 µs). Whether anything did."""
        if self._environment is None:
            self._refreshes_left -= 1
            if self._refreshes_left > 0:
                return False
            self._open()
            return self._environment is not None
        try:
            found = os.stat(self._path)
        except OSError as error:
            self._fail(f"the key table is gone ({error.strerror})")
            return True
        if (found.st_dev, found.st_ino) != self._place:
            self._fail("the key table was replaced")
            self._open()
            return True
        if found.st_size < self._bytes:
            self._fail("the key table was cut off")
            return True
        return self._notice(self._environment, found.st_size)

    def close(self) -> None:
        """Give the table back; every key is unknown then."""
        self._fail("the key table was closed")

    def _open(self) -> None:
        self._refreshes_left = _TRY_AGAIN
        try:
            found = os.stat(self._path)
            environment = _acquire(self._directory, _MAP_BYTES, is_reader=True)
        except FileNotFoundError:
            # Looked for each time: the gateway that is just starting makes it in a moment.
            self._refreshes_left = 0
            self.problem = f"there is no key table yet ({self._directory})"
        except (lmdb.Error, OSError) as error:
            self.problem = f"the key table {self._directory} cannot be used: {_reason(error)}"
        else:
            self._environment, self.problem = environment, None
            self._place = found.st_dev, found.st_ino
            self._transaction_id = -1
            self._notice(environment, os.stat(self._path).st_size)

    def _notice(self, environment: lmdb.Environment, size: int) -> bool:
        info = environment.info()
        if info["last_txnid"] == self._transaction_id:
            return False
        self._bytes = (info["last_pgno"] + 1) * os.sysconf("SC_PAGE_SIZE")
        if size < self._bytes and os.stat(self._path).st_size < self._bytes:
            self._fail("the key table is cut off")
            return True
        self._transaction_id = info["last_txnid"]
        self._forget()
        return True

    def _look_up(self, digest: bytes) -> KeyRecord | None:
        environment = self._environment
        if environment is None:
            return None
        try:
            try:
                with environment.begin() as transaction:
                    found = transaction.get(digest)
            except lmdb.MapResizedError:
                environment.set_mapsize(0)
                with environment.begin() as transaction:
                    found = transaction.get(digest)
        except lmdb.Error as error:
            self._fail(f"the key table {self._directory} cannot be read: {_reason(error)}")
            return None
        try:
            return None if found is None else _decode(found)
        except msgspec.MsgspecError:
            return None

    def _fail(self, problem: str) -> None:
        environment, self._environment = self._environment, None
        self.problem = problem
        self._refreshes_left = _TRY_AGAIN
        self._forget()
        if environment is not None:
            _release(environment)

    def _forget(self) -> None:
        self.generation += 1
        self._young, self._old = {}, {}


# One process may open a table once only (its locks are the process's): who opens it again shares it.
_open: dict[tuple[int, int], tuple[lmdb.Environment, int]] = {}
_open_lock = threading.Lock()


def _acquire(directory: Path, map_bytes: int, *, is_reader: bool) -> lmdb.Environment:
    path = directory / FILES[0]
    with _open_lock:
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(path)
            place = found.st_dev, found.st_ino
            if place in _open:
                environment, users = _open[place]
                _open[place] = environment, users + 1
                return environment
            if found.st_size < _HEADER_PAGES * os.sysconf("SC_PAGE_SIZE") and (found.st_size or is_reader):
                raise lmdb.InvalidError("it is cut off")
        environment = lmdb.open(
            str(directory),
            map_size=map_bytes,
            readonly=is_reader,
            create=not is_reader,
            mode=0o600,
            # After a crash of the machine the last transaction may be missing, but never half there.
            metasync=False,
            # A look-up reads one page here and one there.
            readahead=False,
            max_readers=_MAX_READERS,
            max_spare_txns=4,
        )
        found = os.stat(path)
        if found.st_size < (environment.info()["last_pgno"] + 1) * os.sysconf("SC_PAGE_SIZE") and found.st_size:
            environment.close()
            raise lmdb.InvalidError("it is cut off")
        _open[found.st_dev, found.st_ino] = environment, 1
        return environment


def _release(environment: lmdb.Environment) -> None:
    with _open_lock:
        place, users = next((place, users) for place, (known, users) in _open.items() if known is environment)
        if users > 1:
            _open[place] = environment, users - 1
            return
        del _open[place]
        environment.close()


@contextlib.contextmanager
def _told(directory: Path) -> Iterator[None]:
    try:
        yield
    except (lmdb.Error, OSError) as error:
        message = f"the key table {directory} cannot be used: {_reason(error)}"
        raise UnusableTable(message, is_damaged=isinstance(error, _DAMAGES)) from error


def _reason(error: lmdb.Error | OSError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
