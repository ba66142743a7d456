"""Token buckets in memory behave as a plain calculation does, whatever is taken, given and waited for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.store import memory
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock


def counters() -> tuple[FakeClock, MemoryCounters]:
    clock = FakeClock()
    return clock, MemoryCounters(clock)


def test_a_bucket_is_full_at_first_and_empties() -> None:
    _, buckets = counters()
    assert buckets.left("k", 3, 60) == 3
    assert [buckets.take("k", 1, 3, 60) for _ in range(4)] == [0, 0, 0, pytest.approx(20)]
    assert buckets.left("k", 3, 60) == 0


def test_what_was_taken_flows_back_evenly_up_to_the_capacity() -> None:
    clock, buckets = counters()
    for _ in range(3):
        buckets.take("k", 1, 3, 60)
    clock.advance(30)
    assert buckets.left("k", 3, 60) == pytest.approx(1.5)
    clock.advance(10_000)
    assert buckets.left("k", 3, 60) == 3


def test_the_wait_it_tells_is_enough() -> None:
    clock, buckets = counters()
    buckets.take("k", 10, 10, 1)
    wait_s = buckets.take("k", 4, 10, 1)
    clock.advance(wait_s + 1e-9)
    assert buckets.take("k", 4, 10, 1) == 0


def test_a_refusal_takes_nothing() -> None:
    _, buckets = counters()
    buckets.take("k", 8, 10, 1)
    assert buckets.take("k", 5, 10, 1) > 0
    assert buckets.left("k", 10, 1) == 2


def test_more_than_the_capacity_waits_for_a_full_bucket_and_leaves_a_debt() -> None:
    clock, buckets = counters()
    buckets.take("k", 1, 10, 10)
    assert buckets.take("k", 25, 10, 10) == pytest.approx(1)
    clock.advance(1)
    assert buckets.take("k", 25, 10, 10) == 0
    assert buckets.left("k", 10, 10) == -15
    assert buckets.take("k", 1, 10, 10) == pytest.approx(16)


def test_giving_back_and_taking_after_the_fact() -> None:
    _, buckets = counters()
    buckets.take("k", 5, 10, 1)
    buckets.give("k", 2, 10, 1)
    assert buckets.left("k", 10, 1) == 7
    buckets.give("k", 100, 10, 1)
    assert buckets.left("k", 10, 1) == 10
    buckets.give("k", -30, 10, 1)
    assert buckets.left("k", 10, 1) == -20
    buckets.give("new", -4, 10, 1)
    assert buckets.left("new", 10, 1) == 6


def test_a_debt_is_counted_from_a_full_bucket_however_long_the_exchange_took() -> None:
    clock, buckets = counters()
    buckets.take("k", 40, 100, 60)
    clock.advance(600)
    buckets.give("k", -960, 100, 60)
    assert buckets.left("k", 100, 60) == -860


def test_a_changed_limit_is_held_from_the_next_look_on() -> None:
    _, buckets = counters()
    buckets.take("k", 5, 10, 1)
    assert buckets.left("k", 3, 1) == 3
    assert buckets.take("k", 4, 3, 1) == 0
    assert buckets.left("k", 3, 1) == -1


def test_full_buckets_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MAX_KEYS", 3)
    clock, buckets = counters()
    for key in "ab":
        buckets.take(key, 1, 10, 10)
    buckets.take("debt", 20, 10, 10)
    clock.advance(5)
    buckets.take("c", 1, 10, 10)
    assert set(buckets._buckets) == {"debt", "c"}
    assert buckets.left("debt", 10, 10) == -5


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "give", "wait", "left"]),
        st.sampled_from(["k", "l"]),
        st.integers(0, 40),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(STEPS, st.integers(1, 20), st.integers(1, 8))
def test_agrees_with_a_plain_calculation(steps: list[tuple[str, str, int]], capacity: int, per_s: int) -> None:
    clock, buckets = counters()
    levels: dict[str, float] = {"k": capacity, "l": capacity}
    for what, key, amount in steps:
        if what == "wait":
            clock.advance(amount / 16)
            for name in levels:
                levels[name] = min(capacity, levels[name] + amount / 16 * capacity / per_s)
        elif what == "give":
            buckets.give(key, amount - 10, capacity, per_s)
            levels[key] = min(capacity, levels[key] + amount - 10)
        elif what == "take":
            # A hair's breadth from the edge either verdict is right.
            if abs(levels[key] - min(amount, capacity)) > 1e-6 or amount == 0:
                wait_s = buckets.take(key, amount, capacity, per_s)
                if levels[key] >= min(amount, capacity):
                    assert wait_s == 0
                    levels[key] -= amount
                else:
                    missing: Any = min(amount, capacity) - levels[key]
                    assert wait_s == pytest.approx(missing * per_s / capacity)
        assert buckets.left(key, capacity, per_s) == pytest.approx(levels[key], abs=1e-6)
