"""Counters in a file: what outlives whom, who takes the lock, and which places are given to others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.grant import Grant
from gatewright.store import shared
from gatewright.store.shared import SharedCounters, lacks_spending
from gatewright.testing.clock import FakeClock

BUDGET = Allowance("b", Kind.BUDGET, 10)


class Fleet:
    """Several adapters over one file, as if of several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = FakeClock(6_000_000.0)
        self.problems: list[str] = []
        self.attached: list[SharedCounters] = []

    def attach(self, sets: int = 2) -> SharedCounters:
        counters = SharedCounters(self.path, self.clock, sets=sets, on_problem=self.problems.append)
        self.attached.append(counters)
        return counters

    def detach(self, counters: SharedCounters) -> None:
        self.attached.remove(counters)
        counters.close()

    def kill(self, counters: SharedCounters) -> None:
        """End it as the kernel ends a process: locks go, what it wrote stays."""
        mode = counters._words[counters._slot]
        self.detach(counters)
        with self.path.open("r+b") as file:
            os.pwrite(file.fileno(), mode.to_bytes(8, "little"), counters._slot * 8)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path / "counters")
    yield fleet
    for counters in list(fleet.attached):
        fleet.detach(counters)


def use(counters: SharedCounters, allowance: Allowance, amount: int = 1) -> bool:
    grant = counters.reserve([allowance], [amount])
    if isinstance(grant, Grant):
        counters.settle(grant, [amount])
    return isinstance(grant, Grant)


def budgets(count: int) -> list[Allowance]:
    return [Allowance(f"budget-{index}", Kind.BUDGET, 10) for index in range(count)]


def test_what_was_used_outlives_whoever_used_it(fleet: Fleet) -> None:
    first = fleet.attach()
    use(first, BUDGET, 4)
    first.reserve([BUDGET], [3])
    fleet.kill(first)
    second = fleet.attach()
    assert second.used([BUDGET]) == [7]
    fleet.clock.advance(150)
    assert second.used([BUDGET]) == [4], "the reservation of the dead expires"
    assert fleet.path.stat().st_mode & 0o777 == 0o600
    assert not list(fleet.path.parent.glob("*.new"))


def test_alone_there_is_no_lock_and_with_others_there_is(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fleet.attach()
    assert first.is_alone
    taken: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lambda fd, what: taken.append(what))
    use(first, BUDGET)
    assert not taken
    second = fleet.attach()
    assert not second.tick()
    assert first.tick()
    assert not first.is_alone
    assert second.tick()
    taken.clear()
    for counters in (first, second):
        use(counters, BUDGET)
    assert taken == [fcntl.LOCK_EX, fcntl.LOCK_UN] * 4
    assert first.used([BUDGET]) == [3]
    fleet.detach(second)
    assert first.tick()
    assert first.is_alone


def test_who_arrives_waits_until_the_other_takes_the_lock_too(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.attach()
    second = fleet.attach()
    monkeypatch.setattr(shared, "PATIENCE_S", 0.0)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="does not answer"):
            second.reserve([BUDGET], [1])


@pytest.mark.parametrize("was_alone", [True, False])
def test_the_dead_are_not_waited_for(fleet: Fleet, was_alone: bool) -> None:
    first = fleet.attach()
    if not was_alone:
        fleet.attach()
        first.tick()
    fleet.kill(first)
    for other in list(fleet.attached):
        fleet.kill(other)
    second = fleet.attach()
    assert second.is_alone
    third = fleet.attach()
    second.tick()
    assert third.tick()
    fleet.kill(second)
    third.tick()
    assert third.is_alone


def test_where_nobody_can_be_seen_to_live_everybody_takes_the_lock(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int, slot: int) -> bool:
        raise OSError("not here")

    monkeypatch.setattr(shared, "_is_locked", fail)
    first, second = fleet.attach(), fleet.attach()
    for counters in (first, second):
        assert counters.tick()
        assert not counters.is_alone
        use(counters, BUDGET)
    assert first.used([BUDGET]) == [2]


@pytest.mark.parametrize("content", [b"", b"not a table", b"\0" * 3 * 4096], ids=["empty", "text", "zeros"])
def test_a_file_that_is_no_table_is_set_aside_and_said_so(fleet: Fleet, content: bytes) -> None:
    fleet.path.write_bytes(content)
    assert use(fleet.attach(), BUDGET)
    assert fleet.path.with_name("counters.unusable").read_bytes() == content
    assert ["counters.unusable" in problem for problem in fleet.problems] == [True]


def test_so_is_one_of_another_version_or_cut_short(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    for change in ("version", "length"):
        first = fleet.attach()
        use(first, BUDGET)
        fleet.detach(first)
        if change == "version":
            monkeypatch.setattr(shared, "_VERSION", 99)
        else:
            os.truncate(fleet.path, 4096)
        assert fleet.attach().used([BUDGET]) == [0]
        fleet.detach(fleet.attached[0])
    assert len(fleet.problems) == 2


def test_a_table_keeps_its_size(fleet: Fleet) -> None:
    fleet.detach(fleet.attach(sets=2))
    assert fleet.attach(sets=5)._sets == 2
    assert not fleet.problems


def test_a_full_table_forgets_only_that_of_which_nothing_matters(fleet: Fleet) -> None:
    counters = fleet.attach(sets=1)
    lasting = budgets(17)
    for allowance in lasting:
        use(counters, allowance)
    soon, late = (Allowance(key, Kind.SLIDING, 10, period_s) for key, period_s in (("soon", 30.0), ("late", 60.0)))
    use(counters, soon)
    use(counters, late)
    use(counters, Allowance("over", Kind.BUDGET, 10, ends_at=fleet.clock() + 1))
    fleet.clock.advance(2)
    assert use(counters, Allowance("new", Kind.BUDGET, 10))
    for kind in Kind:
        assert counters.reserve([Allowance("newer", kind, 10, 60.0)], [1]) == Refused(0, 0, 1.0)
    assert len(fleet.problems) == 1
    assert counters.used([soon, late]) == [1, 1]
    fleet.clock.advance(40)
    assert use(counters, Allowance("newer", Kind.BUDGET, 10))
    assert counters.used([soon, late]) == [0, 1]
    assert counters.used(lasting) == [1] * 17


def opened(pool: str, number: int, period_s: float = 60.0) -> Allowance:
    key = f"{pool}:user-{number}:requests"
    return Allowance(key, Kind.SLIDING, 5, period_s, shared_key=f"{pool}:\n:requests", is_open=True)


def test_names_that_callers_make_up_leave_room_for_others(fleet: Fleet) -> None:
    counters = fleet.attach(sets=64)
    places = 64 * 20
    for pool, share in (("one", 0.4), ("two", 0.2), ("three", 0.1)):
        users = [opened(pool, number, 3_600.0) for number in range(2 * places)]
        for user in users:
            use(counters, user)
            fleet.clock.advance(shared._FULL_S)
        assert 0.9 * places * share < sum(map(bool, counters.used(users))) <= places * share
    of_operators = [Allowance(f"key-{number}", Kind.SLIDING, 5, 60.0) for number in range(places // 5)]
    assert all(use(counters, allowance) for allowance in of_operators)
    assert [problem for problem in fleet.problems if "share one limit" in problem] == fleet.problems
    assert len(fleet.problems) == 1


def test_who_finds_no_room_shares_one_limit_and_a_limit_forgets_nothing(fleet: Fleet) -> None:
    counters, other = fleet.attach(sets=1), fleet.attach()
    victim = Allowance("victim", Kind.SLIDING, 5, 60.0)
    passed = 0
    for attempt in range(12):
        passed += use(counters, victim)
        for number in range(20):
            use(counters, opened("users", 20 * attempt + number, 86_400.0))
        fleet.clock.advance(0.5)
        other.tick()
        counters.tick()
    assert passed == 5
    for one in (counters, other):
        assert not use(one, opened("users", 1_000, 86_400.0))
        assert use(one, opened("another", 1)), "whose callers these are not"
    grant = counters.reserve([opened("more", 1), opened("more", 2), opened("more", 3)], [1, 1, 1])
    assert isinstance(grant, Grant)


def test_a_shared_reservation_is_given_back(fleet: Fleet) -> None:
    counters = fleet.attach(sets=1)

    def at_once(number: int) -> Allowance:
        return Allowance(f"user-{number}", Kind.CONCURRENT, 2, shared_key="others", is_open=True)

    held = [counters.reserve([at_once(number)], [1]) for number in range(8 + 2)]
    assert all(isinstance(grant, Grant) for grant in held)
    assert isinstance(counters.reserve([at_once(100)], [1]), Refused)
    assert isinstance(held[-1], Grant)
    assert counters.extend(held[-1], [0]) is None
    counters.settle(held[-1], [0])
    assert isinstance(counters.reserve([at_once(100)], [1]), Grant)
    assert isinstance(counters.reserve([at_once(101)], [1]), Refused)


def test_making_room_spares_what_the_same_call_takes_from(fleet: Fleet) -> None:
    counters = fleet.attach(sets=1)
    for allowance in budgets(19):
        use(counters, allowance)
    both = [Allowance("first", Kind.SLIDING, 10, 60.0), Allowance("second", Kind.SLIDING, 10, 60.0)]
    refused = counters.reserve(both, [1, 1])
    assert isinstance(refused, Refused)
    assert refused.index == 1


def test_others_notice_when_a_place_is_given_away(fleet: Fleet) -> None:
    first, second = fleet.attach(sets=1), fleet.attach(sets=1)
    first.tick()
    old = Allowance("old", Kind.SLIDING, 10, 60.0)
    use(first, old, 7)
    fleet.clock.advance(70)
    for allowance in budgets(20):
        use(second, allowance)
    assert first.used([old]) == [0]
    assert first.used(budgets(20)) == [1] * 20


def test_most_places_of_a_table_can_be_taken(fleet: Fleet) -> None:
    counters = fleet.attach(sets=16)
    taken = [allowance for allowance in budgets(16 * 20) if use(counters, allowance)]
    assert len(taken) > 0.9 * 16 * 20
    counters._rows.clear()
    assert counters.used(taken) == [1] * len(taken)


def test_keys_may_be_any_text_and_as_many_as_they_like(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_MAX_KNOWN", 2)
    counters = fleet.attach()
    allowances = [Allowance(key, Kind.BUDGET, 2) for key in ("", "é\ud800", "x" * 10_000, "\0")]
    grant = counters.reserve(allowances, [1, 1, 1, 1])
    assert isinstance(grant, Grant)
    assert counters.extend(grant, [1, 1, 1, 1]) is None
    counters.settle(grant, [1, 2, 1, 2])
    assert counters.used(allowances) == [1, 2, 1, 2]


def test_the_ledger_raises_a_budget_in_the_file(fleet: Fleet) -> None:
    first = fleet.attach()
    assert first.raise_settled(BUDGET, 6)
    fleet.detach(first)
    assert fleet.attach().used([BUDGET]) == [6]


def test_a_new_file_lacks_what_the_ledger_knows_until_that_is_noted(fleet: Fleet) -> None:
    assert lacks_spending(fleet.path), "there is none"
    counters = fleet.attach()
    use(counters, BUDGET)
    assert lacks_spending(fleet.path)
    counters.note_raised()
    fleet.kill(counters)
    assert not lacks_spending(fleet.path)
    fleet.path.write_bytes(b"not a table")
    assert lacks_spending(fleet.path)


def test_too_many_processes_are_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "_lock_byte", lambda fd, slot: False)
    with pytest.raises(OSError, match="too many"):
        fleet.attach()
