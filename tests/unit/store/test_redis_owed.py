"""What waits to be booked: gathered, bounded, forgotten when it is too late."""

from __future__ import annotations

from gatewright.core.counting import Allowance, Kind
from gatewright.store.redis_owed import PRESENT, Owed, is_gone
from gatewright.store.redis_scripts import shape_of

NOW_US = 1_800_000_000e6
BUDGET = Allowance("b", Kind.BUDGET, 100)
SLIDING = Allowance("r", Kind.SLIDING, 100, 60.0)
B, R = shape_of(BUDGET, "p"), shape_of(SLIDING, "p")


def test_a_thousand_settlements_of_one_budget_are_one_row_a_slice() -> None:
    owed, mark = Owed(10), B.slice_at(NOW_US)
    for _ in range(1_000):
        owed.give(B, BUDGET, mark, 5)
        owed.settle(B, BUDGET, 3)
    owed.want(B, BUDGET, 7)
    owed.want(B, BUDGET, 8)
    rows = {row.mark: row for row in owed.take(NOW_US)}
    assert rows.keys() == {mark, PRESENT}
    assert (rows[mark].give, rows[mark].settled) == (5_000, 0)
    assert (rows[PRESENT].give, rows[PRESENT].settled, rows[PRESENT].want) == (0, 3_000, 8)
    assert not owed.take(NOW_US)
    assert len(owed) == 0


def test_nothing_is_owed_for_nothing() -> None:
    owed = Owed(10)
    owed.give(B, BUDGET, 1, 0)
    owed.add(B, BUDGET, 1, 0)
    owed.settle(B, BUDGET, 0)
    owed.want(B, BUDGET, 0)
    assert len(owed) == 0


def test_what_finds_no_place_is_lost_and_told() -> None:
    owed = Owed(2)
    for number in range(5):
        allowance = Allowance(f"b{number}", Kind.BUDGET, 100)
        owed.settle(shape_of(allowance, "p"), allowance, 1)
    assert (len(owed), owed.lost) == (2, 3)


def test_slices_that_are_over_are_not_booked_any_more() -> None:
    owed, present = Owed(100), R.slice_at(NOW_US)
    for number in range(20):
        owed.add(R, SLIDING, present - number, 1)
    owed.add(R, SLIDING, PRESENT, 1)
    owed.forget_gone(NOW_US)
    assert len(owed) == 17
    assert sorted(row.mark for row in owed.take(NOW_US + 4e6)) == [PRESENT, *range(present - 14, present + 1)]
    assert not is_gone(R, present - 15, NOW_US)
    assert is_gone(R, present - 16, NOW_US)
    assert is_gone(B, B.slice_at(NOW_US) - 5, NOW_US)
    assert not is_gone(B, PRESENT, NOW_US)
