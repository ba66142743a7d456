"""One suite over every kind of database: opening, migrating, transactions, and that they all order text alike."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, event, func, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from gatewright.store.database import (
    VERSION_TABLE,
    Status,
    UnusableDatabase,
    migrate,
    open_database,
    reading,
    status,
)
from gatewright.store.tables import ALERTS, CONSUMERS, METADATA, REVISIONS, USAGE_DAYS


def test_an_empty_database_is_brought_to_the_newest_migration(database_url: str, tmp_path: Path) -> None:
    engine = open_database(database_url, tmp_path)
    before = status(engine)
    assert before.at is None
    assert not before.is_current
    migrate(engine)
    assert status(engine) == Status(before.newest, before.newest)
    assert status(engine).is_current
    engine.dispose()


def test_migrations_and_tables_agree(database: Engine) -> None:
    # Alembic cannot tell an empty text from none as SQLite's default.
    options = {"version_table": VERSION_TABLE, "compare_server_default": database.dialect.name != "sqlite"}
    with database.begin() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), METADATA) == []
    found = inspect(database)
    for table in METADATA.tables.values():
        # What Alembic does not compare.
        assert found.get_pk_constraint(table.name)["constrained_columns"] == [c.name for c in table.primary_key.columns]
        assert {index["name"]: index["column_names"] for index in found.get_indexes(table.name)} == {
            index.name: [column.name for column in index.columns] for index in table.indexes
        } | {
            str(unique["name"]): unique["column_names"]
            for unique in found.get_unique_constraints(table.name)
            if database.dialect.name == "postgresql"
        }


def test_every_replica_may_migrate_at_the_same_time(database_url: str, tmp_path: Path) -> None:
    engines = [open_database(database_url, tmp_path) for _ in range(6)]
    start, failures = threading.Barrier(len(engines)), []

    def run(engine: Engine) -> None:
        start.wait()
        try:
            migrate(engine)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert status(engines[0]).is_current
    for engine in engines:
        engine.dispose()


def test_a_migration_that_fails_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    engine = open_database(database_url, tmp_path)

    @event.listens_for(engine, "before_cursor_execute")
    def break_off(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "usage_days" in statement:
            raise RuntimeError("the machine went down")

    with pytest.raises(RuntimeError, match="went down"):
        migrate(engine)
    event.remove(engine, "before_cursor_execute", break_off)
    assert inspect(engine).get_table_names() == []
    migrate(engine)
    assert status(engine).is_current
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    for call in (migrate, status):
        with pytest.raises(UnusableDatabase, match="migration 9999, which this gatewright does not know") as refused:
            call(database)
        assert "newer gatewright" in (refused.value.hint or "")
    with reading(database) as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999"


def test_a_transaction_that_reads_and_then_writes_loses_no_update(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(insert(REVISIONS).values(subject="keys", value=0))
    failures: list[Exception] = []

    def raise_often() -> None:
        for _ in range(25):
            try:
                with database.begin() as connection:
                    now = connection.scalar(select(REVISIONS.c.value).with_for_update())
                    connection.execute(update(REVISIONS).values(value=now + 1))  # type: ignore[operator]
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=raise_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with reading(database) as connection:
        assert connection.scalar(select(REVISIONS.c.value)) == 100


def test_what_fails_is_rolled_back_whole(database: Engine) -> None:
    write = insert(REVISIONS).values(subject="keys", value=1)
    with pytest.raises(IntegrityError), database.begin() as connection:
        assert [connection.execute(write) for _ in range(2)] == []
    with reading(database) as connection:
        assert connection.scalar(select(func.count()).select_from(REVISIONS)) == 0


def test_a_reader_sees_one_state_and_holds_up_no_writer(database: Engine) -> None:
    with reading(database) as reader:
        assert reader.scalar(select(func.count()).select_from(REVISIONS)) == 0
        with database.begin() as writer:
            writer.execute(insert(REVISIONS).values(subject="keys", value=1))
        assert reader.scalar(select(func.count()).select_from(REVISIONS)) == 0
    with reading(database) as reader:
        assert reader.scalar(select(func.count()).select_from(REVISIONS)) == 1


def test_a_reader_beside_an_unfinished_write_does_not_wait(database: Engine) -> None:
    with database.begin() as writer:
        writer.execute(insert(REVISIONS).values(subject="keys", value=1))
        with reading(database) as reader:
            assert reader.scalar(select(func.count()).select_from(REVISIONS)) == 0


def test_a_read_only_engine_reads_and_refuses_to_write(database: Engine, database_url: str, tmp_path: Path) -> None:
    with database.begin() as connection:
        connection.execute(insert(REVISIONS).values(subject="keys", value=1))
    engine = open_database(database_url, tmp_path, read_only=True)
    with reading(engine) as connection:
        assert connection.scalar(select(REVISIONS.c.value)) == 1
    with pytest.raises(DBAPIError, match=r"read-?only"), engine.begin() as connection:
        connection.execute(update(REVISIONS).values(value=2))
    engine.dispose()


def test_text_is_ordered_by_code_points(database: Engine) -> None:
    paths = ["acme", "acme-eu/x", "acme/a", "Acme/b", "acme/ä", "acme0", "zeta", "ÄCME", "😀", "\uffee"]
    with database.begin() as connection:
        rows = [{"path": path, "details": {}, "created_at": 0} for path in paths]
        connection.execute(insert(CONSUMERS), rows)
    with reading(database) as connection:
        found = connection.scalars(select(CONSUMERS.c.path).order_by(CONSUMERS.c.path)).all()
        assert found == sorted(paths)
        below = select(CONSUMERS.c.path).where(CONSUMERS.c.path >= "acme/", CONSUMERS.c.path < "acme0")
        assert set(connection.scalars(below)) == {"acme/a", "acme/ä"}


def test_whole_numbers_of_64_bits_survive(database: Engine) -> None:
    names = [column.name for column in USAGE_DAYS.columns if column.name not in ("consumer", "model", "provider")]
    row = dict.fromkeys(names, 2**63 - 1) | {"upstream_model": "m", "provider_type": "t"}
    with database.begin() as connection:
        connection.execute(insert(USAGE_DAYS), [row | {"consumer": "c", "model": "m", "provider": "p"}])
    with reading(database) as connection:
        assert connection.scalar(select(USAGE_DAYS.c.cost_nano)) == 2**63 - 1


def test_hostile_text_is_only_text(database: Engine) -> None:
    hostile = ["'; DROP TABLE alerts; --", '" OR 1=1 --', "%s %(key)s :key ?", "a\\'b"]
    with database.begin() as connection:
        connection.execute(insert(ALERTS), [{"key": each, "threshold": 1, "at_us": 0} for each in hostile])
    with reading(database) as connection:
        for each in hostile:
            assert connection.scalar(select(func.count()).select_from(ALERTS).where(ALERTS.c.key == each)) == 1


@pytest.mark.sockets
def test_a_statement_that_takes_too_long_is_ended(postgresql_url: str, tmp_path: Path) -> None:
    engine = open_database(postgresql_url, tmp_path, statement_timeout_s=0.05)
    with pytest.raises(DBAPIError, match="statement timeout"), engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(10)"))
    # A migration may take as long as it must.
    migrate(engine)
    assert status(engine).is_current
    engine.dispose()


@pytest.mark.sockets
def test_a_connection_that_was_cut_is_replaced(postgresql_url: str, tmp_path: Path) -> None:
    engine = open_database(postgresql_url, tmp_path, pool_size=1)
    other = open_database(postgresql_url, tmp_path)
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    with other.begin() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != pid
    engine.dispose()
    other.dispose()
