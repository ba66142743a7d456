"""Writes columns of the ledger into its tables, thousands of rows at once: each database in its cheapest way.

SQLite gets many rows with one statement, and what is the same in all of them once, for most of the time would go into
handing over the values one by one. PostgreSQL gets its own format of rows (COPY), and sums as one JSON document, since
COPY cannot add to rows that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Table

from gatewright.control.ledger_columns import COUNTS, GROUP, Columns
from gatewright.store.tables import FEMTO_PER_NANO, TOKEN_COLUMNS

_ROWS: Final = 50
"""In one statement for SQLite. With more of them, less is saved than goes into preparing the statement."""
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})
"""https://www.postgresql.org/docs/current/sql-copy.html, "Text Format"."""


def insert(connection: Connection, table: Table, columns: Columns) -> None:
    """Write rows, all of them new, in the order of their primary key. Columns that are left out have their default."""
    if connection.dialect.name == "sqlite":
        _insert_many(connection, table.name, columns, "")
    else:
        _copy(connection, table.name, columns)


def add_up(connection: Connection, table: Table, columns: Columns) -> None:
    """Add to the rows of sums, and make those that are not there; each key occurs once.

    Rows are locked in the order in which they come. When that is the keys' order, two that book at once cannot wait for
    each other.
    """
    names = tuple(columns)
    conflict = _adding(table.name, names)
    if connection.dialect.name == "sqlite":
        _insert_many(connection, table.name, columns, conflict)
        return
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    listed = ", ".join(names)
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({listed})"
        f" SELECT {listed} FROM json_populate_recordset(NULL::{table.name}, %s::json) {conflict}",
        (msgspec.json.encode(rows).decode(),),
    )


@lru_cache(64)
def _adding(table: str, names: tuple[str, ...]) -> str:
    """What an INSERT does with rows whose key is there already."""
    sums = [name for name in (*COUNTS, *TOKEN_COLUMNS) if name in names]
    rest = f"({table}.cost_rest_femto + excluded.cost_rest_femto)"
    carry = f"{rest} / {FEMTO_PER_NANO}"
    changes = [
        "provider_type = excluded.provider_type",
        *(f"{name} = {table}.{name} + excluded.{name}" for name in sums),
        f"cost_nano = {table}.cost_nano + excluded.cost_nano + {carry}",
        f"cost_rest_femto = {rest} - {FEMTO_PER_NANO} * ({carry})",
    ]
    return f"ON CONFLICT ({', '.join((names[0], *GROUP))}) DO UPDATE SET {', '.join(changes)}"


# -- SQLite -----------------------------------------------------------------------------------------------------------


def _insert_many(connection: Connection, table: str, columns: Columns, conflict: str) -> None:
    size = len(next(iter(columns.values())))
    full = size // _ROWS * _ROWS
    if full:
        once = {name: column[0] for name, column in columns.items() if _is_constant(column)}
        many = [column for name, column in columns.items() if name not in once]
        names = (*once, *(name for name in columns if name not in once))
        statement = _statement(table, names, len(once), _ROWS, conflict)
        values = chain.from_iterable(zip(*(column[:full] for column in many), strict=True))
        # As often from one iterator as a statement has values: each step takes those of its rows.
        parts = zip(*[values] * (_ROWS * len(many)), strict=True)
        connection.exec_driver_sql(statement, [(*once.values(), *part) for part in parts])
    if full < size:
        rest = list(zip(*(column[full:] for column in columns.values()), strict=True))
        connection.exec_driver_sql(_statement(table, tuple(columns), 0, 1, conflict), rest)


def _is_constant(column: Sequence[Any]) -> bool:
    first = column[0]
    return bool(column[-1] == first) and column.count(first) == len(column)


@lru_cache(64)
def _statement(table: str, names: tuple[str, ...], once: int, rows: int, conflict: str) -> str:
    """An INSERT whose first parameters are the same for all of its rows; the others follow, row by row."""
    shared = [f"?{place}" for place in range(1, once + 1)]
    row = f"({', '.join([*shared, *['?'] * (len(names) - once)])})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)} {conflict}"


# -- PostgreSQL -------------------------------------------------------------------------------------------------------


def _copy(connection: Connection, table: str, columns: Columns) -> None:
    lines = map("\t".join, zip(*map(_copied, columns.values()), strict=True))
    text = "".join(f"{line}\n" for line in lines)
    # The driver's own connection, which takes part in the same transaction.
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        copy.write(text)


def _copied(column: Sequence[Any]) -> Iterable[str]:
    """A column in COPY's text format."""
    if not isinstance(column[0], str):
        return map(str, column)
    distinct = set(column)
    text = "".join(distinct)
    if text.isprintable() and "\\" not in text:
        return column
    escaped: Mapping[str, str] = {value: value.translate(_ESCAPES) for value in distinct}
    return map(escaped.__getitem__, column)
