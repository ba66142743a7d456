"""Leases: granted from without asking, for one slice only, and given back when nobody uses them."""

from __future__ import annotations

import pytest

from gatewright.core.counting import Allowance, Kind
from gatewright.core.grant import Grant
from gatewright.store.leases import GIVEN_BACK_S, SWEEP_S, Leases
from gatewright.store.redis_owed import PRESENT, Owed
from gatewright.store.redis_scripts import Row, Shape, shape_of
from gatewright.testing.clock import FakeClock

BUDGET = Allowance("b", Kind.BUDGET, 1_000)
SLIDING = Allowance("r", Kind.SLIDING, 1_000, 60.0)
START = 1_800_000_000.0


class Worker:
    """The leases of one worker, with a server that gives whatever is wanted."""

    def __init__(self, fraction: float = 0.1) -> None:
        self.clock = FakeClock(START)
        self.owed = Owed(100)
        self.leases = Leases(fraction, self.owed)

    @property
    def now_us(self) -> float:
        return self.clock() * 1e6

    def take(self, allowance: Allowance, amount: int) -> tuple[list[int], list[int]] | None:
        return self.leases.take([shape_of(allowance, "p")], [allowance], [amount], self.now_us)

    def book(self, left: int = 500) -> list[Row]:
        """Send what is owed, and get all that is wanted."""
        rows = self.owed.take(self.now_us)
        for row in rows:
            if row.want:
                self.leases.granted(row, row.want, left, self.now_us)
        return rows

    def fill(self, allowance: Allowance, amount: int) -> int:
        """Use a counter until it has a lease; what that holds."""
        assert self.take(allowance, amount) is None
        assert self.take(allowance, amount) is None
        [row] = self.book()
        assert row.want == self.leases.held()
        return row.want


def test_a_counter_gets_a_lease_when_it_is_used_twice_within_a_second() -> None:
    worker = Worker()
    assert worker.take(BUDGET, 10) is None
    assert worker.book() == [], "once is not enough"
    assert worker.take(BUDGET, 10) is None
    [row] = worker.book()
    assert (row.mark, row.want) == (PRESENT, 40), "twice what was used of late"
    left, marks = worker.take(BUDGET, 10) or ([], [])
    assert (left, marks) == ([530], [shape_of(BUDGET, "p").slice_at(worker.now_us)])
    assert worker.leases.held() == 30


def test_a_lease_is_never_more_than_its_part_of_the_limit() -> None:
    assert Worker(0.1).fill(BUDGET, 90) == 100
    assert Worker(0.02).fill(BUDGET, 90) == 20


def test_half_used_is_renewed_and_asked_for_once() -> None:
    worker = Worker()
    worker.fill(BUDGET, 25)
    assert worker.take(BUDGET, 40) is not None
    assert worker.book() == []
    assert worker.take(BUDGET, 20) is not None
    assert worker.take(BUDGET, 20) is not None
    assert [row.want for row in worker.book()] == [60], "wanted when half was used; once while it is on its way"


def test_what_a_lease_does_not_cover_is_asked_of_the_server() -> None:
    worker = Worker()
    held = worker.fill(BUDGET, 25)
    assert worker.take(BUDGET, held + 1) is None
    assert worker.leases.held() == held
    both = [BUDGET, SLIDING]
    shapes = [shape_of(allowance, "p") for allowance in both]
    assert worker.leases.take(shapes, both, [1, 1], worker.now_us) is None
    assert worker.leases.held() == held, "of all or of none"


@pytest.mark.parametrize(("allowance", "width_s"), [(SLIDING, 4.0), (BUDGET, 30.0)])
def test_a_lease_ends_with_its_slice(allowance: Allowance, width_s: float) -> None:
    worker = Worker()
    held, mark = worker.fill(allowance, 10), shape_of(allowance, "p").slice_at(worker.now_us)
    worker.clock.advance(width_s - 0.001)
    assert worker.take(allowance, 1) is not None
    worker.clock.advance(0.001)
    assert worker.take(allowance, 1) is None, "what is used now must not stand in a slice that is over"
    rows = worker.book()
    assert worker.take(allowance, 1) is None or rows, "a new one is on its way"
    worker.leases.sweep(worker.now_us)
    rows += worker.book()
    assert sum(row.give for row in rows if row.mark == mark) == held - 1


def test_short_periods_have_no_leases() -> None:
    worker, short = Worker(), Allowance("r", Kind.SLIDING, 1_000, 10.0)
    assert [worker.take(short, 10) for _ in range(5)] == [None] * 5
    assert worker.book() == []


@pytest.mark.parametrize("uses", [0, 1, 5])
def test_what_nobody_uses_is_given_back_in_time(uses: int) -> None:
    worker = Worker()
    held = worker.fill(BUDGET, 10)
    for _ in range(uses):
        assert worker.take(BUDGET, 1) is not None
    worker.owed.take(worker.now_us)
    waited = 0.0
    while worker.leases.held():
        worker.clock.advance(SWEEP_S)
        waited += SWEEP_S
        worker.leases.sweep(worker.now_us)
    assert waited <= GIVEN_BACK_S
    assert sum(row.give for row in worker.owed.take(worker.now_us)) == held - uses


def test_a_lease_shrinks_with_what_is_used() -> None:
    worker = Worker()
    worker.fill(BUDGET, 25)
    for _ in range(8):
        worker.clock.advance(SWEEP_S)
        worker.take(BUDGET, 1)
        worker.leases.sweep(worker.now_us)
        worker.book()
    assert worker.leases.held() <= 2 * 3


def test_a_refusal_gives_everything_back_and_asks_for_no_more_for_a_while() -> None:
    worker = Worker()
    held, shape = worker.fill(BUDGET, 25), shape_of(BUDGET, "p")
    assert worker.take(BUDGET, 900) is None
    worker.leases.refused(shape, worker.now_us)
    assert worker.leases.held() == 0
    assert sum(row.give for row in worker.book()) == held
    assert worker.take(BUDGET, 1) is None
    assert worker.book() == []
    worker.clock.advance(1.1)
    assert worker.take(BUDGET, 1) is None
    assert [row.want for row in worker.book()] == [100]


def test_what_comes_too_late_goes_back() -> None:
    worker, shape = Worker(), shape_of(BUDGET, "p")
    worker.take(BUDGET, 10)
    worker.take(BUDGET, 10)
    [row] = worker.owed.take(worker.now_us)
    worker.leases.give_up()
    worker.leases.granted(row, 40, 100, worker.now_us)
    assert worker.leases.held() == 0
    assert [(r.mark, r.give) for r in worker.owed.take(worker.now_us)] == [(shape.slice_at(worker.now_us), 40)]


def test_a_lease_takes_back_what_was_not_needed_while_its_slice_lasts() -> None:
    worker, shape = Worker(), shape_of(BUDGET, "p")
    held = worker.fill(BUDGET, 25)
    _, [mark] = worker.take(BUDGET, 10) or ([], [])
    assert worker.leases.give(shape, mark, 10, worker.now_us)
    assert worker.leases.held() == held
    assert not worker.leases.give(shape, mark - 1, 10, worker.now_us)
    worker.clock.advance(30)
    assert not worker.leases.give(shape, mark, 10, worker.now_us)


def extend(worker: Worker, grant: Grant, amount: int) -> bool:
    shapes: list[Shape] = [shape_of(allowance, "p") for allowance in grant.allowances]
    return worker.leases.extend(shapes, grant, [amount], worker.now_us)


def test_an_extension_moves_the_reservation_into_the_present_slice() -> None:
    worker, shape = Worker(), shape_of(BUDGET, "p")
    mark = shape.slice_at(worker.now_us)
    grant = Grant([BUDGET], [50], [0], [mark])
    worker.clock.advance(30)
    worker.fill(BUDGET, 10)
    assert extend(worker, grant, 5)
    assert (grant.amounts, grant.marks) == ([55], [mark + 1])
    moves = {row.mark: (row.give, row.add) for row in worker.owed.take(worker.now_us)}
    assert moves == {mark: (50, 0), mark + 1: (0, 50)}
    assert not extend(worker, grant, 1_000), "more than the lease has"
    old = Grant([BUDGET], [50], [0], [mark - 3])
    assert not extend(worker, old, 1), "it may be forgotten on its way"
    assert old.amounts == [50]
