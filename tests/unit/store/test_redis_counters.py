"""The counters' side of the protocol with their server: what is asked, owed, and done without it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from inspect import isawaitable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.store.script_server import ScriptLink, ScriptServer

from gatewright.config.counters import Counters as Settings
from gatewright.core.cells import LARGEST
from gatewright.core.counting import RESERVED_S, SLICES, Allowance, Kind, Refused
from gatewright.core.errors import GatewayError
from gatewright.core.errors import Kind as ErrorKind
from gatewright.core.grant import Grant
from gatewright.store.leases import GIVEN_BACK_S, SWEEP_S
from gatewright.store.memory import MemoryCounters
from gatewright.store.redis_counters import RedisCounters
from gatewright.store.redis_events import Event, Happening
from gatewright.store.redis_scripts import BOOK, TAKE
from gatewright.testing.clock import FakeClock

START = 1_800_000_000.0
BUDGET = Allowance("b", Kind.BUDGET, 100)
SLIDING = Allowance("r", Kind.SLIDING, 100, 60.0)
CONCURRENT = Allowance("c", Kind.CONCURRENT, 3)


class Replica:
    """Counters over a stand-in server, and all they tell."""

    def __init__(self, server: ScriptServer, clock: FakeClock, name: str = "one", **options: Any) -> None:
        self.link = ScriptLink(server, clock)
        self.server = server
        self.events: list[Event] = []
        self.counters = RedisCounters(
            Settings(store="redis", **options),
            local=MemoryCounters(clock),
            spawn=_refuse_tasks,
            clock=clock,
            wall=clock,
            name=name,
            on_event=self.events.append,
            link=self.link,
        )

    async def reserve(self, allowances: list[Allowance], amounts: list[int]) -> Grant | Refused:
        answer = self.counters.reserve(allowances, amounts)
        return await answer if isawaitable(answer) else answer  # type: ignore[return-value]

    async def grant(self, allowances: list[Allowance], amounts: list[int]) -> Grant:
        answer = await self.reserve(allowances, amounts)
        assert isinstance(answer, Grant)
        return answer

    async def extend(self, grant: Grant, amounts: list[int]) -> Refused | None:
        answer = self.counters.extend(grant, amounts)
        return await answer if isawaitable(answer) else answer

    async def used(self, *allowances: Allowance) -> list[int]:
        answer = self.counters.used(allowances)
        return await answer if isawaitable(answer) else answer

    def settle(self, grant: Grant, used: list[int]) -> None:
        self.counters.settle(grant, used)
        self.counters.flush()

    def leased(self) -> int:
        leases = self.counters._leases
        return 0 if leases is None else leases.held()

    def go(self, is_up: bool) -> None:
        self.link.is_up = is_up
        self.counters.change(is_up, "" if is_up else "gone")

    def happened(self) -> list[Happening]:
        return [event.happening for event in self.events]


def _refuse_tasks(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    raise AssertionError(f"{name}: a stand-in needs no task")


def run(test: Callable[[Replica, FakeClock], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def inside() -> None:
        clock = FakeClock(START)
        await test(Replica(ScriptServer(clock), clock, **options), clock)

    asyncio.run(inside())


def test_all_allowances_are_one_call_and_all_or_none() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        grant = await replica.grant([BUDGET, SLIDING, CONCURRENT], [60, 1, 1])
        assert [call.script for call in replica.link.calls] == [TAKE]
        assert (grant.amounts, grant.left) == ([60, 1, 1], [40, 99, 2])
        refused = await replica.reserve([SLIDING, BUDGET], [1, 41])
        assert refused == Refused(1, 40, float("inf"))
        assert await replica.used(BUDGET, SLIDING, CONCURRENT) == [60, 1, 1]
        assert await replica.extend(grant, [40, 0, 0]) is None
        assert isinstance(await replica.extend(grant, [1, 0, 0]), Refused)
        replica.settle(grant, [90, 2, 1])
        assert await replica.used(BUDGET, SLIDING, CONCURRENT) == [90, 2, 0]
        assert not replica.counters.is_owing

    run(test)


def test_settlements_are_gathered_into_batches() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        grants = [await replica.grant([BUDGET], [1]) for _ in range(50)]
        for grant in grants:
            replica.counters.settle(grant, [1])
        replica.counters.flush()
        [batch] = [call for call in replica.link.calls if call.script is BOOK]
        assert len(batch.keys) == 2 + 2, "one row for what was settled, one for what is given back"
        assert await replica.used(BUDGET) == [50]

    run(test)


def test_a_batch_whose_answer_is_lost_is_sent_again_and_counted_once() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        grant = await replica.grant([BUDGET], [60])
        replica.link.is_slow = True
        replica.settle(grant, [50])
        replica.link.lose_answers()
        replica.counters.change(False, "gone")
        replica.link.is_slow = False
        replica.go(True)
        assert replica.server.settled == {"{gatewright}:b:b": 50}
        assert not replica.counters.is_owing

    run(test)


def test_an_answer_that_is_repeated_does_not_set_the_clock_back() -> None:
    async def test(replica: Replica, clock: FakeClock) -> None:
        grant = await replica.grant([SLIDING], [60])
        replica.link.is_slow = True
        replica.settle(grant, [50])
        replica.link.lose_answers()
        replica.counters.change(False, "gone")
        clock.advance(30.0)
        replica.link.is_slow = False
        replica.go(True)
        assert not replica.counters.is_owing
        assert abs(replica.counters._now_us() - clock() * 1e6) < 1e6

    run(test)


def test_a_batch_that_arrives_again_behind_the_next_is_counted_once() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        first, second = [await replica.grant([BUDGET], [20]) for _ in range(2)]
        replica.settle(first, [10])
        batch = replica.link.calls[-1]
        replica.settle(second, [20])
        replica.server.run(batch)
        assert await replica.used(BUDGET) == [30]
        batch.reply(replica.server.run(batch))
        assert await replica.used(BUDGET) == [30]

    run(test)


def test_a_reservation_whose_answer_is_lost_frees_by_itself() -> None:
    async def test(replica: Replica, clock: FakeClock) -> None:
        replica.link.is_slow = True
        answer = replica.counters.reserve([BUDGET], [60])
        assert isawaitable(answer)
        replica.link.lose_answers()
        assert isinstance(await answer, Refused), "the share of an outage is half"
        replica.link.is_slow = False
        replica.go(True)
        assert await replica.used(BUDGET) == [60]
        clock.advance(RESERVED_S * 1.25)
        assert await replica.used(BUDGET) == [0]

    run(test)


def test_a_grant_that_comes_late_is_given_back() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        replica.link.is_slow = True
        answer = replica.counters.reserve([BUDGET], [60])
        assert isawaitable(answer)
        replica.link.waiting[0].fail()
        assert isinstance(await answer, Refused)
        replica.link.deliver()
        replica.counters.flush()
        replica.link.deliver()
        replica.link.is_slow = False
        assert await replica.used(BUDGET) == [0]

    run(test)


def test_a_caller_who_has_gone_keeps_nothing() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        replica.link.is_slow = True
        answer = replica.counters.reserve([BUDGET, SLIDING], [60, 1])
        assert isinstance(answer, asyncio.Future)
        answer.cancel()
        replica.link.deliver()
        replica.link.is_slow = False
        replica.counters.flush()
        assert await replica.used(BUDGET, SLIDING) == [0, 0]

    run(test)


@pytest.mark.parametrize("is_late", [False, True])
def test_an_exchange_that_ends_while_it_is_extended_is_settled_with_the_answer(is_late: bool) -> None:
    async def test(replica: Replica, clock: FakeClock) -> None:
        grant = await replica.grant([BUDGET], [10])
        clock.advance(30)
        replica.link.is_slow = True
        answer = replica.counters.extend(grant, [10])
        assert isinstance(answer, asyncio.Future)
        answer.cancel()
        replica.counters.settle(grant, [15])
        if is_late:
            replica.link.waiting[0].fail()
        replica.link.deliver()
        replica.link.is_slow = False
        replica.counters.flush()
        replica.counters.flush()
        # Late, what it held before it was moved frees by itself.
        assert await replica.used(BUDGET) == [25 if is_late else 15]
        clock.advance(RESERVED_S * 1.25)
        assert await replica.used(BUDGET) == [15]

    run(test)


@pytest.mark.parametrize("is_over", [False, True])
def test_an_extension_waits_for_the_one_before_it(is_over: bool) -> None:
    async def test(replica: Replica, clock: FakeClock) -> None:
        grant = await replica.grant([BUDGET], [10])
        other = await replica.grant([BUDGET], [10])
        clock.advance(30)
        replica.link.is_slow = True
        answers = [asyncio.ensure_future(replica.extend(grant, [amount])) for amount in (10, 0)]
        await asyncio.sleep(0)
        if is_over:
            replica.counters.settle(grant, [15])
        replica.link.is_slow = False
        replica.link.deliver()
        assert await asyncio.gather(*answers) == [None, None]
        assert await replica.extend(other, [0]) is None
        assert grant.amounts == [20]
        if not is_over:
            replica.counters.settle(grant, [15])
        replica.settle(other, [5])
        replica.counters.flush()
        assert await replica.used(BUDGET) == [20]

    run(test)


@pytest.mark.parametrize("is_later", [False, True])
@pytest.mark.parametrize("allowance", [BUDGET, SLIDING, Allowance("c", Kind.CONCURRENT, 100)])
def test_an_extension_after_one_that_the_server_has_yet_to_hear_of(allowance: Allowance, is_later: bool) -> None:
    slice_s = 4 if allowance.kind is Kind.SLIDING else 30

    async def test(replica: Replica, clock: FakeClock) -> None:
        grant = await replica.grant([allowance], [10])
        clock.advance(slice_s)
        replica.counters.tick()
        others = [await replica.grant([allowance], [2]) for _ in range(2)]
        replica.counters.flush()
        asked = len(replica.link.calls)
        assert await replica.extend(grant, [3]) is None
        assert len(replica.link.calls) == asked, "from the lease"
        clock.advance(slice_s if is_later else 0)
        assert await replica.extend(grant, [20]) is None
        assert len(replica.link.calls) > asked
        replica.counters.flush()
        replica.counters.flush()  # with what was left of the lease before
        assert await replica.used(allowance) == [33 + 4 + replica.leased()]
        for each, used in (grant, 30), (others[0], 1), (others[1], 1):
            replica.counters.settle(each, [used])
        replica.counters.flush()
        replica.counters.flush()
        spent = 0 if allowance.kind is Kind.CONCURRENT else 32
        assert await replica.used(allowance) == [spent + replica.leased()]

    run(test, lease=0.3)


def test_in_an_outage_a_share_is_granted_at_once_and_booked_afterwards() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        before = await replica.grant([BUDGET], [10])
        replica.go(False)
        grant = replica.counters.reserve([BUDGET], [40])
        assert isinstance(grant, Grant)
        assert isinstance(replica.counters.reserve([BUDGET], [11]), Refused)
        assert replica.counters.extend(before, [10]) is None
        assert isinstance(replica.counters.extend(before, [1]), Refused)
        held = replica.counters.used([BUDGET])
        assert held == [50]
        replica.counters.settle(before, [15])
        replica.go(True)
        assert await replica.used(BUDGET) == [15 + 40], "what is still held is reserved"
        assert await replica.extend(grant, [5]) is None
        replica.settle(grant, [42])
        assert await replica.used(BUDGET) == [57]
        assert replica.happened() == [Happening.DOWN, Happening.UP, Happening.EMPTIED]
        # The share is one for all outages of a window.
        replica.go(False)
        assert isinstance(replica.counters.reserve([BUDGET], [10]), Refused)

    run(test, share=0.5)


def test_what_slid_away_in_an_outage_is_not_booked() -> None:
    async def test(replica: Replica, clock: FakeClock) -> None:
        replica.go(False)
        early = await replica.grant([SLIDING, CONCURRENT], [10, 1])
        clock.advance(50)
        late = await replica.grant([SLIDING], [10])
        clock.advance(30)
        for grant, used in ((early, [9, 1]), (late, [8])):
            replica.counters.settle(grant, used)
        replica.go(True)
        assert await replica.used(SLIDING, CONCURRENT) == [8, 0]

    run(test)


def test_an_open_outage_grants_all_and_tells_how_many() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        replica.go(False)
        grants = [await replica.grant([BUDGET], [60]) for _ in range(3)]
        assert await replica.extend(grants[0], [60]) is None
        for grant in grants:
            replica.counters.settle(grant, [50])
        replica.go(True)
        assert await replica.used(BUDGET) == [150]
        assert Event(Happening.UNCOUNTED, count=4) in replica.events

    run(test, on_outage="open")


def test_a_closed_outage_lets_nothing_pass() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        grant = await replica.grant([BUDGET], [10])
        replica.go(False)
        with pytest.raises(GatewayError, match="cannot be checked") as caught:
            replica.counters.reserve([BUDGET], [1])
        assert caught.value.kind is ErrorKind.OVERLOADED
        with pytest.raises(GatewayError):
            replica.counters.extend(grant, [1])
        replica.settle(grant, [7])
        replica.go(True)
        assert await replica.used(BUDGET) == [7]
        replica.link.is_slow = True
        answer = replica.counters.reserve([BUDGET], [1])
        assert isawaitable(answer)
        replica.link.lose_answers()
        with pytest.raises(GatewayError):
            await answer

    run(test, on_outage="closed")


def test_what_is_told_once() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        for is_up in (True, True, False, False, True):
            replica.go(is_up)
        assert replica.happened() == [Happening.UP, Happening.DOWN, Happening.UP]
        replica.counters.tick()
        assert replica.happened()[3:] == [Happening.EMPTIED], "nobody marked this server before"
        replica.counters.tick()
        replica.server.generation = "another"
        replica.counters.tick()
        assert replica.happened()[4:] == [Happening.EMPTIED]
        assert await replica.counters.raise_settled(BUDGET, 70)
        assert await replica.counters.raise_settled(BUDGET, 60)
        assert await replica.used(BUDGET) == [70]
        replica.go(False)
        assert not await replica.counters.raise_settled(BUDGET, 80)

    run(test)


def test_a_server_that_lost_its_data_lacks_what_the_ledger_knows_until_that_is_noted() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        counters, server = replica.counters, replica.server
        first = await counters.lacking("ledger")
        assert first == server.generation != ""
        assert await counters.lacking("ledger") == first, "asking is not raising"
        await counters.note_raised("ledger", first)
        assert await counters.lacking("ledger") == ""
        assert await counters.lacking("another") == first, "each ledger has its part"
        server.generation = ""
        second = await counters.lacking("ledger")
        assert second not in ("", first)
        server.generation = "a third"
        await counters.note_raised("ledger", second)
        assert await counters.lacking("ledger") == "a third", "what began while budgets were raised lacks them"
        replica.go(False)
        assert await counters.lacking("ledger") == ""

    run(test)


def test_another_period_is_another_counter() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        await replica.grant([SLIDING], [10])
        hourly = Allowance("r", Kind.SLIDING, 100, 3_600.0)
        await replica.grant([hourly], [5])
        assert await replica.used(SLIDING) == [10]
        assert await replica.used(hourly) == [5]

    run(test)


def test_amounts_that_no_sum_can_bear() -> None:
    async def test(replica: Replica, _: FakeClock) -> None:
        with pytest.raises(ValueError, match="cannot count -1"):
            replica.counters.reserve([BUDGET], [-1])
        soft = Allowance("s", Kind.BUDGET, 1, is_hard=False)
        grant = await replica.grant([soft], [1 << 60])
        assert grant.amounts == [LARGEST]

    run(test)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 2), st.integers(1, 30)),
        st.tuples(st.just("reserve"), st.integers(0, 2), st.integers(1, 5)),
        st.tuples(st.just("extend"), st.integers(0, 50), st.integers(0, 10)),
        st.tuples(st.just("settle"), st.integers(0, 50), st.integers(0, 100)),
        st.tuples(st.just("wait"), st.integers(0, 2), st.sampled_from([1, 3, 10, 40, 70])),
        st.tuples(st.just("flush"), st.integers(0, 2), st.just(0)),
    ),
    min_size=10,
    max_size=120,
)


@pytest.mark.parametrize("kind", Kind)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_with_leases_no_limit_is_passed_and_nobody_is_locked_out(kind: Kind, steps: list[tuple[str, int, int]]) -> None:
    """By exact times: what all workers together used and hold never passes the limit, wherever leases lie."""
    asyncio.run(_drive(Allowance("x", kind, 100, 60.0), steps))


async def _drive(allowance: Allowance, steps: list[tuple[str, int, int]]) -> None:
    clock = FakeClock(START)
    server = ScriptServer(clock)
    replicas = [Replica(server, clock, f"replica-{i}", lease=0.3) for i in range(3)]
    held: list[tuple[Replica, Grant, float]] = []
    spent: list[tuple[float, int]] = []

    def check() -> None:
        assert _total(allowance, held, spent, clock()) <= allowance.limit

    for step, number, amount in steps:
        if step == "reserve":
            answer = await replicas[number].reserve([allowance], [amount])
            if isinstance(answer, Grant):
                held.append((replicas[number], answer, clock()))
                check()
        elif step == "flush":
            replicas[number].counters.flush()
        elif step == "wait":
            clock.advance(amount / 10)
            for replica in replicas:
                replica.counters.tick()
            if clock() < START + allowance.period_s:
                leased = sum(replica.leased() for replica in replicas)
                known = sum(amount for _, amount in spent) + sum(grant.taken(0) for _, grant, _ in held)
                assert await replicas[0].used(allowance) == [known + leased], "to the last one"
        elif held:
            replica, grant, at = held.pop(number % len(held))
            if step == "extend":
                refused = await replica.extend(grant, [amount])
                held.append((replica, grant, clock() if refused is None else at))
                check()
            else:
                used = grant.taken(0) * amount // 100
                replica.counters.settle(grant, [used])
                if allowance.kind is not Kind.CONCURRENT:
                    spent += _when(allowance, grant, at, used)
    await _check_that_all_is_left(allowance, clock, replicas, held, spent)


def _total(
    allowance: Allowance, held: list[tuple[Replica, Grant, float]], spent: list[tuple[float, int]], now: float
) -> int:
    """By exact times: what is used and held."""
    is_sliding = allowance.kind is Kind.SLIDING
    since = now - (allowance.period_s if is_sliding else RESERVED_S)
    parts = [part for _, grant, at in held for part in _when(allowance, grant, at, grant.taken(0))]
    used = sum(amount for at, amount in spent if not is_sliding or at > since)
    return used + sum(amount for at, amount in parts if at > since)


def _when(allowance: Allowance, grant: Grant, at: float, used: int) -> list[tuple[float, int]]:
    """What of `used` was taken when: the last of it at `at`, the rest when its slices began."""
    since, unused = grant.used_since(0, used)
    missing = {part.mark: part.amount for part in unused}
    earlier = grant.earlier[0] if grant.earlier else []
    width_s = allowance.period_s / (SLICES - 1)
    return [(part.mark * width_s, part.amount - missing.get(part.mark, 0)) for part in earlier] + [(at, since)]


async def _check_that_all_is_left(
    allowance: Allowance,
    clock: FakeClock,
    replicas: list[Replica],
    held: list[tuple[Replica, Grant, float]],
    spent: list[tuple[float, int]],
) -> None:
    for replica, grant, _ in held:
        replica.counters.settle(grant, [0])
    waited = 0.0
    while waited < GIVEN_BACK_S:
        waited += SWEEP_S
        clock.advance(SWEEP_S)
        for replica in replicas:
            replica.counters.tick()
    [used] = await replicas[0].used(allowance)
    if allowance.kind is Kind.SLIDING:
        assert used <= sum(amount for at, amount in spent if at > clock() - allowance.period_s * 16 / 15)
    else:
        assert used == sum(amount for _, amount in spent)
    if used < allowance.limit:
        assert isinstance(await replicas[1].reserve([allowance], [allowance.limit - used]), Grant)
