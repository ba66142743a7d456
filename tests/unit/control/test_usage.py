"""The parts of a report that need no database; the sums are held by tests/control/test_usage.py."""

from __future__ import annotations

from decimal import Context, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import column, create_engine, literal, select

from gatewright.control.usage import UsageQuery, exact_usd, matches, report_usage
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
