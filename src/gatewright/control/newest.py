"""Which way leads to the newest exchanges, however many there are.

Exchanges are found by time, or by one of the indexes that begin with a consumer, model, key, kind or status and go on
with the time. A path's `acme/*` is a range, behind which nothing is ordered by time any more: few matches are best
collected and sorted, many are best met on the way back through time. Neither SQLite nor PostgreSQL knows which it is
(each was measured to take the wrong way, for a hundred times as long), so it is looked up first, and said so that they
cannot choose otherwise.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Select, func, literal, select

from gatewright.control.usage import matches
from gatewright.store.tables import EXCHANGES, HAS_KEY, HAS_KIND, NOT_200

FEW: Final = 10_000
"""Matches that are sorted at once; with more of them, a page's worth is soon met on the way back through time."""


def newest_first(connection: Connection, query: Select[Any], consumer: str = "") -> Select[Any]:
    """The query for exchanges, narrowed to a consumer or to all that a pattern (`acme/*`) stands for, newest first.

    `query` selects the columns of `EXCHANGES`, with its conditions but without an order or limit.
    """
    if not consumer.endswith("*"):
        narrowed = query.where(EXCHANGES.c.consumer == consumer) if consumer else query
        return narrowed.order_by(*_newest(EXCHANGES.c))
    if _matches(connection, consumer) <= FEW:
        found = query.where(matches(EXCHANGES.c.consumer, consumer)).cte("found").prefix_with("MATERIALIZED")
        return select(found).order_by(*_newest(found.c))
    column = EXCHANGES.c.consumer
    # To SQLite an expression instead of the column, which the index on the consumer does not know. PostgreSQL has its
    # statistics of what is common, and would lose them by that.
    path = column.concat("") if connection.dialect.name == "sqlite" else column
    return query.where(matches(path, consumer)).order_by(*_newest(EXCHANGES.c))


def narrow(query: Select[Any], *, key_id: str = "", kind: str = "", status: int | None = None) -> Select[Any]:
    """The query with these conditions, each in the words by which its partial index is found."""
    if key_id:
        query = query.where(EXCHANGES.c.key_id == key_id, HAS_KEY)
    if kind:
        query = query.where(EXCHANGES.c.kind == kind, HAS_KIND)
    if status is not None:
        query = query.where(EXCHANGES.c.status == status)
        query = query.where(NOT_200) if status != 200 else query
    return query


def _matches(connection: Connection, consumer: str) -> int:
    """How many exchanges a pattern stands for; one more than `FEW` is many."""
    some = select(literal(1)).where(matches(EXCHANGES.c.consumer, consumer)).limit(FEW + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _newest(columns: Any) -> list[Any]:
    return [columns.started_at_us.desc(), columns.journal.desc(), columns.number.desc()]
