"""Verification: silent about a ledger that is whole, and never about one that is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from tests.ledger_entries import random_entries

from gatewright.config.ledger import Ledger
from gatewright.control import ledger_verify
from gatewright.control.ledger_booking import book
from gatewright.control.ledger_verify import backlog, read_journal, verify
from gatewright.core.ledger import Entry
from gatewright.store import journal as journal_module
from gatewright.store.journal import HEADER, SEGMENT_BYTES, Journal
from gatewright.store.journal_reader import JournalReader, list_segments
from gatewright.store.tables import ATTEMPTS, EXCHANGES, JOURNALS, USAGE_DAYS, USAGE_HOURS


def book_all(engine: Engine, journal: str, entries: list[Entry]) -> None:
    with engine.begin() as connection:
        book(connection, journal, entries)


def write(directory: Path, name: str, entries: list[Entry]) -> Journal:
    journal = Journal(directory, name, Ledger())
    for one in entries:
        journal.add(*(getattr(one, field) for field in Entry.__struct_fields__[1:]))
    return journal


def test_an_empty_ledger_is_whole(database: Engine, tmp_path: Path) -> None:
    report = verify(database, tmp_path / "journal")
    assert report.problems == []
    assert (report.entries, report.kept, report.waiting, report.journals, report.live) == (0, 0, 0, 0, 0)


def test_a_ledger_that_is_whole(database: Engine, tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        book_all(database, f"j{seed}", random_entries(seed, 150))
    report = verify(database, tmp_path / "journal")
    assert report.problems == []
    assert (report.entries, report.kept, report.journals) == (450, 450, 3)


def test_journals_on_the_way_are_counted(database: Engine, tmp_path: Path) -> None:
    entries = random_entries(1, 100)
    live, dead = write(tmp_path, "live", entries), write(tmp_path, "dead", random_entries(2, 30))
    dead.close()
    book_all(database, "live", entries[:60])
    report = verify(database, tmp_path)
    assert report.problems == []
    assert (report.entries, report.waiting, report.journals, report.live) == (60, 70, 1, 1)
    one = read_journal(tmp_path / "live")
    assert (one.is_live, one.first, one.last, one.damage) == (True, 1, 100, "")
    live.close()


def where(table: Any, **values: Any) -> Any:
    return [table.c[name] == value for name, value in values.items()]


ENTRIES = random_entries(5, 100)
FIRST_TRIED = next(one.number for one in ENTRIES if one.attempts and one.attempts[0].tokens)
SAME = EXCHANGES.update().where(EXCHANGES.c.number.in_([3, 4])).values(id="x", started_at_us=5, consumer="acme")
Change = tuple[str, Callable[[Any], Any], str]
CHANGES: list[Change] = [
    (
        "an exchange is gone",
        lambda c: c.execute(EXCHANGES.delete().where(*where(EXCHANGES, journal="j", number=7))),
        r"journal j: exchanges 7 to 7 are missing",
    ),
    (
        "several are gone",
        lambda c: c.execute(EXCHANGES.delete().where(EXCHANGES.c.journal == "j", EXCHANGES.c.number.between(5, 9))),
        r"journal j: exchanges 5 to 9 are missing",
    ),
    (
        "the first is gone",
        lambda c: c.execute(EXCHANGES.delete().where(*where(EXCHANGES, journal="j", number=1))),
        r"journal j: exchanges 1 to 1 are missing",
    ),
    (
        "the last is gone",
        lambda c: c.execute(EXCHANGES.delete().where(*where(EXCHANGES, journal="j", number=100))),
        r"journal j is booked to entry 100, but its last exchange is 99",
    ),
    (
        "all are gone",
        lambda c: c.execute(EXCHANGES.delete()),
        r"journal j: all of its 100 exchanges are missing",
    ),
    (
        "the journal is gone",
        lambda c: c.execute(JOURNALS.delete()),
        r"journal j has exchanges, but is not among the journals",
    ),
    (
        "the journal was booked further",
        lambda c: c.execute(JOURNALS.update().values(entries=101)),
        r"journal j is booked to entry 101, but its last exchange is 100",
    ),
    (
        "one is there twice",
        lambda c: c.execute(SAME),
        r"exchange x of acme is booked 2 times",
    ),
    (
        "an attempt is gone",
        lambda c: c.execute(ATTEMPTS.delete().where(ATTEMPTS.c.number == FIRST_TRIED)),
        r"exchange \d+ of journal j differs from its attempts",
    ),
    (
        "an attempt has another cost",
        lambda c: c.execute(ATTEMPTS.update().where(ATTEMPTS.c.number == FIRST_TRIED).values(cost_rest_femto=77)),
        r"exchange \d+ of journal j differs from its attempts",
    ),
    (
        "an attempt has no exchange",
        lambda c: c.execute(ATTEMPTS.update().where(ATTEMPTS.c.number == FIRST_TRIED).values(number=5_000)),
        r"attempts of exchange 5000 of journal j are there, but not the exchange",
    ),
    (
        "an hour has other tokens",
        lambda c: c.execute(USAGE_HOURS.update().values(input_total=USAGE_HOURS.c.input_total + 1)),
        r"usage_hours: the row \d+ \(.*\) is not the sum of its exchanges",
    ),
    (
        "a day has another count",
        lambda c: c.execute(USAGE_DAYS.update().values(exchanges=USAGE_DAYS.c.exchanges + 1)),
        r"usage_days: the row \d+ \(.*\) is not the sum of its exchanges",
    ),
    (
        "a day is there that never was",
        lambda c: c.execute(USAGE_DAYS.update().values(day=86_400 * 9_000 + USAGE_DAYS.c.day)),
        r"usage_days: the row \d+ \(.*\) is missing",
    ),
    (
        "a day is gone",
        lambda c: c.execute(USAGE_DAYS.delete()),
        r"usage_days counts 0 exchanges, but 100 were booked",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), [(c, p) for _, c, p in CHANGES], ids=[name for name, _, _ in CHANGES])
def test_every_change_is_found(database: Engine, tmp_path: Path, change: Callable[[Any], Any], problem: str) -> None:
    book_all(database, "j", ENTRIES)
    assert verify(database, tmp_path).problems == []
    with database.begin() as connection:
        change(connection)
    problems = verify(database, tmp_path).problems
    assert any(re.fullmatch(problem + ".*", one) for one in problems), problems


def test_a_damaged_journal_is_told(database: Engine, tmp_path: Path) -> None:
    write(tmp_path, "j", ENTRIES).close()
    segment = tmp_path / "j/00000001.segment"
    data = bytearray(segment.read_bytes())
    data[HEADER.size + 20] ^= 1
    segment.write_bytes(data)
    (problem,) = verify(database, tmp_path).problems
    assert problem == "journal j is damaged: 00000001.segment, byte 16: the checksum of entry 1 is wrong"


def test_entries_that_are_nowhere_are_told(database: Engine, tmp_path: Path) -> None:
    """The database is an older copy: what it had, and the journal no longer has, is lost."""
    write(tmp_path, "j", ENTRIES).close()
    book_all(database, "j", ENTRIES[:10])
    assert verify(database, tmp_path).problems == []
    segment = tmp_path / "j/00000001.segment"
    data = bytearray(segment.read_bytes())
    HEADER.pack_into(data, 0, data[:8], 12)
    segment.write_bytes(data)
    assert "journal j: entries 11 to 11 are neither booked nor on the disk" in verify(database, tmp_path).problems


def test_a_journal_that_is_booked_and_gone_is_no_problem(database: Engine, tmp_path: Path) -> None:
    write(tmp_path, "j", ENTRIES).close()
    book_all(database, "j", ENTRIES)
    reader = JournalReader(tmp_path / "j", 100)
    assert reader.read(1) == []
    reader.remove_booked(100)
    assert verify(database, tmp_path).problems == []


def test_the_backlog_is_what_is_written_and_not_booked(database: Engine, tmp_path: Path) -> None:
    assert backlog(tmp_path / "none", database) == []
    live = write(tmp_path, "live", ENTRIES)
    write(tmp_path, "over", ENTRIES[:30]).close()
    book_all(database, "live", ENTRIES[:60])
    found = {one.journal: (one.is_live, one.written, one.booked, one.waiting) for one in backlog(tmp_path, database)}
    assert found == {"live": (True, 100, 60, 40), "over": (False, 30, 0, 30)}
    assert [one.bytes for one in backlog(tmp_path, database)][1] == SEGMENT_BYTES
    assert [(one.booked, one.waiting) for one in backlog(tmp_path, None)] == [(None, None)] * 2
    live.close()


def test_segments_that_are_booked_and_deleted_meanwhile_are_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SEGMENT_BYTES", 8_192), ("_END", 8_184)):
        monkeypatch.setattr(journal_module, name, value)
    journal = Journal(tmp_path, "j", Ledger())
    for one in random_entries(1, 200):
        journal.add(*(getattr(one, field) for field in Entry.__struct_fields__[1:]))
        while not journal._maker.is_ready:
            journal.tick()
    segments = list_segments(tmp_path / "j")
    assert len(segments) > 3
    deletable = [tmp_path / "j" / f"{index:08d}.segment" for index in list(segments)[:2]]

    def reading_slowly(path: Path, booked: int) -> JournalReader:
        if deletable:
            deletable.pop(0).unlink()
        return JournalReader(path, booked)

    monkeypatch.setattr(ledger_verify, "JournalReader", reading_slowly)
    found = read_journal(tmp_path / "j")
    assert (found.first, found.last, found.damage) == (segments[3], 200, "")
    journal.close()
