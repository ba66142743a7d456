"""Which way leads to the newest exchanges, however many there are.

Exchanges are found by time, or by one of the indexes that begin with a consumer, model, key, kind or status and go on
with the time. A path's `acme/*` is a range, behind which nothing is ordered by time any more: few matches are best
collected and sorted, many are best met on the way back through time. Neither SQLite nor PostgreSQL knows which it is
(each was measured to take the wrong way, for a hundred times as long), so it is looked up first, and said so that they
cannot choose otherwise.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select

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
    if not _is_common(connection, EXCHANGES.c.consumer, consumer):
        found = query.where(matches(EXCHANGES.c.consumer, consumer)).cte("found").prefix_with("MATERIALIZED")
        return select(found).order_by(*_newest(found.c))
    return query.where(_on_the_way(connection, EXCHANGES.c.consumer, consumer)).order_by(*_newest(EXCHANGES.c))


def narrowed_to(connection: Connection, column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """The condition that a column of another table, which is read newest first, too, is what a pattern stands for."""
    if pattern.endswith("*") and _is_common(connection, column, pattern):
        return _on_the_way(connection, column, pattern)
    return matches(column, pattern)


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


def _is_common(connection: Connection, column: ColumnElement[str], pattern: str) -> bool:
    """Whether a pattern stands for more than `FEW` rows."""
    some = select(literal(1)).where(matches(column, pattern)).limit(FEW + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one()) > FEW


def _on_the_way(connection: Connection, column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """The condition for what is common, so that it is met on the way back through time.

    To SQLite it is an expression instead of the column, which the index on the column does not know. PostgreSQL has its
    statistics of what is common, and would lose them by that.
    """
    return matches(column.concat("") if connection.dialect.name == "sqlite" else column, pattern)


def _newest(columns: Any) -> list[Any]:
    return [columns.started_at_us.desc(), columns.journal.desc(), columns.number.desc()]
