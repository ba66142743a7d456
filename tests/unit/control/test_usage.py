"""The parts of a report that need no database; the sums are held by tests/control/test_usage.py."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import column, create_engine, literal, select

from gatewright.control.usage import (
    UsageQuery,
    UsageReport,
    UsageRow,
    exact_usd,
    matches,
    parse_when,
    report_usage,
    rows_of,
    spreadsheet_text,
)
from gatewright.store.database import migrate, open_database


@pytest.mark.parametrize(
    ("femto", "text"),
    [
        (0, "0"),
        (1, "0.000000000000001"),
        (10**15, "1"),
        (1_234_500_000_000_000, "1.2345"),
        (10**30 + 1, "1000000000000000.000000000000001"),
        (-5 * 10**14, "-0.5"),
    ],
)
def test_money_keeps_every_digit(femto: int, text: str) -> None:
    assert exact_usd(femto) == text
    assert Decimal(text).scaleb(15, Context(prec=40)) == femto


NOW = datetime(2026, 11, 21, 10, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T14:00Z", datetime(2026, 11, 1, 14, tzinfo=UTC)),
        ("2026-11-01T14:00+02:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01T14:00", datetime(2026, 11, 1, 14, tzinfo=UTC)),
        ("7d", datetime(2026, 11, 14, 10, 30, tzinfo=UTC)),
        ("24h", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("0001-01-01T00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
        ("99999d", datetime(1970, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:30-12:00", datetime(9999, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_people_write_them(text: str, at: datetime) -> None:
    assert parse_when(text, NOW) == at.timestamp()


@pytest.mark.parametrize("text", ["", "soon", "7", "d", "-7d", "7w", "2026-13-01", "٣d", "99999999d"])
def test_what_is_no_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no time; write 2026-11-01"):
        parse_when(text, NOW)


@given(st.text(), st.text())
def test_a_pattern_stands_for_all_that_begin_so(prefix: str, name: str) -> None:
    prefix = prefix.replace("\0", "").rstrip("*")
    name = name.replace("\0", "")
    with create_engine("sqlite://").connect() as connection:
        for text in (name, prefix + name):
            row = select(literal(text).label("name")).subquery()
            found = connection.scalar(select(row.c.name).where(matches(row.c.name, prefix + "*")))
            assert (found is not None) == text.startswith(prefix)


def test_a_range_never_ends_in_half_a_surrogate_pair() -> None:
    condition = matches(column("name"), "x\ud7ff*")
    assert condition.compile().params == {"name_1": "x\ud7ff", "name_2": "x\ue000"}


def test_no_range_ends_behind_the_last_character() -> None:
    assert matches(column("name"), "\U0010ffff*").compile().params == {"name_1": "\U0010ffff"}
    assert matches(column("name"), "a\U0010ffff*").compile().params == {"name_1": "a\U0010ffff", "name_2": "b"}


def test_a_report_can_be_made_through_a_read_only_engine(tmp_path: Path) -> None:
    migrate(open_database(None, tmp_path))
    assert report_usage(open_database(None, tmp_path, read_only=True), UsageQuery(by=("day",))).rows == []


def test_a_total_is_a_row_only_where_it_is_all_there_is() -> None:
    def row(count: int, **of: str) -> UsageRow:
        return UsageRow(of, count, 0, 0, 0, 0, {"input_total": 7}, "0.5")

    def named(report: UsageReport) -> list[dict[str, str | int]]:
        header, *rows = rows_of(report)
        return [dict(zip(map(str, header), cells, strict=True)) for cells in rows]

    (told_apart,) = named(UsageReport(("model",), None, None, [row(1, model="m")], row(2), True))
    assert (told_apart["model"], told_apart["exchanges"], told_apart["input_total"]) == ("m", 1, 7)
    assert (told_apart["output_total"], told_apart["cost_usd"]) == (0, "0.5")
    (formula,) = named(UsageReport(("model",), None, None, [row(1, model='=HYPERLINK("x")')], row(2), True))
    assert formula["model"] == '\'=HYPERLINK("x")'
    (all_there_is,) = named(UsageReport((), None, None, [row(2)], row(2), False))
    assert all_there_is["exchanges"] == 2
    assert named(UsageReport((), None, None, [], row(0), False)) == [all_there_is | {"exchanges": 0}]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_text_is_a_formula(sign: str) -> None:
    assert spreadsheet_text(f"{sign}1") == f"'{sign}1"
    assert spreadsheet_text(f"a{sign}1") == f"a{sign}1"
    assert spreadsheet_text("") == ""
