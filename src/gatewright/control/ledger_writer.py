"""The ledger writer: a thread that brings what workers wrote into their journals into the database.

It keeps no place of its own: how far a journal is booked stands in the database and moves with each batch. It may be
killed anywhere, and the database may be locked or away for hours; then it tries again, more and more slowly, and the
journals grow. A segment is deleted when all of it is booked and safe on the database's disk, a journal when its worker
is gone too. One process books at a time, for it holds a lock in the directory of the journals.

A journal that is damaged, or whose entries are further than the database knows, is left as it is and told
(`LedgerStatus.stuck`); the others go on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Engine, event
from sqlalchemy.exc import DataError, IntegrityError

from gatewright.config.ledger import Ledger
from gatewright.control.ledger_booking import LedgerGap, book, booked_entries
from gatewright.control.ledger_columns import DAY_S
from gatewright.control.ledger_pruning import prune
from gatewright.control.ledger_sync import JournalSync
from gatewright.core.ledger import Entry
from gatewright.store.database import reading
from gatewright.store.journal_reader import JournalReader, is_written, list_journals

POLL_S: Final = 0.2
"""Between two looks at the journals. What comes in meanwhile is booked together, which costs less for each entry."""
BATCH: Final = 4_000
"""Entries in one transaction: about a tenth of a second for SQLite, whose other writers wait for it."""
_CHECKPOINT_PAGES: Final = 4_000
"""After how many pages (of 4 KiB) SQLite brings its write-ahead log into its file. Its default, 1,000, is less than a
batch may write; most of them are then written again by the next one."""
LOCK_FILE: Final = ".booking"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
_PRUNE_S: Final = 3_600.0
_MAKING_S: Final = 60.0
"""More than a worker takes to make a journal."""
_US: Final = 1_000_000


class LedgerStatus(Struct, frozen=True, kw_only=True):
    """How the ledger stands."""

    booked: int
    """Entries brought into the database since the writer began."""
    waiting: int
    """Entries in journals that are not in the database yet."""
    lag_s: float
    """How long the first of them has been waiting."""
    failures: int
    """Attempts that failed since the writer began."""
    error: str
    """Why the last one failed; empty when it did not."""
    stuck: tuple[str, ...]
    """Journals that cannot be booked on, each with the reason."""
    pruned: int
    """Exchanges deleted because of their age since the writer began."""


class LedgerWriter:
    """The thread. `database` opens the engine of this writer alone, migrated; it is asked again after each failure.

    `on_keys_used` hears after each batch which keys were used, and when last (Unix microseconds).
    """

    def __init__(
        self,
        directory: Path,
        database: Callable[[], Engine],
        config: Ledger,
        on_keys_used: Callable[[Mapping[str, int]], None] = lambda keys: None,
        *,
        poll_s: float = POLL_S,
    ) -> None:
        self._directory = directory
        self._database = database
        self._config = config
        self._on_keys_used = on_keys_used
        self._poll_s = poll_s
        self._engine: Engine | None = None
        self._file: tuple[Path, int] | None = None
        self._lock = -1
        self._tails: dict[str, _Tail] = {}
        self._booked = self._pruned = self._failures = 0
        self._error = ""
        self._failing_since_us = 0
        self._pruning: Iterator[int] | None = None
        self._prune_at = 0.0
        self._wake = Event()
        self._stop_by: float | None = None
        self._sync = JournalSync(directory, lambda: self._config.sync_ms / 1000)
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sync.start()
        self._thread.start()

    def configure(self, config: Ledger) -> None:
        """Go by another configuration from now on."""
        self._config = config

    def poke(self) -> None:
        """Look at the journals now."""
        self._wake.set()

    def stop(self, timeout_s: float) -> None:
        """Book what there is, as far as the time allows, and end. What is left is booked by the next writer."""
        self._stop_by = time.monotonic() + timeout_s
        self._wake.set()
        self._thread.join(timeout_s)
        self._sync.stop()

    def status(self) -> LedgerStatus:
        """How the ledger stands now."""
        waiting, oldest_us = 0, 0
        journals = [path.name for path in list_journals(self._directory)]
        for name in journals:
            tail = self._tails.get(name)
            left = self._sync.written(name) - (tail.booked if tail else 0)
            if left <= 0:
                continue
            waiting += left
            since = tail.oldest_us if tail and tail.oldest_us else self._failing_since_us
            oldest_us = min(oldest_us or since, since or oldest_us)
        lag_s = max(0.0, (time.time_ns() // 1000 - oldest_us) / _US) if oldest_us else 0.0
        return LedgerStatus(
            booked=self._booked,
            waiting=waiting,
            lag_s=lag_s,
            failures=self._failures,
            error=self._error or self._sync.error,
            stuck=tuple(f"{tail.name}: {tail.trouble}" for tail in list(self._tails.values()) if tail.trouble),
            pruned=self._pruned,
        )

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait_s = 0.0
        while not self._is_over():
            # A pass may have been asked for while the last one ran.
            if wait_s:
                self._wake.wait(wait_s)
            self._wake.clear()
            is_stopping = self._stop_by is not None
            try:
                goes_on = self._pass()
                self._error, self._failing_since_us = "", 0
                wait_s = 0.0 if goes_on else self._poll_s
            except Exception as error:  # noqa: BLE001 - the thread's border: whatever fails now may work later
                self._fail(error)
                wait_s = min(max(wait_s * 2, _FIRST_WAIT_S), _LONGEST_WAIT_S)
                goes_on = False
            if is_stopping and not goes_on:
                break
        self._close()

    def _is_over(self) -> bool:
        return self._stop_by is not None and time.monotonic() >= self._stop_by

    def _close(self) -> None:
        self._drop_engine()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._error = _told(error)
        self._failing_since_us = self._failing_since_us or time.time_ns() // 1000
        if self._pruning is not None:
            self._pruning, self._prune_at = None, 0.0
        self._drop_engine()

    def _drop_engine(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _pass(self) -> bool:
        """Book one batch of each journal; whether there may be more to do at once."""
        if not self._take_lock():
            return False
        engine = self._open()
        self._find_journals(engine)
        goes_on = False
        refused: Exception | None = None
        dbapi: Any = engine.dialect.loaded_dbapi
        for tail in list(self._tails.values()):
            try:
                goes_on |= self._book(engine, tail)
            except (DataError, IntegrityError, dbapi.DataError, dbapi.IntegrityError) as error:
                # One journal that the database does not take must not hold up the others.
                refused = error
            if self._is_over():
                return False
        if refused is not None:
            raise refused
        return goes_on if self._stop_by is not None else self._prune(engine) or goes_on

    def _take_lock(self) -> bool:
        """Whether this process is the one that books. An old control process may take a moment to end."""
        if self._lock < 0:
            lock = os.open(self._directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
            _sweep(self._directory)
        return True

    def _open(self) -> Engine:
        if self._engine is not None and self._file is not None and not _is_same(*self._file):
            # SQLite would go on writing into a file that nobody can find any more.
            self._drop_engine()
        if self._engine is None:
            engine = self._database()
            if engine.dialect.name == "sqlite":
                # What is booked may be deleted from the journals, so it must have reached the disk by then.
                event.listen(engine, "connect", _set_up)
                # Connections that are open already were made without it.
                engine.dispose()
            self._engine = engine
            self._file = _sqlite_file(engine)
        return self._engine

    def _find_journals(self, engine: Engine) -> None:
        found = {path.name: path for path in list_journals(self._directory)}
        for name in [name for name in self._tails if name not in found]:
            del self._tails[name]
        new = [name for name in found if name not in self._tails]
        if new:
            with reading(engine) as connection:
                booked = booked_entries(connection, new)
            self._tails.update((name, _Tail(found[name], booked[name])) for name in new)

    def _book(self, engine: Engine, tail: _Tail) -> bool:
        """Book the next batch of one journal; whether it may have more."""
        if tail.fill():
            try:
                with engine.begin() as connection:
                    done = book(connection, tail.name, tail.batch)
            except LedgerGap as gap:
                # The database is another one, or an older copy: perhaps the journal still has what it lacks.
                return tail.restart(gap)
            is_full = len(tail.batch) == BATCH
            self._booked += done.count
            tail.take(done.number)
            if done.keys:
                self._on_keys_used(done.keys)
        else:
            is_full = False
        tail.reader.remove_booked(tail.booked)
        return is_full

    def _prune(self, engine: Engine) -> bool:
        """One step of pruning, when it is time; whether there are more."""
        if self._pruning is None:
            days, now = self._config.keep_days, time.monotonic()
            if days is None or now < self._prune_at:
                return False
            self._prune_at = now + _PRUNE_S
            self._pruning = prune(engine, time.time_ns() // 1000 - days * DAY_S * _US)
        deleted = next(self._pruning, None)
        if deleted is None:
            self._pruning = None
            return False
        self._pruned += deleted
        return True


class _Tail:
    """One journal on its way into the database."""

    def __init__(self, path: Path, booked: int) -> None:
        self.name = path.name
        self.booked = booked
        self.reader = JournalReader(path, booked)
        self.batch: list[Entry] = []
        """Read, but not known to be booked; it is tried until it is."""
        self.oldest_us = 0
        """When the first of the batch was finished; 0 for an empty one."""
        self._path = path
        self._gap: LedgerGap | None = None

    @property
    def trouble(self) -> str:
        """Why this journal cannot be booked on; empty while it can."""
        return str(self.reader.damage or "")

    def fill(self) -> bool:
        """Have a batch, unless there is nothing to book."""
        if not self.batch:
            self.batch = self.reader.read(BATCH)
            if self.batch:
                first = self.batch[0]
                self.oldest_us = first.started_at_us + first.duration_us
        return bool(self.batch)

    def take(self, booked: int) -> None:
        """The batch is booked."""
        self.booked = booked
        self.batch = []
        self.oldest_us = 0

    def restart(self, gap: LedgerGap) -> bool:
        """Read again from where the database says."""
        self.take(gap.booked)
        self.reader = JournalReader(self._path, gap.booked)
        return True


def _set_up(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = FULL").close()
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}").close()


def _sqlite_file(engine: Engine) -> tuple[Path, int] | None:
    """The file of an SQLite database, and which one it is."""
    if engine.dialect.name != "sqlite":
        return None
    with reading(engine) as connection:
        path = Path(connection.exec_driver_sql("PRAGMA database_list").fetchall()[0][2])
    return path, path.stat().st_ino


def _is_same(path: Path, inode: int) -> bool:
    try:
        return path.stat().st_ino == inode
    except FileNotFoundError:
        return False


def _sweep(directory: Path) -> None:
    """Remove journals that a worker had begun to make when it was killed; a moment ago it may only begin."""
    now_s = time.time_ns() / 1e9
    for path in directory.glob(".*.new"):
        with contextlib.suppress(FileNotFoundError):
            if now_s - path.stat().st_mtime > _MAKING_S and not is_written(path):
                shutil.rmtree(path)


def _told(error: Exception) -> str:
    cause = getattr(error, "orig", None) or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:500]
