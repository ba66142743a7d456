"""The ledger's entries for reading: the newest first, page by page, however many there are.

Pages go on behind a place (time, journal, number), so the last page costs what the first does, and entries that are
booked meanwhile move nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, select, tuple_

from gatewright.control.newest import narrow, newest_first
from gatewright.control.usage import exact_usd
from gatewright.store.database import reading
from gatewright.store.tables import ATTEMPTS, EXCHANGES, FEMTO_PER_NANO, TOKEN_COLUMNS


class Place(Struct, frozen=True, array_like=True):
    """Where a page ended."""

    started_at_us: int
    journal: str
    number: int


class BookedAttempt(Struct, frozen=True):
    """One try at one target that used, or may have used, something."""

    provider: str
    """The configured name of the provider."""
    provider_type: str
    """Its type."""
    upstream_model: str
    """The provider's own model name."""
    outcome: str
    """`ok`, or the kind of error that ended it."""
    is_estimated: bool
    """Whether the tokens are the gateway's own count."""
    is_unpriced: bool
    """Whether its cost is not known."""
    price_version: str
    """Which price row it was billed by."""
    upstream_ms: int
    """How long the provider took, in milliseconds."""
    tokens: dict[str, int]
    """What it used, by kind; kinds without any are left out."""
    cost_usd: str
    """What it cost in US dollars, exactly."""


class BookedExchange(Struct, frozen=True):
    """One exchange as the ledger has it."""

    journal: str
    """The journal that it was written to first."""
    number: int
    """Its number there; journal and number name it for good."""
    id: str
    """Its `x-request-id`, which a client may have chosen."""
    started_at_us: int
    """When it began, in Unix microseconds."""
    duration_us: int
    """How long it took, in microseconds."""
    first_byte_us: int
    """Until the first byte of a stream; 0 for complete answers."""
    consumer: str
    """Who was charged."""
    end_user: str
    """For whom, as the application says."""
    key_id: str
    """What identified the consumer."""
    surface: str
    """What was called."""
    model: str
    """The published model."""
    requested_model: str
    """The model as the client wrote it."""
    status: int
    """The status of the answer."""
    kind: str
    """The kind of error that ended it, or empty."""
    is_stream: bool
    """Whether the answer was a stream."""
    cache: str
    """`exact` or `semantic` for an answer from the cache, else empty."""
    is_estimated: bool
    """Whether some of its tokens are the gateway's own count."""
    is_unpriced: bool
    """Whether some of its cost is not known."""
    tokens: dict[str, int]
    """What it used, by kind; kinds without any are left out."""
    cost_usd: str
    """What it cost in US dollars, exactly."""
    attempts: list[BookedAttempt]
    """Every try, in order."""


class Wanted(Struct, frozen=True, kw_only=True):
    """Which exchanges to list; empty fields do not narrow."""

    id: str = ""
    consumer: str = ""
    """A path, or all below one: `acme/*`."""
    key_id: str = ""
    model: str = ""
    surface: str = ""
    kind: str = ""
    status: int | None = None
    since_us: int | None = None
    until_us: int | None = None


def list_exchanges(
    engine: Engine, wanted: Wanted, *, after: Place | None = None, limit: int = 50
) -> tuple[list[BookedExchange], Place | None]:
    """Exchanges, the newest first, and the place where the next page begins, None on the last."""
    table = EXCHANGES.c
    query = select(EXCHANGES)
    for name in ("id", "model", "surface"):
        if text := getattr(wanted, name):
            query = query.where(table[name] == text)
    query = narrow(query, key_id=wanted.key_id, kind=wanted.kind, status=wanted.status)
    if wanted.since_us is not None:
        query = query.where(table.started_at_us >= wanted.since_us)
    if wanted.until_us is not None:
        query = query.where(table.started_at_us < wanted.until_us)
    if after is not None:
        # The first condition says nothing new, but it is the one that the index knows.
        place = tuple_(table.started_at_us, table.journal, table.number)
        behind = place < tuple_(after.started_at_us, after.journal, after.number)
        query = query.where(table.started_at_us <= after.started_at_us, behind)
    with reading(engine) as connection:
        rows = connection.execute(newest_first(connection, query, wanted.consumer).limit(limit + 1)).all()
        attempts = _attempts(connection, rows[:limit])
    found = [_exchange(row, attempts.get((row.journal, row.number), [])) for row in rows[:limit]]
    last = found[-1] if len(rows) > limit else None
    return found, Place(last.started_at_us, last.journal, last.number) if last is not None else None


def _attempts(connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, int], list[BookedAttempt]]:
    numbers: dict[str, list[int]] = {}
    for row in rows:
        numbers.setdefault(row.journal, []).append(row.number)
    found: dict[tuple[str, int], list[BookedAttempt]] = {}
    table = ATTEMPTS.c
    for journal, of_journal in numbers.items():
        query = select(ATTEMPTS).where(table.journal == journal, table.number.in_(of_journal))
        for row in connection.execute(query.order_by(table.number, table.position)):
            found.setdefault((row.journal, row.number), []).append(_attempt(row))
    return found


def _exchange(row: Row[Any], attempts: list[BookedAttempt]) -> BookedExchange:
    return BookedExchange(
        row.journal,
        row.number,
        row.id,
        row.started_at_us,
        row.duration_us,
        row.first_byte_us,
        row.consumer,
        row.end_user,
        row.key_id,
        row.surface,
        row.model,
        row.requested_model,
        row.status,
        row.kind,
        row.is_stream,
        row.cache,
        row.is_estimated,
        row.is_unpriced,
        _tokens(row),
        exact_usd(row.cost_nano * FEMTO_PER_NANO + row.cost_rest_femto),
        attempts,
    )


def _attempt(row: Row[Any]) -> BookedAttempt:
    return BookedAttempt(
        row.provider,
        row.provider_type,
        row.upstream_model,
        row.outcome,
        row.is_estimated,
        row.is_unpriced,
        row.price_version,
        row.upstream_ms,
        _tokens(row),
        exact_usd(row.cost_nano * FEMTO_PER_NANO + row.cost_rest_femto),
    )


def _tokens(row: Row[Any]) -> dict[str, int]:
    return {name: count for name in TOKEN_COLUMNS if (count := getattr(row, name))}
