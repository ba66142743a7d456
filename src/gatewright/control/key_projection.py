"""Brings the keys of the database to the table that workers read (`store.key_table`).

A poll compares one number, the revision of `keys`; when it was raised, the rows with a higher revision than the table's
are written. Besides, once after the start, everything is compared step by step, so that a table that is missing, old,
or damaged becomes whole while changes go on to be seen at once.

Rows are always read *after* the table's lock was taken, never before: several processes may do this (control, and
commands), and whoever writes last has so read last. Doing any of it again changes nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.exc import SQLAlchemyError

from gatewright.control.keys import has_same_secret
from gatewright.core.consumer import Scopes
from gatewright.core.keys import KeyRecord
from gatewright.store.database import reading
from gatewright.store.key_table import DIRECTORY, FILES, KeyTable, UnusableTable, Writing
from gatewright.store.revisions import read_revision
from gatewright.store.tables import CONSUMERS, KEYS

POLL_S: Final = 0.2
STEP: Final = 2_000
"""Keys compared at a time."""
_SUBJECT: Final = "keys"
OTHER_SECRET: Final = (
    "the keys of the database were made with another secret, so none of them is recognised; copy the file `secret` of "
    "the gateway that made them into this one's state directory"
)


class KeyProjection:
    """Keeps one table in step with one database. Any thread may poll; polls wait for each other."""

    def __init__(
        self,
        engine: Engine,
        state: Path,
        secret: bytes | None = None,
        *,
        on_problem: Callable[[str], None] = lambda problem: None,
    ) -> None:
        """`secret` is only compared with that of the database's keys. `on_problem` hears each new `problem` once."""
        self.problem: str | None = None
        """Why the table is not kept in step at the moment, in words for the log; None while it is."""
        self._engine, self._directory, self._secret = engine, state / DIRECTORY, secret
        self._on_problem = on_problem
        self._lock = threading.Lock()
        self._table: KeyTable | None = None
        self._compared: bytes | None = b""
        """The last digest that was compared; None when all were."""

    def poll_once(self) -> bool:
        """Bring over what changed, and compare one more step; whether there is more to do at once.

        Never raises for a database or a table that cannot be used: the table stays as it is then, and `problem` says
        why. Blocks, so call it in a thread.
        """
        with self._lock:
            before = self.problem
            more = self._try()
            if self.problem is not None and self.problem != before:
                self._on_problem(self.problem)
            return more

    def run(self, stop: threading.Event) -> None:
        """Poll until `stop` is set."""
        while not stop.is_set():
            if not self.poll_once():
                stop.wait(POLL_S)
        self.close()

    def close(self) -> None:
        """Give the table back. A later poll opens it again."""
        with self._lock:
            self._close()

    def _try(self) -> bool:
        try:
            return self._poll()
        except UnusableTable as error:
            self.problem = str(error)
            self._close()
            if error.is_damaged:
                self._make_anew()
        except (SQLAlchemyError, ValueError, TypeError) as error:
            # Its text may hold the statement and its values, so only its kind is told. The last two are raised for
            # columns that somebody else filled.
            self.problem = f"the database cannot be read ({type(error).__name__}); keys stay as they are"
        return False

    def _poll(self) -> bool:
        table = self._open()
        at = table.revision()
        with reading(self._engine) as connection:
            current = read_revision(connection, _SUBJECT) or 0
            is_right = self._secret is None or has_same_secret(connection, self._secret)
        if at is None or at > current:
            # A table that was never filled, or a database that was set back: compare everything.
            self._compared = b""
            table.write(lambda writing: setattr(writing, "revision", current))
        elif at < current:
            table.write(partial(_bring_changes, self._engine))
        if self._compared is not None:
            self._compared = table.write(partial(_compare, self._engine, self._compared))
        self.problem = None if is_right else OTHER_SECRET
        return self._compared is not None

    def _open(self) -> KeyTable:
        if self._table is not None and not self._table.is_in_place:
            self._close()
            self._compared = b""
        if self._table is None:
            self._table = KeyTable(self._directory)
        return self._table

    def _close(self) -> None:
        table, self._table = self._table, None
        if table is not None:
            table.close()

    def _make_anew(self) -> None:
        """Remove a damaged table; the next poll fills a new one."""
        with contextlib.suppress(OSError):
            KeyTable.remove(self._directory)
        self._compared = b""


def write_through(engine: Engine, state: Path) -> bool:
    """Bring the changes of a command to a gateway's table at once; whether that was done.

    Only where there is a table already: the gateway fills a new one. The database holds the change in any case, so a
    table that cannot be written is left to the gateway, which polls.
    """
    if not (state / DIRECTORY / FILES[0]).exists():
        return False
    try:
        table = KeyTable(state / DIRECTORY)
    except UnusableTable:
        return False
    try:
        if table.revision() is None:
            return False
        table.write(partial(_bring_changes, engine))
    except (UnusableTable, SQLAlchemyError):
        return False
    finally:
        table.close()
    return True


def _bring_changes(engine: Engine, writing: Writing) -> None:
    with reading(engine) as connection:
        # Read first: what is raised between the two reads is then brought again, not missed.
        current = read_revision(connection, _SUBJECT) or 0
        for row in _rows(connection, KEYS.c.revision > (writing.revision or 0)):
            writing.put(bytes(row.digest), record_of(row))
    writing.revision = current


def _compare(engine: Engine, after: bytes, writing: Writing) -> bytes | None:
    """Make some entries behind `after` what the database says; gives the last one of them, None at the end.

    In the order of digests, in which the table keeps its entries: a step so writes few pages.
    """
    with reading(engine) as connection:
        query = _query().where(KEYS.c.digest > after).order_by(KEYS.c.digest).limit(STEP)
        records = {bytes(row.digest): record_of(row) for row in connection.execute(query)}
    last = next(reversed(records)) if len(records) == STEP else None
    for digest in writing.digests_between(after, last):
        if digest not in records:
            writing.delete(digest)
    for digest, record in records.items():
        writing.put(digest, record)
    return last


def record_of(row: Row[Any]) -> KeyRecord:
    """What workers shall know of a key."""
    return KeyRecord(
        id=row.id,
        consumer=row.consumer,
        scopes=Scopes(tuple(row.models), tuple(row.surfaces), tuple(row.networks)),
        expires_at=row.expires_at,
        is_suspended=row.suspended_at is not None or row.consumer_suspended_at is not None,
        is_revoked=row.revoked_at is not None,
    )


def _query() -> Any:
    columns = (column for column in KEYS.columns if column.name not in ("name", "prefix", "created_by"))
    joined = KEYS.outerjoin(CONSUMERS, KEYS.c.consumer == CONSUMERS.c.path)
    return select(*columns, CONSUMERS.c.suspended_at.label("consumer_suspended_at")).select_from(joined)


def _rows(connection: Connection, condition: Any) -> Iterable[Row[Any]]:
    """Streamed: a consumer with a million keys may be suspended."""
    return connection.execution_options(yield_per=STEP).execute(_query().where(condition))
