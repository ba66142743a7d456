"""Reports against the same sums made by hand, on every kind of database."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

import pytest
from sqlalchemy import Engine
from usage_rows import COUNTS, DAY_S, HOUR_S, NOVEMBER, Row, fill, hour_row, random_rows

from gatewright.control.usage import DIMENSIONS, UsageQuery, UsageRow, report_usage
from gatewright.store.tables import FEMTO_PER_NANO, TOKEN_COLUMNS

AT_14 = NOVEMBER + 14 * HOUR_S


def name_of(row: Row, dimension: str) -> str:
    at = datetime.fromtimestamp(row["hour"], UTC)
    parts = row["consumer"].split("/")
    match dimension:
        case "organisation":
            return str(parts[0])
        case "team":
            return "/".join(parts[:2])
        case "day":
            return f"{at:%Y-%m-%d}"
        case "hour":
            return f"{at:%Y-%m-%dT%H:00Z}"
        case _:
            return str(row[dimension])


def by_hand(rows: list[Row], query: UsageQuery) -> dict[tuple[str, ...], dict[str, int]]:
    sums: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in rows:
        wanted = all(
            fnmatchcase(row[name], getattr(query, name) or "*")
            for name in ("consumer", "model", "provider", "upstream_model")
        )
        since = 0 if query.since is None else query.since // HOUR_S * HOUR_S
        until = float("inf") if query.until is None else -(-query.until // HOUR_S) * HOUR_S
        if wanted and since <= row["hour"] < until:
            group = sums[tuple(name_of(row, name) for name in query.by)]
            for name in (*COUNTS, *TOKEN_COLUMNS):
                group[name] += row[name]
            group["femto"] += row["cost_nano"] * FEMTO_PER_NANO + row["cost_rest_femto"]
    return sums


def numbers(row: UsageRow) -> dict[str, int]:
    found: dict[str, int] = {name: getattr(row, name) for name in COUNTS}
    return found | row.tokens | {"femto": int(Decimal(row.cost_usd) * 10**15)}


def nonzero(row: dict[str, int]) -> dict[str, int]:
    return {name: value for name, value in row.items() if value}


@pytest.fixture
def rows(database: Engine) -> list[Row]:
    rows = random_rows(1, 700)
    fill(database, rows)
    return rows


def test_every_report_equals_the_sums_made_by_hand(database: Engine, rows: list[Row]) -> None:
    ranges: list[tuple[int | None, int | None]] = [
        (None, None),
        (NOVEMBER + DAY_S, NOVEMBER + 3 * DAY_S),
        (AT_14 + 1, NOVEMBER + 3 * DAY_S - 1),
        (AT_14, AT_14 + 3 * HOUR_S),
        (AT_14, AT_14 + 20 * HOUR_S),
        (None, AT_14 + 2 * DAY_S),
        (AT_14 + DAY_S, None),
    ]
    groupings: list[tuple[Any, ...]] = [(), *((each,) for each in DIMENSIONS), ("day", "model"), ("team", "provider")]
    for since, until in ranges:
        for by in groupings:
            query = UsageQuery(by=by, since=since, until=until)
            report, expected = report_usage(database, query), by_hand(rows, query)
            found = {tuple(row.of[name] for name in by): nonzero(numbers(row)) for row in report.rows}
            assert found == {key: nonzero(sums) for key, sums in expected.items()}, (since, until, by)
            everything = by_hand(rows, UsageQuery(since=since, until=until))
            assert nonzero(numbers(report.total)) == nonzero(everything[()])


@pytest.mark.parametrize(
    "names",
    [
        {"consumer": "acme/*"},
        {"consumer": "acme/search/*", "model": "small"},
        {"consumer": "acme/search/web"},
        {"consumer": "acme*"},
        {"model": "small*", "provider": "openai"},
        {"upstream_model": "*"},
        {"provider": "nobody"},
        {"consumer": "acme/%"},
        {"consumer": "' OR 1=1 --"},
    ],
)
def test_names_narrow_a_report(database: Engine, rows: list[Row], names: dict[str, str]) -> None:
    query = UsageQuery(by=("consumer", "model"), **names)  # type: ignore[arg-type]
    found = {tuple(row.of.values()): nonzero(numbers(row)) for row in report_usage(database, query).rows}
    assert found == {key: nonzero(sums) for key, sums in by_hand(rows, query).items()}
    assert bool(found) is not names.get("provider", names.get("consumer", "")).startswith(("nobody", "'", "acme/%"))


@pytest.mark.parametrize(
    ("by", "order", "key"),
    [
        (("consumer",), None, lambda row: (-Decimal(row.cost_usd), row.of["consumer"])),
        (("day", "consumer"), None, lambda row: tuple(row.of.values())),
        (("hour",), None, lambda row: row.of["hour"]),
        (("day",), "cost", lambda row: -Decimal(row.cost_usd)),
        (("consumer",), "name", lambda row: row.of["consumer"]),
        (("model",), "exchanges", lambda row: -row.exchanges),
        (("model",), "tokens", lambda row: -row.tokens["input_total"] - row.tokens["output_total"]),
    ],
)
def test_rows_have_an_order(database: Engine, rows: list[Row], by: Any, order: Any, key: Any) -> None:
    report = report_usage(database, UsageQuery(by=by, order=order))
    assert len(report.rows) > 1
    assert report.rows == sorted(report.rows, key=key)


def test_a_limit_cuts_rows_but_not_the_total(database: Engine, rows: list[Row]) -> None:
    whole = report_usage(database, UsageQuery(by=("consumer",), since=AT_14, consumer="acme*"))
    cut = report_usage(database, UsageQuery(by=("consumer",), since=AT_14, consumer="acme*", limit=2))
    assert (cut.rows, cut.total) == (whole.rows[:2], whole.total)
    assert (cut.is_cut, whole.is_cut) == (True, False)
    exact = report_usage(database, UsageQuery(by=("consumer",), consumer="acme*", limit=len(whole.rows)))
    assert not exact.is_cut


def test_an_empty_ledger_gives_no_rows_and_a_total_of_nothing(database: Engine) -> None:
    for query in (UsageQuery(), UsageQuery(by=("day", "model"), since=0), UsageQuery(by=("hour",), limit=1)):
        report = report_usage(database, query)
        assert report.rows == []
        assert report.total == UsageRow({}, 0, 0, 0, 0, 0, {}, "0")


def test_sums_that_pass_64_bits_are_exact(database: Engine) -> None:
    huge = 9 * 10**18
    rows = [hour_row(NOVEMBER + n * HOUR_S, ("c", "m", "p", "u"), cost_femto=huge * 10**5 + n) for n in range(4)]
    fill(database, rows)
    assert report_usage(database, UsageQuery(by=("hour",))).total.cost_usd == "3600000000.000000000000006"


def test_the_report_says_which_hours_it_covers(database: Engine) -> None:
    report = report_usage(database, UsageQuery(since=AT_14 + 1, until=AT_14 + 1))
    assert (report.since, report.until) == ("2026-11-01T14:00Z", "2026-11-01T15:00Z")
    assert report_usage(database, UsageQuery()).since is None
