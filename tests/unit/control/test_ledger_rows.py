"""Writing columns: what stands in the table is what was in them, however many rows and whatever the values."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from tests.ledger_entries import entry, random_entries

from gatewright.control.ledger_columns import Columns, build_batch
from gatewright.control.ledger_rows import add_up, insert
from gatewright.store.tables import ATTEMPTS, EXCHANGES, USAGE_HOURS


def rows(engine: Engine, table: Any) -> list[dict[str, Any]]:
    with engine.begin() as connection:
        found = connection.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row._mapping) for row in found]


def expected(columns: Columns, table: Any) -> list[dict[str, Any]]:
    zeros = {column.name: 0 for column in table.columns}
    found = [zeros | dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return sorted(found, key=lambda row: [row[column.name] for column in table.primary_key.columns])


@pytest.mark.parametrize("count", [1, 49, 50, 51, 100, 237])
def test_rows_are_those_of_the_columns(database: Engine, count: int) -> None:
    batch = build_batch("j", random_entries(count, count))
    with database.begin() as connection:
        insert(connection, EXCHANGES, batch.exchanges)
        insert(connection, ATTEMPTS, batch.attempts)
    assert rows(database, EXCHANGES) == expected(batch.exchanges, EXCHANGES)
    assert rows(database, ATTEMPTS) == expected(batch.attempts, ATTEMPTS)


@pytest.mark.parametrize(
    "text", ["tab\t", "line\n", "return\r", "back\\slash", "\\N", "\\.", "'; --", "%s", "?1", "é🚀", ""]
)
def test_a_text_comes_through(database: Engine, text: str) -> None:
    """Whatever it is: what a report must not print is out of the columns before."""
    batch = build_batch("j", [entry(n) for n in range(1, 61)])
    with database.begin() as connection:
        insert(connection, EXCHANGES, {**batch.exchanges, "end_user": [text] * 60})
        add_up(connection, USAGE_HOURS, {**batch.hours, "model": [text] * len(batch.hours["model"])})
    assert [row["end_user"] for row in rows(database, EXCHANGES)] == [text] * 60
    assert [row["model"] for row in rows(database, USAGE_HOURS)] == [text]


def test_adding_makes_rows_and_adds_to_those_that_are_there(database: Engine) -> None:
    hours = build_batch("j", random_entries(5, 3_000)).hours
    some: Columns = {name: column[::2] for name, column in hours.items()}
    assert len(some["hour"]) > 100
    for columns in (some, hours):
        with database.begin() as connection:
            add_up(connection, USAGE_HOURS, columns)
    key = ("hour", "consumer", "model", "provider", "upstream_model", "provider_type")
    for place, (row, one) in enumerate(zip(rows(database, USAGE_HOURS), expected(hours, USAGE_HOURS), strict=True)):
        times = 1 if place % 2 else 2
        femto = times * (one.pop("cost_nano") * 1_000_000 + one.pop("cost_rest_femto"))
        assert row.pop("cost_nano") * 1_000_000 + row["cost_rest_femto"] == femto
        assert row.pop("cost_rest_femto") < 1_000_000
        assert row == {name: value if name in key else value * times for name, value in one.items()}


def test_rows_that_are_there_are_refused(database: Engine) -> None:
    batch = build_batch("j", random_entries(1, 120))
    with database.begin() as connection:
        insert(connection, EXCHANGES, batch.exchanges)
    # COPY is beside SQLAlchemy, so what the driver raises there is not wrapped.
    dbapi: Any = database.dialect.loaded_dbapi
    with (
        pytest.raises((dbapi.IntegrityError, IntegrityError), match=r"UNIQUE|duplicate"),
        database.begin() as connection,
    ):
        insert(connection, EXCHANGES, batch.exchanges)
    assert len(rows(database, EXCHANGES)) == 120
