"""One counter's arithmetic: what frees when, what refuses, and what a process killed half-way leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from gatewright.core.cells import BASE, CELL_S, CELLS, LARGEST, RING, ROW, STEP_S, CellCounters, Row, free_at_s
from gatewright.core.cells import describe as describe_row
from gatewright.core.counting import RESERVED_S, SLICES, Allowance, Kind, Refused
from gatewright.core.grant import Grant
from gatewright.testing.clock import FakeClock

MINUTE = Allowance("m", Kind.SLIDING, 10, 60.0)
BUDGET = Allowance("b", Kind.BUDGET, 10)
AT_ONCE = Allowance("c", Kind.CONCURRENT, 2)
SLICE_S = 60.0 / (SLICES - 1)
START = 6_000_000.0  # where slices of every width begin


class Killed(Exception):
    """The process ended."""


class Mortal(list[int]):
    """A row whose process is killed before its next store, after so many."""

    stores_left = 1 << 30

    def __setitem__(self, index: Any, value: Any) -> None:
        if not self.stores_left:
            raise Killed
        self.stores_left -= 1
        super().__setitem__(index, value)


class Counters(CellCounters):
    def __init__(self, now: Callable[[], float], places: int = 100) -> None:
        self.problems: list[str] = []
        self.places = places
        super().__init__(now, self.problems.append)

    def _find(self, allowance: Allowance, allowances: Sequence[Allowance]) -> Row | None:
        if len(self._rows) == self.places:
            return None
        row = self._rows[allowance.key] = Mortal([0] * ROW)
        describe_row(row, allowance)
        return row


def build(places: int = 100) -> tuple[FakeClock, Counters]:
    clock = FakeClock(START)
    return clock, Counters(clock, places)


def take(counters: CellCounters, allowance: Allowance, amount: int) -> Grant:
    grant = counters.reserve([allowance], [amount])
    assert isinstance(grant, Grant), grant
    return grant


def refuse(counters: CellCounters, allowance: Allowance, amount: int) -> Refused:
    refused = counters.reserve([allowance], [amount])
    assert isinstance(refused, Refused), refused
    return refused


def test_all_or_none() -> None:
    _, counters = build()
    grant = counters.reserve([MINUTE, BUDGET], [4, 5])
    assert isinstance(grant, Grant)
    assert grant.left == [6, 5]
    assert counters.reserve([MINUTE, BUDGET], [4, 6]) == Refused(1, 5, float("inf"))
    assert counters.used([MINUTE, BUDGET]) == [4, 5]


def test_a_sliding_limit_frees_one_period_later_and_says_when() -> None:
    clock, counters = build()
    take(counters, MINUTE, 4)
    clock.advance(30.0)
    take(counters, MINUTE, 6)
    assert refuse(counters, MINUTE, 3).wait_s == pytest.approx(30.0 + SLICE_S)
    assert refuse(counters, MINUTE, 5).wait_s == pytest.approx(62.0), "from the start of its slice"
    clock.advance(30.0)
    assert refuse(counters, MINUTE, 1).left == 0, "exactly one period later it is not free yet"
    clock.advance(SLICE_S)
    take(counters, MINUTE, 4)


@pytest.mark.parametrize(
    ("allowance", "amount", "wait_s"),
    [
        (Allowance("m", Kind.SLIDING, 0, 60.0), 1, float("inf")),
        (Allowance("b", Kind.BUDGET, 10), 11, float("inf")),
        (Allowance("c", Kind.CONCURRENT, 2), 3, float("inf")),
    ],
)
def test_what_can_never_fit(allowance: Allowance, amount: int, wait_s: float) -> None:
    _, counters = build()
    assert refuse(counters, allowance, amount).wait_s == wait_s


def test_more_than_a_sliding_limit_is_for_whoever_is_alone_and_then_others_wait() -> None:
    clock, counters = build()
    assert take(counters, MINUTE, 25).left == [-15]
    assert refuse(counters, MINUTE, 0).left == -15, "in debt nobody begins"
    assert refuse(counters, MINUTE, 25).wait_s == pytest.approx(60.0 + SLICE_S)
    clock.advance(60.0 + SLICE_S)
    take(counters, MINUTE, 25)


def test_what_only_counts_never_refuses() -> None:
    _, counters = build()
    soft = Allowance("soft", Kind.BUDGET, 10, is_hard=False)
    assert take(counters, soft, 25).left == [-15]
    assert take(counters, soft, 1).left == [-16]


def test_concurrency_frees_when_the_exchange_ends() -> None:
    _, counters = build()
    grants = [take(counters, AT_ONCE, 1) for _ in range(2)]
    assert refuse(counters, AT_ONCE, 1) == Refused(0, 0, 1.0)
    counters.settle(grants[0], [1])
    assert counters.used([AT_ONCE]) == [1]


@pytest.mark.parametrize("allowance", [BUDGET, AT_ONCE])
def test_a_reservation_nobody_settles_expires(allowance: Allowance) -> None:
    clock, counters = build()
    grant = take(counters, allowance, 2)
    clock.advance(RESERVED_S)
    assert counters.used([allowance]) == [2]
    clock.advance(CELL_S)
    assert counters.used([allowance]) == [0]
    counters.settle(grant, [2])
    assert counters.used([allowance]) == [2 if allowance is BUDGET else 0]


def test_extending_keeps_a_reservation_alive() -> None:
    clock, counters = build()
    grant = take(counters, BUDGET, 2)
    for _ in range(10):
        clock.advance(RESERVED_S)
        assert counters.extend(grant, [0]) is None
    assert counters.extend(grant, [8]) is None
    assert grant.left == [0]
    assert counters.extend(grant, [1]) == Refused(0, 0, float("inf"))
    counters.settle(grant, [7])
    assert counters.used([BUDGET]) == [7]


def test_an_expired_reservation_is_taken_again_by_extending_it_if_it_still_fits() -> None:
    clock, counters = build()
    first = take(counters, BUDGET, 6)
    clock.advance(RESERVED_S + CELL_S)
    second = take(counters, BUDGET, 6)
    assert counters.extend(first, [0]) == Refused(0, 4, float("inf"))
    counters.settle(second, [1])
    assert counters.extend(first, [3]) is None
    assert counters.used([BUDGET]) == [10]


def test_a_long_stream_is_not_charged_again_for_what_left_the_period() -> None:
    clock, counters = build()
    grant = take(counters, MINUTE, 10)
    clock.advance(60.0 + SLICE_S)
    assert counters.extend(grant, [4]) is None
    assert counters.used([MINUTE]) == [4]
    counters.settle(grant, [13])
    assert counters.used([MINUTE]) == [3]


def test_a_lone_stream_may_run_over_a_sliding_limit_but_not_beside_others() -> None:
    clock, counters = build()
    grant = take(counters, MINUTE, 8)
    clock.advance(SLICE_S)
    assert counters.extend(grant, [8]) is None
    counters.settle(grant, [5])
    other = take(counters, MINUTE, 5)
    assert counters.extend(other, [1]) == Refused(0, 0, 60.0), "what it used counts from when it was taken"


@pytest.mark.parametrize(
    ("waited_s", "used", "counted"),
    [(0.0, 3, 3), (10.0, 3, 3), (70.0, 3, 0), (0.0, 12, 12), (10.0, 12, 12), (70.0, 12, 4)],
)
def test_settling_a_sliding_counter(waited_s: float, used: int, counted: int) -> None:
    clock, counters = build()
    grant = take(counters, MINUTE, 8)
    clock.advance(waited_s)
    counters.settle(grant, [used])
    assert counters.used([MINUTE]) == [counted]


def test_the_ledger_raises_what_is_settled_and_never_lowers_it() -> None:
    _, counters = build()
    take(counters, BUDGET, 2)
    for amount, used in ((5, 7), (3, 7), (6, 8)):
        assert counters.raise_settled(BUDGET, amount)
        assert counters.used([BUDGET]) == [used]


def test_reading_makes_no_counter() -> None:
    _, counters = build(places=0)
    assert counters.used([BUDGET]) == [0]
    assert not counters.problems


def test_without_room_what_refuses_refuses_what_only_counts_does_not_and_one_is_told_once() -> None:
    _, counters = build(places=0)
    soft = Allowance("soft", Kind.BUDGET, 10, is_hard=False)
    for _ in range(2):
        assert refuse(counters, BUDGET, 1) == Refused(0, 0, 1.0)
    grant = take(counters, soft, 1)
    assert counters.extend(grant, [1]) is None
    counters.settle(grant, [1])
    assert not counters.raise_settled(BUDGET, 1)
    assert len(counters.problems) == 1


def test_amounts_are_bounded_and_never_negative() -> None:
    _, counters = build()
    large = Allowance("l", Kind.SLIDING, 5, 60.0)
    grant = take(counters, large, 10**30)
    assert grant.amounts == [LARGEST]
    counters.settle(grant, [10**30])
    assert counters.used([large]) == [LARGEST]
    with pytest.raises(ValueError, match="-1"):
        counters.reserve([MINUTE, BUDGET], [1, -1])
    assert counters.used([MINUTE, BUDGET]) == [0, 0]


def test_a_clock_that_goes_back_a_little_is_waited_for_and_one_that_was_set_is_believed() -> None:
    times = [START]
    counters = Counters(lambda: times[0])
    take(counters, MINUTE, 10)
    times[0] = START - STEP_S
    assert refuse(counters, MINUTE, 1).wait_s == pytest.approx(60.0 + SLICE_S)
    times[0] = START - 100_000.0
    assert refuse(counters, MINUTE, 1).wait_s == pytest.approx(60.0 + SLICE_S, abs=SLICE_S), "kept, as if taken now"
    times[0] += 60.0 + SLICE_S
    take(counters, MINUTE, 10)


@pytest.mark.parametrize(
    ("allowance", "used", "expected_s"),
    [
        (MINUTE, None, START + 60.0 + SLICE_S),
        (MINUTE, 0, 0.0),
        (BUDGET, None, START + CELLS * CELL_S),
        (BUDGET, 0, 0.0),
        (Allowance("b", Kind.BUDGET, 10, ends_at=START + 5), 3, START + 5),
        (AT_ONCE, 1, 0.0),
    ],
)
def test_when_a_row_is_free(allowance: Allowance, used: int | None, expected_s: float) -> None:
    _, counters = build()
    grant = take(counters, allowance, 1)
    if used is not None:
        counters.settle(grant, [used])
    assert free_at_s(counters._rows[allowance.key]) == pytest.approx(expected_s)


def run_operation(what: str, counters: Counters, grant: Grant, allowance: Allowance) -> None:
    if what == "reserve":
        counters.reserve([allowance], [1])
    elif what == "extend":
        counters.extend(grant, [1])
    else:
        counters.settle(grant, [5 if what == "settle more" else 1])


@pytest.mark.parametrize("allowance", [MINUTE, BUDGET, AT_ONCE], ids=lambda allowance: allowance.kind.name)
@pytest.mark.parametrize("what", ["reserve", "extend", "settle less", "settle more"])
@pytest.mark.parametrize("slices", [0, 1, 3, 20])
def test_killed_between_any_two_stores_a_counter_is_right_or_counts_too_much_for_a_while(
    allowance: Allowance, what: str, slices: int
) -> None:
    width_s = SLICE_S if allowance is MINUTE else CELL_S
    for stores in range(100):
        clock, counters = build()
        grant = take(counters, allowance, 2)
        clock.advance(slices * width_s)
        row = counters._rows[allowance.key]
        assert isinstance(row, Mortal)
        before = counters.used([allowance])[0] if what.startswith("settle") else None
        row.stores_left = stores
        try:
            run_operation(what, counters, grant, allowance)
            break
        except Killed:
            row.stores_left = 1 << 30
        assert all(row[RING + index] >= 0 for index in range(SLICES))
        spared = counters.used([allowance])[0]
        if before is not None and allowance is not MINUTE:
            assert spared >= min(before, 2 if slices < CELLS else 0), "nothing is free before it is settled"
        clock.advance(RESERVED_S + CELL_S)
        used = counters.used([allowance])[0]
        assert row[BASE] == used
        assert used in ((0,) if allowance is not BUDGET else (0, 5 if what == "settle more" else 1))
    else:
        raise AssertionError("never finished")


def test_a_long_stream_counts_when_it_comes() -> None:
    """Ten a slice for two periods are a period's worth at any moment, not all that the stream ever had."""
    clock, counters = build()
    limit = Allowance("m", Kind.SLIDING, 1_000, 60.0, is_hard=False)
    grant = take(counters, limit, 10)
    for _ in range(2 * SLICES):
        clock.advance(SLICE_S)
        assert counters.extend(grant, [10]) is None
    assert counters.used([limit]) == [10 * SLICES]
    assert grant.left == [1_000 - 10 * SLICES]
    counters.settle(grant, [10 * (2 * SLICES + 1) - 4])
    assert counters.used([limit]) == [10 * SLICES - 4], "the last is what was not used"


def test_what_an_estimate_had_too_much_goes_back_where_it_was_made() -> None:
    clock, counters = build()
    limit = Allowance("m", Kind.SLIDING, 1_000, 60.0, is_hard=False)
    grant = take(counters, limit, 500)
    for _ in range(3):
        clock.advance(SLICE_S)
        counters.extend(grant, [10])
    counters.settle(grant, [100])
    assert counters.used([limit]) == [100]
    clock.advance(60.0 - 3 * SLICE_S)
    assert counters.used([limit]) == [100]
    clock.advance(SLICE_S)
    assert counters.used([limit]) == [20], "what was made first is forgotten first"


def test_a_sliding_reservation_that_is_only_kept_alive_stays_where_it_is() -> None:
    clock, counters = build()
    grant = take(counters, MINUTE, 8)
    clock.advance(30.0)
    assert counters.extend(grant, [0]) is None
    assert grant.earlier is None
    counters.settle(grant, [3])
    assert counters.used([MINUTE]) == [3]
