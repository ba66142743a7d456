"""Counters in memory: how many are kept, and which are forgotten first."""

from __future__ import annotations

import pytest

from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.grant import Grant
from gatewright.store import memory
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setattr(memory, "_MAX_KEYS", 4)
    return FakeClock(6_000_000.0)


def sliding(key: str) -> Allowance:
    return Allowance(key, Kind.SLIDING, 10, 60.0)


def budget(key: str, ends_at: float = float("inf")) -> Allowance:
    return Allowance(key, Kind.BUDGET, 10, ends_at=ends_at)


def use(counters: MemoryCounters, allowance: Allowance) -> bool:
    grant = counters.reserve([allowance], [1])
    if isinstance(grant, Grant):
        counters.settle(grant, [1])
    return isinstance(grant, Grant)


def test_only_those_of_which_nothing_matters_are_forgotten(clock: FakeClock) -> None:
    counters = MemoryCounters(clock)
    use(counters, budget("over", clock() + 30))
    use(counters, budget("lasts"))
    clock.advance(40)
    use(counters, sliding("young"))
    counters.reserve([budget("held")], [1])
    assert use(counters, sliding("new"))
    assert set(counters._rows) == {"lasts", "young", "held", "new"}
    assert not use(counters, sliding("one more"))
    assert set(counters._rows) == {"lasts", "young", "held", "new"}


def test_what_has_no_room_is_refused_until_there_is_some(clock: FakeClock) -> None:
    problems: list[str] = []
    counters = MemoryCounters(clock, on_problem=problems.append)
    for key in "abcd":
        assert use(counters, budget(key, clock() + 100))
    for _ in range(2):
        assert counters.reserve([sliding("new")], [1]) == Refused(0, 0, 1.0)
        assert counters.reserve([budget("new")], [1]) == Refused(0, 0, 1.0)
    assert len(problems) == 1
    assert counters.used([budget(key) for key in "abcd"]) == [1, 1, 1, 1]
    clock.advance(101)
    assert use(counters, budget("new"))


def test_making_room_spares_what_the_same_call_takes_from(clock: FakeClock) -> None:
    counters = MemoryCounters(clock)
    for key in "abc":
        use(counters, budget(key))
    both = [sliding("first"), sliding("second")]
    assert isinstance(counters.reserve(both, [1, 1]), Refused), "the first is new, free and needed"
    use(counters, sliding("first"))
    clock.advance(0.5)
    assert counters.used([budget("a"), sliding("first")]) == [1, 1]


def test_what_callers_make_leaves_room_for_others_and_shares_what_it_gets_not(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_MAX_KEYS", 20)
    problems: list[str] = []
    counters = MemoryCounters(clock, on_problem=problems.append)
    for pool, own in (("a", 8), ("b", 4)):
        users = [opened(pool, number) for number in range(30)]
        for user in users:
            assert use(counters, user) == (user in users[: own + 10]), "the shared one counts ten of the others"
        assert counters.used(users) == [1] * own + [0] * (30 - own)
        assert counters.used([Allowance(pool, Kind.SLIDING, 10, 60.0)]) == [10]
    assert len(problems) == 1
    assert use(counters, sliding("of an operator"))
    clock.advance(70)
    assert use(counters, opened("a", 29))
    assert counters.used([opened("a", 29)]) == [1]


def opened(pool: str, number: int) -> Allowance:
    return Allowance(f"{pool}:{number}", Kind.SLIDING, 10, 60.0, shared_key=pool, is_open=True)
