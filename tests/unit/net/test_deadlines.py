"""Deadlines pass once, late by at most a tick, however often they are moved; the heap stays small."""

from __future__ import annotations

import gc
import weakref

import pytest
from wires import FakeLoop, ticking

from gatewright.net.deadlines import TICK_S, Deadline


def test_passes_once_and_not_before_its_time() -> None:
    loop, clock = ticking()
    fired: list[float] = []
    deadline = Deadline(clock, lambda: fired.append(loop.time()))
    deadline.arm(1.0)
    for _ in range(60):
        loop.advance(TICK_S)
    assert len(fired) == 1
    assert 1_001.0 <= fired[0] <= 1_001.0 + 2 * TICK_S


@pytest.mark.parametrize(("first", "second"), [(1.0, 3.0), (3.0, 1.0)])
def test_the_last_time_set_counts(first: float, second: float) -> None:
    loop, clock = ticking()
    fired: list[float] = []
    deadline = Deadline(clock, lambda: fired.append(loop.time() - 1_000.0))
    deadline.arm(first)
    deadline.arm(second)
    for _ in range(100):
        loop.advance(TICK_S)
    assert len(fired) == 1
    assert second <= fired[0] <= second + 2 * TICK_S


def test_may_be_moved_on_by_assignment() -> None:
    loop, clock = ticking()
    fired: list[float] = []
    deadline = Deadline(clock, lambda: fired.append(loop.time() - 1_000.0))
    deadline.arm(1.0)
    for _ in range(10):
        loop.advance(0.5)
        deadline.at = clock.now + 1.0
    assert fired == []
    loop.advance(1.0)
    loop.advance(TICK_S)
    assert len(fired) == 1


def test_a_disarmed_one_calls_nobody_until_it_is_armed_again() -> None:
    loop, clock = ticking()
    fired: list[int] = []
    deadline = Deadline(clock, lambda: fired.append(1))
    deadline.arm(1.0)
    deadline.disarm()
    loop.advance(5.0)
    assert fired == []
    deadline.arm(1.0)
    loop.advance(1.1)
    assert fired == [1]


def test_may_be_armed_again_by_its_own_callback() -> None:
    loop, clock = ticking()
    fired: list[int] = []

    def on_expired() -> None:
        fired.append(1)
        deadline.arm(1.0)

    deadline = Deadline(clock, on_expired)
    deadline.arm(1.0)
    for _ in range(4):
        loop.advance(1.0)
    assert 3 <= len(fired) <= 4


def test_ten_thousand_rearmings_leave_a_handful_of_entries() -> None:
    loop, clock = ticking()
    deadline = Deadline(clock, lambda: None)
    for number in range(10_000):
        deadline.arm(60.0 if number % 2 else 30.0)
        loop.advance(0.01)
    assert len(clock._heap) <= 4


def test_a_closed_one_lets_its_owner_go() -> None:
    class Owner:
        def __init__(self) -> None:
            self.deadline = Deadline(clock, self.on_expired)

        def on_expired(self) -> None:
            raise AssertionError("called after its end")

    loop, clock = ticking()
    owner = Owner()
    owner.deadline.arm(10.0)
    owner.deadline.close()
    seen = weakref.ref(owner)
    del owner
    gc.collect()
    assert seen() is None, "the heap must not keep it"
    loop.advance(20.0)
    assert clock._heap == []


def test_the_coarse_clock_moves_with_the_ticks_and_tells_who_asked() -> None:
    loop, clock = ticking()
    seen: list[float] = []
    clock.on_tick(lambda: seen.append(clock.now))
    loop.time.advance(0.04)
    assert clock.now == 1_000.0
    loop.advance(0.01)
    assert seen == [clock.now] == [loop.time()]


def test_stopped_it_ticks_no_more() -> None:
    loop, clock = ticking()
    clock.stop()
    loop.advance(1.0)
    assert clock.now == 1_000.0
    assert isinstance(loop, FakeLoop)
