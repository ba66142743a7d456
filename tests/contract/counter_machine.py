"""A state machine that drives counters and a plain model of them side by side, for any adapter.

The model keeps a list of what was taken when, and counts by going through it: no rings, no sums. Beyond agreeing with
it exactly, each step checks what users rely on, from exact times alone: no sliding limit is passed in any stretch of
its period, no budget by what is spent and reserved, and at the end nobody is locked out of what is left.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gatewright.core.cells import CELL_S, CELLS, UNKNOWN_WAIT_S
from gatewright.core.counting import RESERVED_S, SLICES, Allowance, Kind, Refused
from gatewright.core.grant import Grant
from gatewright.testing.clock import FakeClock

INF = float("inf")
SHAPES = {
    "minute": (Kind.SLIDING, 60.0, True),
    "short": (Kind.SLIDING, 7.5, True),
    "watched": (Kind.SLIDING, 60.0, False),
    "budget": (Kind.BUDGET, 0.0, True),
    "soft": (Kind.BUDGET, 0.0, False),
    "at once": (Kind.CONCURRENT, 0.0, True),
}
START = 1_800_000_000.0


@dataclass
class Subject:
    """An adapter under test: how many processes use it, and how their calls end."""

    processes: Sequence[Any]
    finish: Callable[[Any], Any] = lambda answer: answer
    """Gives the answer of a call, which may be an awaitable."""
    flush: Callable[[], None] = lambda: None
    """Returns once settlements are done."""
    tick: Callable[[], None] = lambda: None
    """Called when time has passed."""
    close: Callable[[], None] = lambda: None


@dataclass(eq=False)
class Taken:
    """An amount, since when it counts exactly, and the slice it stands in."""

    at: float
    number: int
    amount: int


@dataclass
class Held:
    """The model's side of a grant."""

    process: int
    grant: Grant
    allowances: list[Allowance]
    taken: list[Taken]
    gone: list[int]
    """What was held of sliding ones in earlier slices, all of it."""
    earlier: list[list[Taken]]
    """That, in order."""


@dataclass
class Plain:
    """The model of one counter."""

    kind: Kind
    period_s: float
    taken: list[Taken] = field(default_factory=list)
    settled: int = 0

    @property
    def width_s(self) -> float:
        return self.period_s / (SLICES - 1) if self.kind is Kind.SLIDING else CELL_S

    @property
    def size(self) -> int:
        return SLICES if self.kind is Kind.SLIDING else CELLS

    def number(self, now: float) -> int:
        return int(now / self.width_s)

    def is_live(self, taken: Taken, now: float) -> bool:
        return taken in self.taken and self.number(now) - taken.number < self.size

    def total(self, now: float) -> int:
        return self.settled + sum(taken.amount for taken in self.taken if self.is_live(taken, now))

    def strictly_used(self, now: float) -> int:
        """By exact times: what was used in the last period, or what is spent and surely reserved."""
        period_s = self.period_s if self.kind is Kind.SLIDING else RESERVED_S
        return self.settled + sum(taken.amount for taken in self.taken if taken.at > now - period_s)

    def fits(self, now: float, limit: int, amount: int, own: int = 0) -> bool:
        total = self.total(now)
        if self.kind is Kind.SLIDING and limit > 0 and total == own and own + amount > limit:
            return True
        return total + amount <= limit

    def add(self, now: float, amount: int) -> Taken:
        taken = Taken(now, self.number(now), amount)
        self.taken.append(taken)
        return taken


class CounterMachine(RuleBasedStateMachine):
    """Subclass it with the adapter: `build_subject`."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(START)
        self.plain = {key: Plain(kind, period_s) for key, (kind, period_s, _) in SHAPES.items()}
        self.limits = dict.fromkeys(SHAPES, 20)
        self.held: list[Held] = []
        self.subject = self.build_subject(self.clock)

    @abstractmethod
    def build_subject(self, clock: FakeClock) -> Subject:
        """A new adapter with empty counters that tells the time by `clock`."""

    def teardown(self) -> None:
        try:
            self.check_that_nobody_is_locked_out()
        finally:
            self.subject.close()

    def allowance(self, key: str) -> Allowance:
        kind, period_s, is_hard = SHAPES[key]
        return Allowance(key, kind, self.limits[key], period_s, INF, is_hard)

    def used(self, process: int, keys: list[str]) -> list[int]:
        used: list[int] = self.subject.finish(
            self.subject.processes[process].used([self.allowance(key) for key in keys])
        )
        return used

    @rule(
        wanted=st.dictionaries(st.sampled_from(sorted(SHAPES)), st.integers(0, 15) | st.integers(16, 30), min_size=1),
        process=st.integers(0, 7),
    )
    def reserve(self, wanted: dict[str, int], process: int) -> None:
        process %= len(self.subject.processes)
        now, allowances, amounts = self.clock(), [self.allowance(key) for key in wanted], list(wanted.values())
        answer = self.subject.finish(self.subject.processes[process].reserve(allowances, list(amounts)))
        refusing = [
            index
            for index, allowance in enumerate(allowances)
            if allowance.is_hard and not self.plain[allowance.key].fits(now, allowance.limit, amounts[index])
        ]
        if refusing:
            self.check_refusal(answer, refusing[0], allowances[refusing[0]], amounts[refusing[0]])
            return
        assert isinstance(answer, Grant), answer
        for allowance, amount in zip(allowances, amounts, strict=True):
            self.check_limit(allowance, amount, 0)
        taken = [self.plain[key].add(now, amount) for key, amount in wanted.items()]
        self.held.append(Held(process, answer, allowances, taken, [0] * len(taken), [[] for _ in taken]))
        self.check_left(answer)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), amounts=st.lists(st.integers(0, 12), min_size=len(SHAPES), max_size=len(SHAPES)))
    def extend(self, data: st.DataObject, amounts: list[int]) -> None:
        held = data.draw(st.sampled_from(self.held))
        now, amounts = self.clock(), amounts[: len(held.taken)]
        answer = self.subject.finish(self.subject.processes[held.process].extend(held.grant, list(amounts)))
        takes = []
        for index, allowance in enumerate(held.allowances):
            plain, taken = self.plain[allowance.key], held.taken[index]
            is_live = plain.is_live(taken, now)
            take = amounts[index] + (0 if is_live or plain.kind is Kind.SLIDING else taken.amount)
            own = taken.amount if is_live else 0
            takes.append((take, own))
            if allowance.is_hard and take > 0 and not plain.fits(now, allowance.limit, take, own):
                self.check_refusal(answer, index, allowance, take)
                return
        assert answer is None, answer
        for index, allowance in enumerate(held.allowances):
            plain, taken = self.plain[allowance.key], held.taken[index]
            if takes[index][0]:
                self.check_limit(allowance, *takes[index])
            if plain.is_live(taken, now) and (plain.kind is not Kind.SLIDING or taken.number == plain.number(now)):
                taken.at, taken.number, taken.amount = now, plain.number(now), taken.amount + amounts[index]
                continue
            if plain.kind is Kind.SLIDING:
                if not amounts[index]:
                    continue
                held.gone[index] += taken.amount
                held.earlier[index].append(taken)
            held.taken[index] = plain.add(now, takes[index][0])
        self.check_left(held.grant)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), amounts=st.lists(st.integers(0, 40), min_size=len(SHAPES), max_size=len(SHAPES)))
    def settle(self, data: st.DataObject, amounts: list[int]) -> None:
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        amounts = amounts[: len(held.taken)]
        self.settle_with(held, amounts)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle_as_held(self, data: st.DataObject) -> None:
        held = data.draw(st.sampled_from(self.held))
        self.held.remove(held)
        self.settle_with(held, [gone + taken.amount for gone, taken in zip(held.gone, held.taken, strict=True)])

    def settle_with(self, held: Held, used: list[int]) -> None:
        now = self.clock()
        self.subject.processes[held.process].settle(held.grant, list(used))
        self.subject.flush()
        for index, allowance in enumerate(held.allowances):
            plain, taken = self.plain[allowance.key], held.taken[index]
            if plain.kind is Kind.SLIDING:
                since = used[index] - held.gone[index]
                for earlier in held.earlier[index]:
                    unused = min(max(-since, 0), earlier.amount)
                    earlier.amount -= unused
                    since += unused
                change = max(since, 0) - taken.amount
                if plain.is_live(taken, now):
                    taken.amount += change
                elif change > 0:
                    plain.add(now, change)
                continue
            plain.taken.remove(taken)
            if plain.kind is Kind.BUDGET:
                plain.settled += used[index]

    @precondition(lambda self: self.held)
    @rule(process=st.integers(0, 7))
    def crash(self, process: int) -> None:
        """The process forgets what it held."""
        self.held = [held for held in self.held if held.process != process % len(self.subject.processes)]

    @rule(seconds=st.sampled_from([0.25, 0.5, 4.0, 8.0, 30.0, 61.0, 121.0, 151.0]) | st.floats(0.001, 40))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.subject.tick()

    @rule(key=st.sampled_from(sorted(SHAPES)), limit=st.integers(0, 30))
    def change_limit(self, key: str, limit: int) -> None:
        self.limits[key] = limit

    @rule(key=st.sampled_from(["budget", "soft"]), amount=st.integers(0, 25), process=st.integers(0, 7))
    def raise_settled(self, key: str, amount: int, process: int) -> None:
        counters = self.subject.processes[process % len(self.subject.processes)]
        self.subject.finish(counters.raise_settled(self.allowance(key), amount))
        self.plain[key].settled = max(self.plain[key].settled, amount)

    @invariant()
    def agree(self) -> None:
        keys, now = sorted(SHAPES), self.clock()
        expected = [self.plain[key].total(now) for key in keys]
        for process in range(len(self.subject.processes)):
            assert dict(zip(keys, self.used(process, keys), strict=True)) == dict(zip(keys, expected, strict=True))

    @invariant()
    def agree_on_what_is_settled(self) -> None:
        keys = [key for key, (kind, _, _) in SHAPES.items() if kind is Kind.BUDGET]
        for counters in self.subject.processes:
            settled = self.subject.finish(counters.settled([self.allowance(key) for key in keys]))
            assert settled == [self.plain[key].settled for key in keys]

    def check_refusal(self, answer: Any, index: int, allowance: Allowance, amount: int) -> None:
        plain, now = self.plain[allowance.key], self.clock()
        assert isinstance(answer, Refused), answer
        assert (answer.index, answer.left) == (index, allowance.limit - plain.total(now))
        if plain.kind is Kind.BUDGET or (amount > allowance.limit and plain.kind is Kind.CONCURRENT):
            assert answer.wait_s == INF
        elif plain.kind is Kind.CONCURRENT:
            assert answer.wait_s == UNKNOWN_WAIT_S
        elif allowance.limit == 0 < amount:
            assert answer.wait_s == INF
        else:
            assert 0 <= answer.wait_s <= plain.size * plain.width_s
            then = now + answer.wait_s
            assert plain.fits(then + 1e-5, allowance.limit, amount), "it fits when the wait is over"
            assert not plain.fits(then - 1e-5, allowance.limit, amount), "and not before"

    def check_limit(self, allowance: Allowance, amount: int, own: int) -> None:
        """What users rely on, when an amount is granted; `own` is what the same exchange holds already."""
        if not allowance.is_hard:
            return
        used = self.plain[allowance.key].strictly_used(self.clock())
        if allowance.kind is not Kind.SLIDING or amount + own <= allowance.limit:
            assert used + amount <= allowance.limit
        else:
            assert used <= own, "more than the limit is for whoever is alone"

    def check_left(self, grant: Grant) -> None:
        now = self.clock()
        expected = [allowance.limit - self.plain[allowance.key].total(now) for allowance in grant.allowances]
        assert grant.left == expected

    def check_that_nobody_is_locked_out(self) -> None:
        self.clock.advance(200.0)
        self.subject.tick()
        self.held.clear()
        for key, plain in self.plain.items():
            rest = self.limits[key] - plain.settled
            counters = self.subject.processes[-1]
            if rest > 0:
                answer = self.subject.finish(counters.reserve([self.allowance(key)], [rest]))
                assert isinstance(answer, Grant), "all that is left can be taken"
            answer = self.subject.finish(counters.reserve([self.allowance(key)], [1]))
            assert isinstance(answer, Refused) == SHAPES[key][2], "and no more"
