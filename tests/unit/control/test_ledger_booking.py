"""Booking: each entry once, every sum exact, whatever the texts and numbers are, on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select
from tests.ledger_entries import NOON_US, attempt, entry, femto, random_entries

from gatewright.control.ledger_booking import Booked, LedgerGap, book, booked_entries
from gatewright.control.ledger_columns import stored_text
from gatewright.core.ledger import Attempt, Entry, Tokens
from gatewright.store.tables import ATTEMPTS, EXCHANGES, JOURNALS, TOKEN_COLUMNS, USAGE_DAYS, USAGE_HOURS


def book_all(engine: Engine, journal: str, entries: list[Entry]) -> Booked:
    with engine.begin() as connection:
        return book(connection, journal, entries)


def rows(engine: Engine, table: Table) -> list[Any]:
    with engine.begin() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


def test_an_exchange_and_its_attempts_are_written(database: Engine) -> None:
    tokens = Tokens(100, 20, output_total=7)
    tries = [
        attempt("openai", 1_999_999, tokens, outcome="upstream_timeout", is_estimated=True),
        attempt("claude", None, tokens),
        attempt("azure", 2, outcome="upstream_connect_failed"),
    ]
    one = entry(1, *tries, key_id="k1", user="u", kind="upstream_connect_failed", status=502, is_stream=True)
    done = book_all(database, "j", [one])
    assert done == Booked(1, 1, {"k1": NOON_US + 1})
    (row,) = rows(database, EXCHANGES)
    assert (row.journal, row.number, row.id, row.consumer, row.end_user) == ("j", 1, "id-1", "acme/app", "u")
    assert (row.status, row.kind, row.is_stream, row.attempts) == (502, "upstream_connect_failed", True, 3)
    assert (row.is_estimated, row.is_unpriced) == (True, True)
    assert (row.input_total, row.input_cached_read, row.output_total) == (210, 40, 17)
    assert femto(row) == 2_000_001
    assert [(a.position, a.provider, a.is_unpriced, a.input_total) for a in rows(database, ATTEMPTS)] == [
        (1, "openai", False, 100),
        (2, "claude", True, 100),
        (3, "azure", False, 10),
    ]


def test_what_used_nothing_is_not_unpriced(database: Engine) -> None:
    book_all(database, "j", [entry(1, Attempt("p", "t", "m", "upstream_timeout"))])
    assert [row.is_unpriced for row in rows(database, EXCHANGES)] == [False]


def test_an_exchange_counts_at_its_last_attempt_and_attempts_where_they_were(database: Engine) -> None:
    book_all(database, "j", [entry(1, attempt("a"), attempt("b")), entry(2, kind="rate_limited")])
    found = {row.provider: (row.exchanges, row.failed, row.attempts) for row in rows(database, USAGE_HOURS)}
    assert found == {"": (1, 1, 0), "a": (0, 0, 1), "b": (1, 0, 1)}


@pytest.mark.parametrize("batch", [1, 7, 1_000])
def test_sums_are_those_of_the_entries_however_they_come(database: Engine, batch: int) -> None:
    entries = random_entries(1, 200)
    for start in range(0, len(entries), batch):
        book_all(database, "j", entries[start : start + batch])
    for table, length in ((USAGE_HOURS, 3_600), (USAGE_DAYS, 86_400)):
        expected: dict[Any, Counter[str]] = defaultdict(Counter)
        for one in entries:
            period = one.started_at_us // 1_000_000 // length * length
            key: tuple[Any, ...] = (period, one.consumer, one.model, "", "")
            for a in one.attempts:
                key = (period, one.consumer, one.model, a.provider, a.upstream_model)
                expected[key] += Counter(attempts=1, estimated=a.is_estimated, unpriced=a.cost_femto_usd is None)
                expected[key] += Counter(
                    dict(zip(TOKEN_COLUMNS, [getattr(a.tokens, n) for n in TOKEN_COLUMNS], strict=True))
                )
                expected[key] += Counter(femto=a.cost_femto_usd or 0)
            expected[key] += Counter(exchanges=1, failed=one.kind != "")
        found = {}
        for row in rows(database, table):
            counts = {name: getattr(row, name) for name in ("exchanges", "failed", "attempts", "estimated", "unpriced")}
            counts |= {name: getattr(row, name) for name in TOKEN_COLUMNS} | {"femto": femto(row)}
            found[tuple(row[:5])] = +Counter(counts)
            assert row.cost_rest_femto < 1_000_000
        assert found == expected


def test_an_entry_that_comes_again_is_booked_once(database: Engine) -> None:
    entries = random_entries(2, 50)
    assert book_all(database, "j", entries[:30]).count == 30
    before = rows(database, USAGE_DAYS)
    assert book_all(database, "j", entries[:30]) == Booked(30, 0, {})
    assert rows(database, USAGE_DAYS) == before
    assert book_all(database, "j", entries[20:]).count == 20
    assert [row.number for row in rows(database, EXCHANGES)] == list(range(1, 51))
    assert sum(row.exchanges for row in rows(database, USAGE_DAYS)) == 50


def test_nothing_of_a_batch_stays_when_the_transaction_does_not(database: Engine) -> None:
    class Killed(Exception):
        pass

    entries = random_entries(3, 20)
    with suppress(Killed), database.begin() as connection:
        book(connection, "j", entries)
        raise Killed
    for table in (JOURNALS, EXCHANGES, ATTEMPTS, USAGE_HOURS, USAGE_DAYS):
        assert rows(database, table) == []
    assert book_all(database, "j", entries).count == 20


def test_a_gap_is_refused(database: Engine) -> None:
    book_all(database, "j", [entry(1), entry(2)])
    with pytest.raises(LedgerGap, match="journal j is booked to entry 2, but the next one is 4"):
        book_all(database, "j", [entry(4)])
    assert len(rows(database, EXCHANGES)) == 2


def test_journals_know_how_far_and_from_when_to_when(database: Engine) -> None:
    book_all(database, "a", [entry(1, started_at_us=50), entry(2, started_at_us=70)])
    book_all(database, "a", [entry(3, started_at_us=60)])
    assert [tuple(row) for row in rows(database, JOURNALS)] == [("a", 3, 50, 70)]
    with database.begin() as connection:
        assert booked_entries(connection, ["a", "b"]) == {"a": 3, "b": 0}
        assert booked_entries(connection, []) == {}


def test_used_keys_are_told_with_their_last_time(database: Engine) -> None:
    entries = [
        entry(1, key_id="k1", started_at_us=9),
        entry(2, key_id="k1", started_at_us=5),
        entry(3, key_id="jwt:https://issuer", started_at_us=7),
        entry(4),
    ]
    assert book_all(database, "j", entries).keys == {"k1": 9, "jwt:https://issuer": 7}


ODD = "nul \x00, half \ud800, long " + "x" * 2_000


def test_the_database_takes_any_text(database: Engine) -> None:
    texts = dict.fromkeys(
        ["id", "consumer", "user", "key_id", "surface", "model", "requested_model", "kind", "cache"], ODD
    )
    book_all(database, "j", [entry(1, Attempt(ODD, ODD, ODD, ODD, Tokens(1), price_version=ODD), **texts)])
    (row,), (tried,) = rows(database, EXCHANGES), rows(database, ATTEMPTS)
    assert row.id == stored_text(ODD, 128)
    assert len(row.consumer) == 600
    assert "\x00" not in row.consumer
    assert len(tried.outcome) == 40


def test_the_database_takes_any_number(database: Engine) -> None:
    huge = 2**63 - 1
    tokens = Tokens(*([huge] * len(TOKEN_COLUMNS)))
    tries = [attempt(cost=huge, tokens=tokens, upstream_ms=huge), attempt(cost=-1, tokens=Tokens(-5))]
    fields = dict.fromkeys(["started_at_us", "duration_us", "first_byte_us", "status"], huge)
    for journal in ("a", "b", "c"):
        book_all(database, journal, [entry(1, *tries, **fields), entry(2, *tries, started_at_us=-huge, duration_us=-1)])
    assert sum(row.input_total for row in rows(database, USAGE_DAYS)) == 6 * 10**12
    assert min(row.input_total for row in rows(database, ATTEMPTS)) == 0
