"""Both ways to the newest exchanges give the same, on every kind of database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select

from gatewright.control import newest
from gatewright.control.newest import narrow, narrowed_to, newest_first
from gatewright.store.database import migrate, open_database, reading
from gatewright.store.tables import CONSUMERS as KEPT
from gatewright.store.tables import EXCHANGES

CONSUMERS = ("acme/a/x", "acme/b/y", "acme", "acme0", "b/c/d", "Acme/z")


def fill(database: Engine) -> Engine:
    numbers = {column.name: 0 for column in EXCHANGES.columns if column.type.python_type in (int, bool)}
    texts = {column.name: "" for column in EXCHANGES.columns if column.type.python_type is str}
    rows = [
        {**numbers, **texts, "is_stream": False, "is_estimated": False, "is_unpriced": False}
        | {"journal": f"j{n % 2}", "number": n, "started_at_us": n // 3, "consumer": CONSUMERS[n % len(CONSUMERS)]}
        | {"status": (200, 429)[n % 2], "kind": ("", "rate_limited")[n % 2], "key_id": ("", "k1")[n % 5 == 0]}
        for n in range(120)
    ]
    with database.begin() as connection:
        connection.execute(insert(EXCHANGES), rows)
    return database


@pytest.fixture
def filled(database: Engine) -> Engine:
    return fill(database)


@pytest.mark.parametrize("consumer", ["", "acme/*", "acme/a/x", "acme*", "nobody/*", "acme", "*", "acme/%"])
def test_few_or_many_the_newest_come_first(filled: Engine, monkeypatch: pytest.MonkeyPatch, consumer: str) -> None:
    prefix = consumer.rstrip("*")
    wanted = [name for name in CONSUMERS if name == consumer or (consumer.endswith("*") and name.startswith(prefix))]
    with reading(filled) as connection:
        rows = connection.execute(select(EXCHANGES)).all()
        expected = sorted(
            [(row.started_at_us, row.journal, row.number) for row in rows if not consumer or row.consumer in wanted],
            reverse=True,
        )
        for few in (10_000, 0):
            monkeypatch.setattr(newest, "FEW", few)
            found = connection.execute(newest_first(connection, select(EXCHANGES), consumer)).all()
            assert [(row.started_at_us, row.journal, row.number) for row in found] == expected
            page = connection.execute(newest_first(connection, select(EXCHANGES), consumer).limit(7)).all()
            assert page == found[:7]


@pytest.mark.parametrize("few", [10_000, 0])
def test_what_narrows_a_query_holds_either_way(filled: Engine, monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(newest, "FEW", few)
    with reading(filled) as connection:
        query = narrow(select(EXCHANGES), key_id="k1", kind="rate_limited", status=429)
        found = connection.execute(newest_first(connection, query, "acme*")).all()
        assert {(row.key_id, row.kind, row.status) for row in found} == {("k1", "rate_limited", 429)}
        assert len(found) == sum(1 for n in range(120) if n % 5 == 0 and n % 2 and CONSUMERS[n % 6].startswith("acme"))


@pytest.mark.parametrize(
    ("conditions", "index"),
    [
        ({"key_id": "k1"}, "ix_exchanges_newest_of_key"),
        ({"kind": "rate_limited"}, "ix_exchanges_newest_of_kind"),
        ({"status": 418}, "ix_exchanges_newest_of_status"),
    ],
)
def test_sqlite_finds_the_partial_index(tmp_path: Path, conditions: dict[str, object], index: str) -> None:
    engine = open_database(None, tmp_path)
    migrate(engine)
    with reading(fill(engine)) as connection:
        query = newest_first(connection, narrow(select(EXCHANGES), **conditions))  # type: ignore[arg-type]
        compiled = query.compile(connection)
        values = tuple(compiled.params[name] for name in compiled.positiontup or ())
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
        assert index in str(plan)
        assert "TEMP B-TREE" not in str(plan)


@pytest.mark.parametrize("pattern", ["acme/*", "acme/a/x", "*", "nobody/*"])
@pytest.mark.parametrize("few", [10_000, 0])
def test_another_table_is_narrowed_either_way(
    filled: Engine, monkeypatch: pytest.MonkeyPatch, few: int, pattern: str
) -> None:
    monkeypatch.setattr(newest, "FEW", few)
    begins, is_range = pattern.rstrip("*"), pattern.endswith("*")
    with filled.begin() as connection:
        rows = [{"path": path, "details": {}, "created_at": 0} for path in CONSUMERS]
        connection.execute(insert(KEPT), rows)
        found = connection.scalars(select(KEPT.c.path).where(narrowed_to(connection, KEPT.c.path, pattern))).all()
    assert set(found) == {path for path in CONSUMERS if path == begins or (is_range and path.startswith(begins))}
