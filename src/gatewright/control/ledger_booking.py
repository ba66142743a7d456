"""Books entries of a journal: exchanges, attempts and sums, in the transaction of the caller.

`journals` says how far a journal is booked, and moves in the same transaction, so an entry is booked once however often
it comes. Its row is written first: that takes the write lock on SQLite and the row's on PostgreSQL, so two that book
the same journal take turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, case, select
from sqlalchemy.dialects import postgresql, sqlite

from gatewright.control.ledger_columns import build_batch
from gatewright.control.ledger_rows import add_up, insert
from gatewright.core.ledger import Entry
from gatewright.store.tables import ATTEMPTS, EXCHANGES, JOURNALS, USAGE_DAYS, USAGE_HOURS

_JOURNALS_AT_ONCE: Final = 500


class LedgerGap(Exception):
    """The entries do not go on where the journal is booked to; nothing was written."""

    def __init__(self, journal: str, booked: int, number: int) -> None:
        super().__init__(f"journal {journal} is booked to entry {booked}, but the next one is {number}")
        self.journal, self.booked, self.number = journal, booked, number


class Booked(Struct, frozen=True):
    """What one batch came to."""

    number: int
    """Of the last entry of the journal that is booked now."""
    count: int
    """How many were new."""
    keys: Mapping[str, int]
    """Keys that were used, and when last (Unix microseconds)."""


def book(connection: Connection, journal: str, entries: Sequence[Entry]) -> Booked:
    """Write what is new of these entries, which follow each other. Raises LedgerGap before it writes any of them."""
    booked = _open(connection, journal)
    number = entries[-1].number if entries else booked
    if not entries or number <= booked:
        return Booked(booked, 0, {})
    first = entries[0].number
    if first > booked + 1:
        raise LedgerGap(journal, booked, first)
    new = entries[booked + 1 - first :]
    batch = build_batch(journal, new)
    insert(connection, EXCHANGES, batch.exchanges)
    if batch.attempts["journal"]:
        insert(connection, ATTEMPTS, batch.attempts)
    add_up(connection, USAGE_HOURS, batch.hours)
    add_up(connection, USAGE_DAYS, batch.days)
    times = batch.exchanges["started_at_us"]
    latest = max(times)
    values: dict[str, Any] = {
        "entries": number,
        "last_at_us": case((JOURNALS.c.last_at_us > latest, JOURNALS.c.last_at_us), else_=latest),
    }
    if booked == 0:
        values["first_at_us"] = times[0]
    connection.execute(JOURNALS.update().where(JOURNALS.c.journal == journal).values(values))
    return Booked(number, len(new), batch.keys)


def booked_entries(connection: Connection, journals: Iterable[str]) -> dict[str, int]:
    """How far each journal is booked; 0 for those the database does not know."""
    names = list(journals)
    found = dict.fromkeys(names, 0)
    for at in range(0, len(names), _JOURNALS_AT_ONCE):
        part = names[at : at + _JOURNALS_AT_ONCE]
        query = select(JOURNALS.c.journal, JOURNALS.c.entries).where(JOURNALS.c.journal.in_(part))
        found.update((name, entries) for name, entries in connection.execute(query))
    return found


def _open(connection: Connection, journal: str) -> int:
    """How far the journal is booked, its row locked until the transaction ends."""
    upsert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    new: Any = upsert(JOURNALS).values(journal=journal, entries=0, first_at_us=0, last_at_us=0)
    statement = new.on_conflict_do_update(
        index_elements=[JOURNALS.c.journal], set_={"entries": JOURNALS.c.entries}
    ).returning(JOURNALS.c.entries)
    return int(connection.execute(statement).scalar_one())
