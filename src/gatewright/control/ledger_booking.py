"""Books entries of a journal: exchanges, attempts and sums, in the transaction of the caller.

`journals` says how far a journal is booked, and moves in the same transaction, so an entry is booked once however often
it comes. Its row is written first: that takes the write lock on SQLite and the row's on PostgreSQL, so two that book
the same journal take turns.

Sums count an exchange at the model and provider of its last attempt (at an empty provider when it had none), by the
hour and day (UTC) in which it began. Tokens, cost, and how many attempts were estimated or have no price count where
they were used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import add, attrgetter
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, Table, case, select
from sqlalchemy.dialects import postgresql, sqlite

from gatewright.core.ledger import Attempt, Entry
from gatewright.store.tables import (
    ATTEMPTS,
    EXCHANGES,
    FEMTO_PER_NANO,
    JOURNALS,
    TOKEN_COLUMNS,
    USAGE_DAYS,
    USAGE_HOURS,
)

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
_US: Final = 1_000_000
_LARGEST_STATUS: Final = 2**31 - 1
_MOST: Final = 10**12
"""Of anything in one attempt. A provider may report what it likes; the sums of years must still fit into 64 bits."""
_MOST_FEMTO: Final = 10**15 * FEMTO_PER_NANO
_LATEST_US: Final = 10**17
_NO_TOKENS: Final = (0,) * len(TOKEN_COLUMNS)
_TOKENS_OF: Final = attrgetter(*TOKEN_COLUMNS)
COUNTS: Final = ("exchanges", "failed", "attempts", "estimated", "unpriced")
_ROWS_AT_ONCE: Final = 500

_Group = tuple[int, str, str, str, str]
"""Begin of the hour, consumer, model, provider, upstream model."""


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


class _Sums:
    """One row of the roll-ups."""

    __slots__ = ("counts", "femto", "provider_type", "tokens")

    def __init__(self) -> None:
        self.counts = [0] * len(COUNTS)
        self.tokens: Sequence[int] = _NO_TOKENS
        self.femto = 0
        self.provider_type = ""


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
    rows = _Rows(journal)
    for entry in new:
        rows.add(entry)
    _insert(connection, EXCHANGES, rows.exchanges)
    _insert(connection, ATTEMPTS, rows.attempts)
    _add_up(connection, USAGE_HOURS, "hour", rows.hours)
    _add_up(connection, USAGE_DAYS, "day", _by_day(rows.hours))
    times = [_time(entry) for entry in new]
    latest = max(times)
    values: dict[str, Any] = {
        "entries": number,
        "last_at_us": case((JOURNALS.c.last_at_us > latest, JOURNALS.c.last_at_us), else_=latest),
    }
    if booked == 0:
        values["first_at_us"] = times[0]
    connection.execute(JOURNALS.update().where(JOURNALS.c.journal == journal).values(values))
    return Booked(number, len(new), rows.keys)


def booked_entries(connection: Connection, journals: Iterable[str]) -> dict[str, int]:
    """How far each journal is booked; 0 for those the database does not know."""
    names = list(journals)
    found = dict.fromkeys(names, 0)
    for at in range(0, len(names), _ROWS_AT_ONCE):
        part = names[at : at + _ROWS_AT_ONCE]
        query = select(JOURNALS.c.journal, JOURNALS.c.entries).where(JOURNALS.c.journal.in_(part))
        found.update((name, entries) for name, entries in connection.execute(query))
    return found


def stored_text(text: str, length: int) -> str:
    """A text as the database takes it: not too long, well-formed, and without NUL, which PostgreSQL refuses."""
    if len(text) <= length and text.isprintable():
        return text
    return text[:length].replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


# -- entries to rows --------------------------------------------------------------------------------------------------


class _Rows:
    """The rows of a batch, as tuples in the order of the tables' columns."""

    def __init__(self, journal: str) -> None:
        self.exchanges: list[tuple[Any, ...]] = []
        self.attempts: list[tuple[Any, ...]] = []
        self.hours: dict[_Group, _Sums] = {}
        self.keys: dict[str, int] = {}
        self._journal = journal

    def add(self, entry: Entry) -> None:
        number, journal = entry.number, self._journal
        started = _time(entry)
        hour = started // (HOUR_S * _US) * HOUR_S
        consumer, model = _consumer(entry.consumer), _model(entry.model)
        tokens, femto, is_estimated, is_unpriced = _NO_TOKENS, 0, False, False
        group = (hour, consumer, model, "", "")
        for position, attempt in enumerate(entry.attempts, 1):
            used, cost = _used(attempt)
            unpriced = attempt.tokens is not None and attempt.cost_femto_usd is None
            row = self._attempt_row(number, position, attempt, unpriced)
            provider, kind, upstream = row[3:6]
            self.attempts.append((*row, *used, *divmod(cost, FEMTO_PER_NANO)))
            group = (hour, consumer, model, provider, upstream)
            sums = self._sums(group)
            sums.provider_type = kind
            sums.counts[2] += 1
            sums.counts[3] += attempt.is_estimated
            sums.counts[4] += unpriced
            if used is not _NO_TOKENS:
                sums.tokens = _plus(sums.tokens, used)
                tokens = used if tokens is _NO_TOKENS else _plus(tokens, used)
            sums.femto += cost
            femto += cost
            is_estimated |= attempt.is_estimated
            is_unpriced |= unpriced
        sums = self._sums(group)
        sums.counts[0] += 1
        sums.counts[1] += entry.kind != ""
        key_id = stored_text(entry.key_id, 200)
        if key_id:
            self.keys[key_id] = max(self.keys.get(key_id, 0), started)
        self.exchanges.append(
            (
                journal,
                number,
                stored_text(entry.id, 128),
                started,
                _whole(entry.duration_us),
                _whole(entry.first_byte_us),
                consumer,
                stored_text(entry.user, 300),
                key_id,
                stored_text(entry.surface, 60),
                model,
                stored_text(entry.requested_model, 300),
                min(_whole(entry.status), _LARGEST_STATUS),
                stored_text(entry.kind, 40),
                entry.is_stream,
                stored_text(entry.cache, 10),
                len(entry.attempts),
                is_estimated,
                is_unpriced,
                *tokens,
                *divmod(femto, FEMTO_PER_NANO),
            )
        )

    def _attempt_row(self, number: int, position: int, attempt: Attempt, is_unpriced: bool) -> tuple[Any, ...]:
        """The row but for what was used."""
        return (
            self._journal,
            number,
            position,
            _provider(attempt.provider),
            stored_text(attempt.provider_type, 60),
            _model(attempt.upstream_model),
            stored_text(attempt.outcome, 40),
            attempt.is_estimated,
            is_unpriced,
            stored_text(attempt.price_version, 100),
            _whole(attempt.upstream_ms),
        )

    def _sums(self, group: _Group) -> _Sums:
        sums = self.hours.get(group)
        if sums is None:
            sums = self.hours[group] = _Sums()
        return sums


def _consumer(text: str) -> str:
    return stored_text(text, 600)


def _model(text: str) -> str:
    return stored_text(text, 300)


def _provider(text: str) -> str:
    return stored_text(text, 200)


def _used(attempt: Attempt) -> tuple[tuple[int, ...], int]:
    """Tokens by kind, and femto-dollars."""
    tokens, cost = attempt.tokens, attempt.cost_femto_usd
    femto = min(max(cost, 0), _MOST_FEMTO) if cost else 0
    if tokens is None:
        return _NO_TOKENS, femto
    used: tuple[int, ...] = _TOKENS_OF(tokens)
    if min(used) < 0 or max(used) > _MOST:
        used = tuple(_whole(count) for count in used)
    return used, femto


def _plus(one: Sequence[int], other: Sequence[int]) -> tuple[int, ...]:
    return tuple(map(add, one, other))


def _whole(number: int) -> int:
    return number if 0 <= number <= _MOST else 0 if number < 0 else _MOST


def _time(entry: Entry) -> int:
    return min(max(entry.started_at_us, 0), _LATEST_US)


# -- rows to the database ---------------------------------------------------------------------------------------------


def _open(connection: Connection, journal: str) -> int:
    """How far the journal is booked, its row locked until the transaction ends."""
    insert = _upsert(connection, JOURNALS).values(journal=journal, entries=0, first_at_us=0, last_at_us=0)
    statement = insert.on_conflict_do_update(
        index_elements=[JOURNALS.c.journal], set_={"entries": JOURNALS.c.entries}
    ).returning(JOURNALS.c.entries)
    return int(connection.execute(statement).scalar_one())


def _insert(connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
    """Rows as the driver takes them, thousands at once: most of the time would go into preparing them one by one."""
    if not rows:
        return
    columns = ", ".join(column.name for column in table.columns)
    if connection.dialect.name == "postgresql":
        # The driver's own connection, which takes part in the same transaction.
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    places = ", ".join("?" * len(table.columns))
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({columns}) VALUES ({places})", rows)


def _by_day(hours: dict[_Group, _Sums]) -> dict[_Group, _Sums]:
    days: dict[_Group, _Sums] = {}
    for (hour, *rest), sums in hours.items():
        group = (hour // DAY_S * DAY_S, *rest)
        total = days.setdefault(group, _Sums())  # type: ignore[arg-type]
        total.provider_type = sums.provider_type
        total.femto += sums.femto
        total.counts = list(map(add, total.counts, sums.counts))
        total.tokens = _plus(total.tokens, sums.tokens)
    return days


def _add_up(connection: Connection, table: Table, period: str, groups: dict[_Group, _Sums]) -> None:
    """Add to the rows of a roll-up, in the order of their keys: two that book at once cannot wait for each other."""
    rows = [
        {
            period: group[0],
            "consumer": group[1],
            "model": group[2],
            "provider": group[3],
            "upstream_model": group[4],
            "provider_type": sums.provider_type,
            **dict(zip(COUNTS, sums.counts, strict=True)),
            **dict(zip(TOKEN_COLUMNS, sums.tokens, strict=True)),
            "cost_nano": sums.femto // FEMTO_PER_NANO,
            "cost_rest_femto": sums.femto % FEMTO_PER_NANO,
        }
        for group, sums in sorted(groups.items(), key=lambda item: item[0])
    ]
    insert = _upsert(connection, table)
    new, old = insert.excluded, table.c
    rest = old.cost_rest_femto + new.cost_rest_femto
    changes: dict[str, Any] = {name: old[name] + new[name] for name in (*COUNTS, *TOKEN_COLUMNS)}
    changes["cost_nano"] = old.cost_nano + new.cost_nano + rest // FEMTO_PER_NANO
    changes["cost_rest_femto"] = rest % FEMTO_PER_NANO
    changes["provider_type"] = new.provider_type
    statement = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=changes)
    if rows:
        connection.execute(statement, rows)


def _upsert(connection: Connection, table: Table) -> Any:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
