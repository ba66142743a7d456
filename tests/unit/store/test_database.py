"""What opening a database says without one being there; how databases behave is in tests/contract/test_database.py."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from gatewright.store import database
from gatewright.store.database import UnusableDatabase, migrate, open_database, reading, status


def test_without_a_url_the_database_is_a_private_file_in_the_state_directory(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path)
    assert not (tmp_path / database.FILE).exists()
    migrate(engine)
    assert stat.S_IMODE((tmp_path / database.FILE).stat().st_mode) == 0o600
    engine.dispose()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_what_root_makes_belongs_to_the_owner_of_the_state_directory(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    engine = open_database(None, tmp_path)
    migrate(engine)
    assert {file.stat().st_uid for file in tmp_path.iterdir()} == {65534}
    engine.dispose()
    with reading(open_database(None, tmp_path, read_only=True)) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
        assert {file.name for file in tmp_path.iterdir()} >= {database.FILE, f"{database.FILE}-shm"}
        assert {file.stat().st_uid for file in tmp_path.iterdir()} == {65534}


def test_a_place_where_nothing_can_be_made_is_named(tmp_path: Path) -> None:
    engine = open_database(None, tmp_path / "missing")
    with pytest.raises(UnusableDatabase, match="cannot make the database"):
        migrate(engine)


def test_a_name_that_means_something_in_a_uri_is_only_a_name(tmp_path: Path) -> None:
    state = tmp_path / "100% ? #1 &mode=ro"
    state.mkdir()
    engine = open_database(None, state)
    migrate(engine)
    engine.dispose()
    assert (state / database.FILE).exists()


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 1), ("foreign_keys", 1), ("busy_timeout", 30_000)]
)
def test_sqlite_is_set_up(tmp_path: Path, pragma: str, value: object) -> None:
    engine = open_database(None, tmp_path)
    with reading(engine) as connection:
        assert connection.scalar(text(f"PRAGMA {pragma}")) == value
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hunter2", "the database URL is none"),
        ("mysql://root:hunter2@db/x", "begins with postgresql://, not with mysql://"),
        ("sqlite://", "begins with postgresql://, not with sqlite://"),
        ("sqlite:///:memory:", "begins with postgresql://, not with sqlite://"),
        ("postgresql+asyncpg://u:hunter2@db/x", "not with postgresql+asyncpg://"),
        ("postgresql://u:hunter2@db:port/x", "the database URL is none"),
    ],
)
def test_another_url_is_refused_without_showing_it(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(UnusableDatabase) as refused:
        open_database(url, tmp_path)
    assert message in refused.value.message
    assert "hunter2" not in str(refused.value)


def test_a_missing_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "find_spec", lambda name: None)
    with pytest.raises(UnusableDatabase) as refused:
        open_database("postgresql://u@db/x", tmp_path)
    assert refused.value.hint == "pip install 'gatewright[postgres]'"


def test_what_nobody_made_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnusableDatabase, match="there is no database at"):
        open_database(None, tmp_path, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_reached_says_why_and_keeps_the_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    engine = open_database(f"postgresql://u:hunter2@/x?host={tmp_path}", tmp_path)
    for call in (migrate, status):
        with pytest.raises(UnusableDatabase, match="the database cannot be used") as refused:
            call(engine)
        assert "hunter2" not in str(refused.value)
    assert "hunter2" not in repr(engine)


def test_a_file_that_is_no_database_is_an_error_not_a_loss(tmp_path: Path) -> None:
    file = tmp_path / database.FILE
    file.write_bytes(b"something else" * 100)
    engine = open_database(None, tmp_path)
    with pytest.raises(UnusableDatabase, match="not a database"):
        migrate(engine)
    assert file.read_bytes() == b"something else" * 100
    engine.dispose()


def test_an_error_does_not_hold_the_values_of_its_statement(tmp_path: Path) -> None:
    engine = database.open_database(None, tmp_path)
    with pytest.raises(OperationalError) as raised, engine.begin() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:digest)"), {"digest": "the-digest-of-a-key"})
    engine.dispose()
    assert "the-digest-of-a-key" not in str(raised.value)
