"""Checks the whole ledger: nothing missing, nothing twice, every sum right.

Journals on the disk are read first, then the database, in one state of it, while the gateway runs: what is booked and
deleted between the two is then in the database. In the database the numbers of each journal must run from 1 to what
`journals` says (from the oldest that is kept, where exchanges were deleted because of their age), each exchange must
agree with its attempts, and each row of the roll-ups with the exchanges and attempts of its period.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    Subquery,
    Table,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    text,
    union_all,
)

from gatewright.control.ledger_booking import booked_entries
from gatewright.control.ledger_columns import COUNTS, DAY_S, HOUR_S
from gatewright.control.ledger_pruning import PRUNED
from gatewright.store.database import reading
from gatewright.store.journal import SUFFIX
from gatewright.store.journal_reader import JournalReader, JournalTail, is_written, list_journals, list_segments
from gatewright.store.revisions import read_revision
from gatewright.store.tables import (
    ATTEMPTS,
    EXCHANGES,
    FEMTO_PER_NANO,
    JOURNALS,
    TOKEN_COLUMNS,
    USAGE_DAYS,
    USAGE_HOURS,
)

MAX_PROBLEMS: Final = 100
"""Of each kind that are told; more would not help."""
_BATCH: Final = 2_000
_US: Final = 1_000_000
_KEY: Final = ("consumer", "model", "provider", "upstream_model")


class JournalOnDisk(Struct, frozen=True):
    """A journal that was found in the state directory."""

    name: str
    is_live: bool
    """Whether its worker runs."""
    first: int
    """The number of its first entry that is still on the disk; 0 when there is none."""
    last: int
    """The number of its last entry that could be read."""
    damage: str
    """Where and why it cannot be read on; empty when it can."""


class Backlog(Struct, frozen=True):
    """How far a journal on the disk is booked."""

    journal: str
    is_live: bool
    """Whether its worker runs."""
    written: int
    """Entries that its worker wrote."""
    booked: int | None
    """How many of them are in the database; None when that cannot be asked."""
    bytes: int
    """What its segments take on the disk."""

    @property
    def waiting(self) -> int | None:
        """Entries that are not in the database yet."""
        return None if self.booked is None else max(0, self.written - self.booked)


class Report(Struct, frozen=True, kw_only=True):
    """What a check found."""

    problems: list[str]
    """Each in one sentence; empty for a ledger that is whole. At most 100 of a kind."""
    entries: int
    """Exchanges that were ever booked."""
    kept: int
    """Exchanges that are in the database."""
    waiting: int
    """Entries that are in journals only, on their way."""
    journals: int
    """Journals that were ever booked."""
    live: int
    """Journals whose workers run."""
    pruned_before_us: int
    """Exchanges that began before this time may have been deleted because of their age; 0 when none was."""


def verify(engine: Engine, directory: Path) -> Report:
    """Check the ledger in this database and in the directory of the journals."""
    on_disk = [read_journal(path) for path in list_journals(directory)]
    with reading(engine) as connection:
        if engine.dialect.name == "postgresql":
            # A check of everything is no runaway statement.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        booked = {row.journal: row for row in connection.execute(select(JOURNALS))}
        pruned_us = read_revision(connection, PRUNED) or 0
        problems = [
            *_check_disk(on_disk, {name: row.entries for name, row in booked.items()}),
            *_check_numbers(connection, booked, pruned_us),
            *_check_doubles(connection),
            *_check_attempts(connection),
            *_check_sums(connection, USAGE_HOURS, HOUR_S, pruned_us),
            *_check_sums(connection, USAGE_DAYS, DAY_S, pruned_us),
            *_check_totals(connection),
        ]
        kept = connection.scalar(select(func.count()).select_from(EXCHANGES)) or 0
    return Report(
        problems=problems,
        entries=sum(row.entries for row in booked.values()),
        kept=kept,
        waiting=sum(_waiting(one, booked) for one in on_disk),
        journals=len(booked),
        live=sum(one.is_live for one in on_disk),
        pruned_before_us=pruned_us,
    )


def read_journal(path: Path) -> JournalOnDisk:
    """Read a journal from the first segment that is there to its end, every entry checked."""
    while True:
        segments = list_segments(path)
        found = _read_from(path, min(segments.values(), default=0))
        if not found.damage or list_segments(path).keys() >= segments.keys():
            return found
        # Segments were booked and deleted meanwhile: what was missed is in the database.


def _read_from(path: Path, first: int) -> JournalOnDisk:
    is_live = is_written(path)
    if first == 0:
        return JournalOnDisk(path.name, is_live, 0, 0, "")
    reader = JournalReader(path, first - 1)
    while reader.read(_BATCH):
        pass
    if reader.damage is None and not reader.is_finished:
        # Beside a live writer the first doubt is not the last word.
        reader.read(_BATCH)
    return JournalOnDisk(path.name, is_live, first, reader.number, str(reader.damage or ""))


def backlog(directory: Path, engine: Engine | None) -> list[Backlog]:
    """The journals on the disk, oldest first; without a database it is not known what of them is booked."""
    journals = list_journals(directory)
    booked: dict[str, int] = {}
    if engine is not None and journals:
        with reading(engine) as connection:
            booked = booked_entries(connection, [path.name for path in journals])
    found = []
    for path in journals:
        tail = JournalTail(path)
        tail.advance()
        size = 0
        for segment in path.glob(f"*{SUFFIX}"):
            # What is booked may be deleted at any time.
            with contextlib.suppress(FileNotFoundError):
                size += segment.stat().st_size
        found.append(Backlog(path.name, is_written(path), tail.number, booked.get(path.name), size))
    return found


def _waiting(one: JournalOnDisk, booked: dict[str, Any]) -> int:
    row = booked.get(one.name)
    return max(0, one.last - (row.entries if row else 0))


# -- the checks -------------------------------------------------------------------------------------------------------


def _check_disk(on_disk: list[JournalOnDisk], booked: dict[str, int]) -> Iterator[str]:
    for one in on_disk:
        if one.damage:
            yield f"journal {one.name} is damaged: {one.damage}"
        done = booked.get(one.name, 0)
        if one.first > done + 1:
            yield f"journal {one.name}: entries {done + 1} to {one.first - 1} are neither booked nor on the disk"


def _check_numbers(connection: Connection, booked: dict[str, Any], pruned_us: int) -> Iterator[str]:
    """Whether the numbers of each journal are there, each of them once."""
    number = EXCHANGES.c.number
    query = select(
        EXCHANGES.c.journal, func.count().label("rows"), func.min(number).label("first"), func.max(number).label("last")
    ).group_by(EXCHANGES.c.journal)
    found = {row.journal: row for row in connection.execute(query)}
    for name in sorted(found.keys() - booked.keys()):
        yield f"journal {name} has exchanges, but is not among the journals that were booked"
    for name, row in booked.items():
        have = found.get(name)
        if have is None:
            if row.entries and row.last_at_us >= pruned_us:
                yield f"journal {name}: all of its {row.entries} exchanges are missing"
            continue
        if have.last != row.entries:
            yield f"journal {name} is booked to entry {row.entries}, but its last exchange is {have.last}"
        if have.rows != have.last - have.first + 1:
            yield from _gaps(connection, name)
        if have.first > 1 and row.first_at_us >= pruned_us:
            yield f"journal {name}: exchanges 1 to {have.first - 1} are missing"


def _gaps(connection: Connection, journal: str) -> Iterator[str]:
    before = func.lag(EXCHANGES.c.number).over(order_by=EXCHANGES.c.number).label("before")
    rows = select(EXCHANGES.c.number, before).where(EXCHANGES.c.journal == journal).subquery()
    query = select(rows).where(rows.c.number - rows.c.before > 1).order_by(rows.c.number).limit(MAX_PROBLEMS)
    for row in connection.execute(query):
        yield f"journal {journal}: exchanges {row.before + 1} to {row.number - 1} are missing"


def _check_doubles(connection: Connection) -> Iterator[str]:
    """Whether one exchange was written into two journals; within one, the primary key forbids it."""
    same = (EXCHANGES.c.id, EXCHANGES.c.started_at_us, EXCHANGES.c.consumer)
    query = select(*same, func.count().label("rows")).group_by(*same).having(func.count() > 1).limit(MAX_PROBLEMS)
    for row in connection.execute(query):
        yield f"exchange {row.id} of {row.consumer or 'nobody'} is booked {row.rows} times"


def _check_attempts(connection: Connection) -> Iterator[str]:
    """Whether each exchange is the sum of its attempts, and no attempt is without one."""
    sums = (
        select(ATTEMPTS.c.journal, ATTEMPTS.c.number, func.count().label("rows"), *_sums_of(ATTEMPTS))
        .group_by(ATTEMPTS.c.journal, ATTEMPTS.c.number)
        .subquery()
    )
    mine = and_(sums.c.journal == EXCHANGES.c.journal, sums.c.number == EXCHANGES.c.number)
    differs = [func.coalesce(sums.c.rows, 0) != EXCHANGES.c.attempts]
    differs += [func.coalesce(sums.c[name], 0) != EXCHANGES.c[name] for name in TOKEN_COLUMNS]
    differs.append(func.coalesce(sums.c.cost_nano, 0) != EXCHANGES.c.cost_nano)
    differs.append(func.coalesce(sums.c.cost_rest_femto, 0) != EXCHANGES.c.cost_rest_femto)
    query = select(EXCHANGES.c.journal, EXCHANGES.c.number).select_from(EXCHANGES.outerjoin(sums, mine))
    for row in connection.execute(query.where(or_(*differs)).limit(MAX_PROBLEMS)):
        yield f"exchange {row.number} of journal {row.journal} differs from its attempts"
    orphans = select(sums.c.journal, sums.c.number).select_from(sums.outerjoin(EXCHANGES, mine))
    for row in connection.execute(orphans.where(EXCHANGES.c.number.is_(None)).limit(MAX_PROBLEMS)):
        yield f"attempts of exchange {row.number} of journal {row.journal} are there, but not the exchange"


def _check_sums(connection: Connection, table: Table, length_s: int, pruned_us: int) -> Iterator[str]:
    """Whether each row of a roll-up is the sum of its period, in the periods of which nothing was deleted."""
    start_s = -(-pruned_us // (length_s * _US)) * length_s
    period = next(iter(table.primary_key.columns))
    right = _recounted(length_s, start_s)
    same = and_(right.c.period == period, *(right.c[name] == table.c[name] for name in _KEY))
    names = (*COUNTS, *TOKEN_COLUMNS, "cost_nano", "cost_rest_femto")
    differs = or_(right.c.period.is_(None), *(right.c[name] != table.c[name] for name in names))
    wrong = select(period.label("period"), *(table.c[name] for name in _KEY)).select_from(table.outerjoin(right, same))
    lacking = select(right.c.period, *(right.c[name] for name in _KEY)).select_from(right.outerjoin(table, same))
    for query, what in (
        (wrong.where(period >= start_s, differs), "is not the sum of its exchanges"),
        (lacking.where(period.is_(None)), "is missing"),
    ):
        for row in connection.execute(query.limit(MAX_PROBLEMS)):
            names_of = ", ".join(str(getattr(row, name)) or "-" for name in _KEY)
            yield f"{table.name}: the row {row.period} ({names_of}) {what}"


def _recounted(length_s: int, start_s: int) -> Subquery:
    """What a roll-up should be, from the exchanges and attempts themselves."""
    period = (cast(EXCHANGES.c.started_at_us, BigInteger) // (length_s * _US) * length_s).label("period")
    is_mine = and_(ATTEMPTS.c.journal == EXCHANGES.c.journal, ATTEMPTS.c.number == EXCHANGES.c.number)
    is_last = and_(is_mine, ATTEMPTS.c.position == EXCHANGES.c.attempts)
    is_young = EXCHANGES.c.started_at_us >= start_s * _US
    costs = ("cost_nano", "cost_rest_femto")
    zero = literal(0, BigInteger)
    exchanges = (
        select(
            period,
            EXCHANGES.c.consumer,
            EXCHANGES.c.model,
            func.coalesce(ATTEMPTS.c.provider, "").label("provider"),
            func.coalesce(ATTEMPTS.c.upstream_model, "").label("upstream_model"),
            literal(1, BigInteger).label("exchanges"),
            case((EXCHANGES.c.kind != "", 1), else_=0).label("failed"),
            *(zero.label(name) for name in (*COUNTS[2:], *TOKEN_COLUMNS, *costs)),
        )
        .select_from(EXCHANGES.outerjoin(ATTEMPTS, is_last))
        .where(is_young)
    )
    attempts = (
        select(
            period,
            EXCHANGES.c.consumer,
            EXCHANGES.c.model,
            ATTEMPTS.c.provider,
            ATTEMPTS.c.upstream_model,
            zero.label("exchanges"),
            zero.label("failed"),
            literal(1, BigInteger).label("attempts"),
            case((ATTEMPTS.c.is_estimated, 1), else_=0).label("estimated"),
            case((ATTEMPTS.c.is_unpriced, 1), else_=0).label("unpriced"),
            *(ATTEMPTS.c[name] for name in (*TOKEN_COLUMNS, *costs)),
        )
        .select_from(EXCHANGES.join(ATTEMPTS, is_mine))
        .where(is_young)
    )
    rows = union_all(exchanges, attempts).subquery()
    key = [rows.c.period, *(rows.c[name] for name in _KEY)]
    counts = [func.sum(rows.c[name]).label(name) for name in COUNTS]
    return select(*key, *counts, *_sums_of(rows)).group_by(*key).subquery()


def _sums_of(table: Table | Subquery) -> list[Any]:
    """Tokens and cost added up; the rest of the cost carries into nano-dollars."""
    # PostgreSQL adds BIGINTs up to NUMERIC, which divides into fractions.
    rest = cast(func.sum(table.c.cost_rest_femto), BigInteger)
    return [
        *(func.sum(table.c[name]).label(name) for name in TOKEN_COLUMNS),
        (func.sum(table.c.cost_nano) + rest // FEMTO_PER_NANO).label("cost_nano"),
        (rest % FEMTO_PER_NANO).label("cost_rest_femto"),
    ]


def _check_totals(connection: Connection) -> Iterator[str]:
    """Whether the roll-ups, which are kept for ever, count as many exchanges as were booked."""
    total = connection.scalar(select(func.sum(JOURNALS.c.entries))) or 0
    for table in (USAGE_HOURS, USAGE_DAYS):
        counted = connection.scalar(select(func.sum(table.c.exchanges))) or 0
        if counted != total:
            yield f"{table.name} counts {counted} exchanges, but {total} were booked"
