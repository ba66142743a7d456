"""Pruning: the old go, a few at a time, the sums stay, and the ledger still verifies."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, func, select
from tests.ledger_entries import HOUR_US, NOON_US, attempt, booked_ids, entry, random_entries

from gatewright.control.ledger_booking import book
from gatewright.control.ledger_pruning import prune
from gatewright.control.ledger_verify import verify
from gatewright.core.ledger import Entry
from gatewright.store.tables import ATTEMPTS, EXCHANGES, USAGE_DAYS


def book_all(engine: Engine, journal: str, entries: list[Entry]) -> None:
    with engine.begin() as connection:
        book(connection, journal, entries)


def test_of_each_journal_a_beginning_goes(database: Engine, tmp_path: Path) -> None:
    hours = {"all": [1, 2, 3], "some": [1, 5, 2, 9], "none": [6, 1]}
    for journal, started in hours.items():
        entries = [
            entry(number, attempt(), id=f"{journal}{hour}", started_at_us=hour * HOUR_US)
            for number, hour in enumerate(started, 1)
        ]
        book_all(database, journal, entries)
    assert sum(prune(database, 5 * HOUR_US)) == 4
    # What is behind a young one stays: there must be no gap.
    assert set(booked_ids(database)) == {"some5", "some2", "some9", "none6", "none1"}
    with database.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(ATTEMPTS)) == 5
        assert connection.scalar(select(func.sum(USAGE_DAYS.c.exchanges))) == 9
    report = verify(database, tmp_path / "journal")
    assert report.problems == []
    assert (report.entries, report.kept, report.pruned_before_us) == (9, 5, 5 * HOUR_US)


def test_a_transaction_deletes_a_few(database: Engine) -> None:
    book_all(database, "j", random_entries(1, 4_500))
    assert list(prune(database, NOON_US + 100 * HOUR_US)) == [2_000, 2_000, 500]


def test_nothing_old_changes_nothing(database: Engine, tmp_path: Path) -> None:
    book_all(database, "j", random_entries(1, 20))
    assert list(prune(database, NOON_US)) == []
    assert verify(database, tmp_path).pruned_before_us == 0


def test_a_loss_behind_the_pruned_is_still_found(database: Engine, tmp_path: Path) -> None:
    entries = [entry(number, attempt(), started_at_us=number * HOUR_US) for number in range(1, 30)]
    book_all(database, "j", entries)
    sum(prune(database, 10 * HOUR_US))
    assert verify(database, tmp_path).problems == []
    with database.begin() as connection:
        connection.execute(EXCHANGES.delete().where(EXCHANGES.c.number == 10))
        connection.execute(ATTEMPTS.delete().where(ATTEMPTS.c.number == 10))
    assert any("is not the sum of its exchanges" in problem for problem in verify(database, tmp_path).problems)


def test_a_journal_that_another_gateway_pruned_meanwhile_is_passed_over(database: Engine) -> None:
    for journal in ("a", "b"):
        book_all(database, journal, [entry(1, attempt(), id=journal, started_at_us=HOUR_US)])
    steps = prune(database, 2 * HOUR_US)
    assert next(steps) == 1
    assert sum(prune(database, 2 * HOUR_US)) == 1
    assert list(steps) == []
