"""The ledger writer: everything is booked once, whatever the database and the disk do meanwhile."""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from tests.ledger_entries import booked_ids, random_entries

from gatewright.config.ledger import Ledger
from gatewright.control import ledger_writer
from gatewright.control.ledger_booking import book
from gatewright.control.ledger_verify import verify
from gatewright.control.ledger_writer import LedgerWriter
from gatewright.core.ledger import Entry
from gatewright.store import journal as journal_module
from gatewright.store.database import UnusableDatabase, migrate, open_database
from gatewright.store.journal import Journal
from gatewright.store.journal_reader import list_journals, list_segments

LIMIT_S = 30.0


def write(journal: Journal, entries: list[Entry]) -> None:
    for one in entries:
        journal.add(*(getattr(one, field) for field in Entry.__struct_fields__[1:]))
        journal.tick()
    while journal.waiting:
        journal.tick()
        os.sched_yield()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_S
    step = threading.Event()
    while not is_so():
        assert time.monotonic() < end, "it never came to be"
        step.wait(0.005)


class Setting:
    """A state directory with its journals, a database file and a writer."""

    def __init__(self, state: Path) -> None:
        self.journals = state / "journal"
        self.state = state
        self.file = state / "gatewright.db"
        self.keys: dict[str, int] = {}
        self.timeout_s = 0.05

    def open(self) -> Engine:
        engine = open_database(None, self.state, pool_size=1, statement_timeout_s=self.timeout_s)
        migrate(engine)
        return engine

    def used(self, keys: Mapping[str, int]) -> None:
        self.keys |= keys

    @contextmanager
    def writing(self, database: Callable[[], Engine] | None = None) -> Iterator[LedgerWriter]:
        writer = LedgerWriter(self.journals, database or self.open, Ledger(), self.used, poll_s=0.005)
        writer.start()
        try:
            yield writer
        finally:
            writer.stop(LIMIT_S)

    def journal(self, name: str = "j") -> Journal:
        return Journal(self.journals, name, Ledger())

    def check(self, entries: int) -> None:
        engine = self.open()
        ids = booked_ids(engine)
        assert (len(ids), sum(ids.values())) == (entries, entries)
        assert verify(engine, self.journals).problems == []
        engine.dispose()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    for name, value in (("SEGMENT_BYTES", 65_536), ("_END", 65_528), ("_RESERVE_BYTES", 32_768)):
        monkeypatch.setattr(journal_module, name, value)
    return Setting(tmp_path)


def test_entries_go_into_the_database_while_they_are_written(place: Setting) -> None:
    with place.writing() as writer:
        journal = place.journal()
        write(journal, random_entries(1, 300))
        until(lambda: writer.status().booked == 300)
        write(journal, random_entries(2, 300))
        until(lambda: writer.status().booked == 600)
        status = writer.status()
        assert (status.failures, status.error, status.stuck) == (0, "", ())
        until(lambda: writer.status().waiting == 0)
        journal.close()
        until(lambda: list_journals(place.journals) == [])
    assert set(place.keys) == {"k1", "k2"}
    place.check(600)


def test_segments_go_when_they_are_booked(place: Setting) -> None:
    journal = place.journal()
    write(journal, random_entries(1, 1_000))
    before = list_segments(place.journals / "j")
    assert len(before) > 2
    with place.writing() as writer:
        until(lambda: writer.status().booked == 1_000)
        until(lambda: list(list_segments(place.journals / "j")) == list(before)[-1:])
    journal.close()


def test_what_is_left_from_another_life_is_booked(place: Setting) -> None:
    for seed in range(5):
        journal = place.journal(f"j{seed}")
        write(journal, random_entries(seed, 40))
        journal.close()
    for name in (".half.new", ".young.new"):
        (place.journals / name).mkdir()
    os.utime(place.journals / ".half.new", (0, 0))
    with place.writing() as writer:
        until(lambda: writer.status().booked == 200)
        until(lambda: {path.name for path in place.journals.iterdir()} == {ledger_writer.LOCK_FILE, ".young.new"})
    place.check(200)


def test_stopping_books_the_rest(place: Setting) -> None:
    journal = place.journal()
    write(journal, random_entries(1, 5_000))
    with place.writing():
        pass
    journal.close()
    place.check(5_000)


def test_a_writer_goes_on_where_another_ended(place: Setting) -> None:
    journal = place.journal()
    for seed in range(4):
        write(journal, random_entries(seed, 50))
        with place.writing():
            pass
    journal.close()
    place.check(200)


def test_two_writers_take_turns(place: Setting) -> None:
    journal = place.journal()
    with place.writing() as one:
        write(journal, random_entries(1, 50))
        until(lambda: one.status().booked == 50)
        with place.writing() as two:
            write(journal, random_entries(2, 50))
            until(lambda: one.status().booked == 100)
            assert two.status().booked == 0
            one.stop(LIMIT_S)
            write(journal, random_entries(3, 50))
            until(lambda: two.status().booked == 50)
    journal.close()
    place.check(150)


def test_a_locked_database_is_waited_for(place: Setting) -> None:
    place.open().dispose()
    journal = place.journal()
    other = sqlite3.connect(place.file, isolation_level=None)
    with place.writing() as writer:
        other.execute("BEGIN EXCLUSIVE")
        write(journal, random_entries(1, 500))
        until(lambda: writer.status().failures >= 2)
        status = writer.status()
        assert status.booked == 0
        assert "database is locked" in status.error
        until(lambda: writer.status().waiting == 500)
        assert writer.status().lag_s > 0
        other.execute("ROLLBACK")
        until(lambda: writer.status().booked == 500)
        until(lambda: writer.status().error == "")
        assert writer.status().waiting == 0
        assert writer.status().lag_s == 0
    other.close()
    journal.close()
    place.check(500)


def test_a_database_that_is_away_at_the_start_is_waited_for(place: Setting) -> None:
    journal = place.journal()
    write(journal, random_entries(1, 100))
    is_there = threading.Event()
    # What a driver raises while a connection is set up is not wrapped.
    errors = itertools.cycle(
        [
            UnusableDatabase("connection refused"),
            sqlite3.OperationalError("connection refused"),
            OSError("connection refused"),
        ]
    )

    def database() -> Engine:
        if not is_there.is_set():
            raise next(errors)
        return place.open()

    with place.writing(database=database) as writer:
        until(lambda: writer.status().failures >= 3)
        until(lambda: writer.status().waiting == 100)
        assert "connection refused" in writer.status().error
        assert writer.status().lag_s > 0
        is_there.set()
        writer.poke()
        until(lambda: writer.status().booked == 100)
    journal.close()
    place.check(100)


def test_a_database_without_tables_is_opened_again(place: Setting) -> None:
    journal = place.journal()
    write(journal, random_entries(1, 10))
    engines = [create_engine("sqlite://"), place.open()]
    with place.writing(database=lambda: engines.pop(0)) as writer:
        until(lambda: writer.status().booked == 10)
        assert writer.status().failures == 1
    journal.close()


def test_a_database_that_was_deleted_is_noticed(place: Setting) -> None:
    """SQLite alone would write on into a file without a name. What the old one had is told as missing."""
    with place.writing() as writer:
        journal = place.journal("old")
        write(journal, random_entries(1, 20))
        until(lambda: writer.status().booked == 20)
        for path in place.state.glob("gatewright.db*"):
            path.unlink()
        later = place.journal("new")
        write(later, random_entries(2, 30))
        write(journal, random_entries(3, 10))
        # The segment is still there, so nothing is lost: it is booked again from the beginning.
        until(lambda: writer.status().booked == 80)
        assert writer.status().stuck == ()
    journal.close()
    later.close()
    place.check(60)


def test_an_older_copy_of_the_database_makes_a_journal_stick_if_its_segments_are_gone(place: Setting) -> None:
    journal, other = place.journal("a"), place.journal("b")
    with place.writing() as writer:
        write(journal, random_entries(1, 1_000))
        until(lambda: writer.status().booked == 1_000)
        until(lambda: len(list_segments(place.journals / "a")) == 1)
    for path in place.state.glob("gatewright.db*"):
        path.unlink()
    with place.writing() as writer:
        write(journal, random_entries(2, 10))
        write(other, random_entries(3, 10))
        until(lambda: writer.status().booked == 10)
        until(lambda: len(writer.status().stuck) == 1)
        (stuck,) = writer.status().stuck
        assert stuck.startswith("a: ")
        assert "the entries 1 to" in stuck
        first = next(iter(list_segments(place.journals / "a").values()))
        until(lambda: writer.status().waiting > 0)
    engine = place.open()
    problems = verify(engine, place.journals).problems
    assert f"journal a: entries 1 to {first - 1} are neither booked nor on the disk" in problems
    engine.dispose()
    journal.close()
    other.close()
    assert list_segments(place.journals / "a"), "nothing of it is deleted"


def test_a_damaged_journal_sticks_and_the_others_go_on(place: Setting) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        journal = place.journal(name)
        write(journal, random_entries(seed, 20))
        journal.close()
    segment = place.journals / "a/00000001.segment"
    data = bytearray(segment.read_bytes())
    data[60] ^= 1
    segment.write_bytes(data)
    with place.writing() as writer:
        until(lambda: writer.status().booked == 20)
        until(lambda: len(writer.status().stuck) == 1)
        assert "checksum" in writer.status().stuck[0]
    assert segment.exists()


def test_a_journal_the_database_refuses_does_not_hold_up_the_others(
    place: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(connection: Any, journal: str, entries: list[Entry]) -> Any:
        if journal == "a":
            connection.exec_driver_sql("INSERT INTO journals VALUES ('x', 0, 0, 0), ('x', 0, 0, 0)")
        return book(connection, journal, entries)

    monkeypatch.setattr(ledger_writer, "book", refusing)
    journals = [place.journal(name) for name in ("a", "b")]
    for seed, journal in enumerate(journals):
        write(journal, random_entries(seed, 20))
    with place.writing() as writer:
        until(lambda: writer.status().booked == 20)
        assert "UNIQUE constraint failed" in writer.status().error
        monkeypatch.undo()
        until(lambda: writer.status().booked == 40)
    for journal in journals:
        journal.close()


def test_the_old_are_deleted_when_that_is_wanted(place: Setting) -> None:
    journal = place.journal()
    write(journal, random_entries(1, 50))
    with place.writing() as writer:
        until(lambda: writer.status().booked == 50)
        assert writer.status().pruned == 0
        writer.configure(Ledger(keep_days=1))
        until(lambda: writer.status().pruned == 50)
    journal.close()
    place.check(0)


def test_what_is_booked_is_on_the_disk(place: Setting) -> None:
    engines: list[Engine] = []

    def database() -> Engine:
        engines.append(place.open())
        return engines[-1]

    with place.writing(database=database) as writer:
        journal = place.journal()
        write(journal, random_entries(1, 1))
        until(lambda: writer.status().booked == 1)
        with engines[0].connect() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
            assert connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar() == 4_000
        journal.close()
