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
            monkeypatch.setattr(shared, "_VERSION", 2)
        else:
            os.truncate(fleet.path, 4096)
        assert fleet.attach().used([BUDGET]) == [0]
        fleet.detach(fleet.attached[0])
    assert len(fleet.problems) == 2


def test_a_table_keeps_its_size(fleet: Fleet) -> None:
    fleet.detach(fleet.attach(sets=2))
    assert fleet.attach(sets=5)._sets == 2
    assert not fleet.problems


def test_a_full_table_forgets_free_ones_then_sliding_ones_and_never_a_budget(fleet: Fleet) -> None:
    counters = fleet.attach(sets=1)
    lasting = budgets(18)
    for allowance in lasting:
        use(counters, allowance)
    soon, late = (Allowance(key, Kind.SLIDING, 10, period_s) for key, period_s in (("soon", 30.0), ("late", 60.0)))
    use(counters, soon)
    use(counters, late)
    use(counters, Allowance("over", Kind.BUDGET, 10, ends_at=fleet.clock() + 1))
    fleet.clock.advance(2)
    for number, used in enumerate(([1, 1], [0, 1], [0, 0])):
        assert use(counters, Allowance(f"new-{number}", Kind.BUDGET, 10))
        assert counters.used([soon, late]) == used
    assert counters.reserve([BUDGET], [1]) == Refused(0, 0, 1.0)
    assert len(fleet.problems) == 1
    assert counters.used(lasting) == [1] * 18


def test_making_room_spares_what_the_same_call_takes_from(fleet: Fleet) -> None:
    counters = fleet.attach(sets=1)
    for allowance in budgets(20):
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
    for allowance in budgets(21):
        use(second, allowance)
    assert first.used([old]) == [0]
    assert first.used(budgets(21)) == [1] * 21


def test_most_places_of_a_table_can_be_taken(fleet: Fleet) -> None:
    counters = fleet.attach(sets=16)
    taken = [allowance for allowance in budgets(16 * 21) if use(counters, allowance)]
    assert len(taken) > 0.9 * 16 * 21
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
