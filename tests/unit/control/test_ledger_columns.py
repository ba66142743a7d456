"""Entries as columns: what is in order is taken as it is, what is not is mended, and nothing is mixed up by it."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger_entries import NOON_US, attempt, entry, random_entries

from gatewright.control.ledger_columns import Columns, build_batch, stored_text
from gatewright.core.ledger import Attempt, Tokens
from gatewright.store.tables import FEMTO_PER_NANO, TOKEN_COLUMNS

TURNING = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
"""Classes of characters that turn the direction of a text: https://www.unicode.org/reports/tr9/."""


def rows(columns: Columns) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_attempts_stand_by_their_exchange() -> None:
    entries = [entry(7), entry(8, attempt("a"), attempt("b", is_estimated=True)), entry(9, attempt("c", None))]
    batch = build_batch("j", entries)
    assert [(a["journal"], a["number"], a["position"], a["provider"]) for a in rows(batch.attempts)] == [
        ("j", 8, 1, "a"),
        ("j", 8, 2, "b"),
        ("j", 9, 1, "c"),
    ]
    assert [(x["number"], x["attempts"], x["input_total"]) for x in rows(batch.exchanges)] == [
        (7, 0, 0),
        (8, 2, 20),
        (9, 1, 10),
    ]
    assert [(x["is_estimated"], x["is_unpriced"]) for x in rows(batch.exchanges)] == [(0, 0), (1, 0), (0, 1)]


def test_a_batch_without_attempts_counts_its_exchanges() -> None:
    batch = build_batch("j", [entry(1, kind="rate_limited"), entry(2)])
    assert rows(batch.attempts) == []
    (hour,) = rows(batch.hours)
    assert (hour["provider"], hour["provider_type"], hour["exchanges"], hour["failed"]) == ("", "", 2, 1)


def test_tokens_that_nobody_used_are_left_out() -> None:
    batch = build_batch("j", [entry(1, attempt(tokens=Tokens(5))), entry(2, Attempt("p", "t", "m", "ok"))])
    for columns in (batch.exchanges, batch.attempts, batch.hours, batch.days):
        assert set(columns) & set(TOKEN_COLUMNS) == {"input_total"}


def test_all_columns_of_a_table_are_equally_long() -> None:
    batch = build_batch("j", random_entries(1, 200))
    for columns in (batch.exchanges, batch.attempts, batch.hours, batch.days):
        assert len({len(column) for column in columns.values()}) == 1


def test_sums_come_in_the_order_of_their_keys() -> None:
    batch = build_batch("j", random_entries(2, 500))
    for columns in (batch.hours, batch.days):
        keys = [tuple(row.values())[:5] for row in rows(columns)]
        assert keys == sorted(set(keys))
        assert len(keys) > 1


def test_days_add_up_the_hours() -> None:
    batch = build_batch("j", random_entries(3, 500))
    for name in ("exchanges", "failed", "attempts", "estimated", "unpriced", *TOKEN_COLUMNS):
        assert sum(batch.days[name]) == sum(batch.hours[name]) > 0
    femto = [sum(c["cost_nano"]) * FEMTO_PER_NANO + sum(c["cost_rest_femto"]) for c in (batch.days, batch.hours)]
    assert femto[0] == femto[1]


def test_one_odd_value_changes_no_other() -> None:
    others = [entry(number, attempt(), id=f"id {number}") for number in (1, 3)]
    odd = entry(2, attempt("\x00", -5, Tokens(-1, 2**62)), id="\ud800", started_at_us=-1, duration_us=2**62, status=-3)
    batch = build_batch("j", [others[0], odd, others[1]])
    plain = build_batch("j", others)
    found = rows(batch.exchanges)
    for one, other in zip([found[0], found[2]], rows(plain.exchanges), strict=True):
        assert {name: one[name] for name in other} == other
    assert (found[1]["id"], found[1]["started_at_us"], found[1]["status"]) == ("\ufffd", 0, 0)
    assert (found[1]["duration_us"], found[1]["input_total"], found[1]["input_cached_read"]) == (10**12, 0, 10**12)
    assert rows(batch.attempts)[1]["provider"] == "\ufffd"


@pytest.mark.parametrize("cost", [0, 1, 999_999, 1_000_000, 123_456_789_012_345])
def test_costs_are_split_exactly(cost: int) -> None:
    (row,) = rows(build_batch("j", [entry(1, attempt(cost=cost))]).attempts)
    assert row["cost_nano"] * FEMTO_PER_NANO + row["cost_rest_femto"] == cost
    assert row["cost_rest_femto"] < FEMTO_PER_NANO


def test_keys_are_told_with_their_last_use() -> None:
    entries = [entry(1, key_id="a", started_at_us=9), entry(2), entry(3, key_id="a", started_at_us=3)]
    assert build_batch("j", entries).keys == {"a": 9}
    assert build_batch("j", [entry(1, key_id="b")]).keys == {"b": NOON_US + 1}


@given(st.text(max_size=30), st.integers(1, 20))
def test_a_stored_text_is_a_beginning_without_what_cannot_be_stored(text: str, length: int) -> None:
    stored = stored_text(text, length)
    stored.encode()
    assert len(stored) == min(len(text), length)
    for before, after in zip(text, stored, strict=False):
        unfit = unicodedata.category(before) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(before) in TURNING
        assert after == ("\ufffd" if unfit else before)


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("gpt-x\tFAKE\t999\n total \x1b[31mred", "gpt-x\ufffdFAKE\ufffd999\ufffd total \ufffd[31mred"),
        ("a\u202eb\u2066c\u2028d\x85e\x7f", "a\ufffdb\ufffdc\ufffdd\ufffde\ufffd"),
        *[(name, name) for name in ("株式会社\u3000港", "\u06cc\u200c\u0634", "👩\u200d🔬", "a\u00a0b")],
    ],
)
def test_a_stored_text_forges_no_line_and_steers_no_terminal(text: str, stored: str) -> None:
    assert stored_text(text, 300) == stored
