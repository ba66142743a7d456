"""Deletes exchanges that are older than `ledger.keep_days`, a few at a time.

Of each journal a beginning is deleted, up to the first exchange that is young enough: what stays has no gap. The time
before which exchanges may be missing is kept in `revisions`, so `gatewright ledger verify` can still tell a loss from a
deletion. Sums per hour and day, and how far each journal was booked, stay for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Engine, delete, func, select

from gatewright.store.database import reading
from gatewright.store.revisions import read_revision, write_revision
from gatewright.store.tables import ATTEMPTS, EXCHANGES

PRUNED: Final = "ledger_pruned_us"
"""Subject in `revisions`: exchanges that began before this time (Unix microseconds) may have been deleted."""
_ROWS_AT_ONCE: Final = 2_000
"""Rows in one transaction: it must not hold up the booking."""


def prune(engine: Engine, before_us: int) -> Iterator[int]:
    """Delete exchanges that began before this time; each step is one short transaction and gives what it deleted."""
    with reading(engine) as connection:
        query = select(EXCHANGES.c.journal).where(EXCHANGES.c.started_at_us < before_us).distinct()
        journals = connection.scalars(query.order_by(EXCHANGES.c.journal)).all()
        pruned = read_revision(connection, PRUNED) or 0
    if journals and before_us > pruned:
        with engine.begin() as connection:
            write_revision(connection, PRUNED, before_us)
    for journal in journals:
        yield from _prune_journal(engine, journal, before_us)


def _prune_journal(engine: Engine, journal: str, before_us: int) -> Iterator[int]:
    mine = EXCHANGES.c.journal == journal
    with reading(engine) as connection:
        first, last = connection.execute(
            select(func.min(EXCHANGES.c.number), func.max(EXCHANGES.c.number)).where(mine)
        ).one()
        stay = connection.scalar(
            select(func.min(EXCHANGES.c.number)).where(mine, EXCHANGES.c.started_at_us >= before_us)
        )
    if first is None:
        return  # another gateway on this database was faster
    end = last + 1 if stay is None else stay
    for start in range(first, end, _ROWS_AT_ONCE):
        part = (start, min(start + _ROWS_AT_ONCE, end) - 1)
        with engine.begin() as connection:
            for table in (ATTEMPTS, EXCHANGES):
                connection.execute(delete(table).where(table.c.journal == journal, table.c.number.between(*part)))
        yield part[1] - part[0] + 1
