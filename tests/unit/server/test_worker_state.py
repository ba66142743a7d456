"""What a worker keeps beyond its own life: in a directory, and without one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.config.documents import Gateway
from gatewright.core.counting import Allowance, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.grant import Grant
from gatewright.net.deadlines import Deadlines
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.claims import BudgetGroup
from gatewright.server.data_plane import NoLedger
from gatewright.server.worker_state import JOURNALS, WorkerState
from gatewright.store.journal_reader import list_journals
from gatewright.store.memory import MemoryCounters
from gatewright.store.shared import SharedCounters
from gatewright.telemetry.log import Log
from gatewright.telemetry.recorder import Recorder
from gatewright.telemetry.records import Batch, Gauges
from gatewright.testing.clock import FakeClock

BUDGET = Allowance("budget:b:acme:2026-11", Kind.BUDGET, 1_000, ends_at=4e9)


def build(directory: Path | None, loop: asyncio.AbstractEventLoop) -> WorkerState:
    now, wall = FakeClock(50.0), FakeClock(1_700_000_000.0)
    tasks = TaskGroup(loop, lambda name, error: None, lambda error: False)

    def spawn(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return loop.create_task(coroutine)

    return WorkerState(
        directory,
        msgspec.convert({}, Gateway),
        loop=loop,
        deadlines=Deadlines(loop),
        tasks=tasks,
        now=now,
        wall=wall,
        spawn=spawn,
        log=Log("worker", stream=io.StringIO(), as_json=True),
    )


def run(directory: Path | None, use: Callable[[WorkerState], None]) -> None:
    async def life() -> None:
        state = build(directory, asyncio.get_running_loop())
        try:
            await state.ready()
            state.tick()
            use(state)
        finally:
            await state.close()

    asyncio.run(life())


def spend(state: WorkerState, amount: int) -> None:
    grant = state.ports.counters.reserve([BUDGET], [amount])
    assert isinstance(grant, Grant)
    state.ports.counters.settle(grant, [amount])


def test_without_a_directory_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def use(state: WorkerState) -> None:
        assert isinstance(state.ports.counters, MemoryCounters)
        assert isinstance(state.ledger, NoLedger)
        assert state.ledger_lost == 0

    run(None, use)
    assert list(tmp_path.iterdir()) == []


def test_what_was_spent_is_known_to_the_next_worker(tmp_path: Path) -> None:
    def use(state: WorkerState) -> None:
        assert isinstance(state.ports.counters, SharedCounters)
        spend(state, 300)

    run(tmp_path, use)
    run(tmp_path, lambda state: spend(state, 400))
    run(tmp_path, lambda state: expect(state, 700))


def expect(state: WorkerState, amount: int) -> None:
    assert state.ports.counters.used([BUDGET]) == [amount]


class Away(MemoryCounters):
    """On another machine, which does not answer at first."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.asked: list[int] = []

    def settled(self, allowances: Sequence[Allowance]) -> Any:
        return self._answer(allowances)

    async def _answer(self, allowances: Sequence[Allowance]) -> list[int] | None:
        self.asked.append(len(allowances))
        return super().settled(allowances) if len(self.asked) > 2 else None


@pytest.mark.parametrize("is_away", [False, True])
def test_what_budgets_have_spent_is_asked_for(is_away: bool, tmp_path: Path) -> None:
    async def test() -> None:
        state = build(None if is_away else tmp_path, asyncio.get_running_loop())
        recorder = Recorder(slot=0, pid=1, wall=lambda at_s: b"", lines=False)
        if is_away:
            state.ports = msgspec.structs.replace(state.ports, counters=Away())
        await state.ready()
        groups = tuple(BudgetGroup("monthly", f"acme/{number}", "total", 9e9, 1_000) for number in range(201))
        for number, group in enumerate(groups):
            grant = state.ports.counters.reserve([group.allowance], [900])
            assert isinstance(grant, Grant)
            if number:
                state.ports.counters.settle(grant, [number])
        x = Exchange("req_1", None, {}, b"{}", 0.0)
        x.budgets = groups
        recorder.record(x)
        told: dict[str, int] = {}
        for _ in range(2 if is_away else 1):
            assert not told
            state.ask_spent(recorder)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            batches = [msgspec.msgpack.decode(each, type=Batch) for each in recorder.batches(Gauges())]
            told |= {each.who: each.used_nano for batch in batches for each in batch.budgets}
        assert told == {group.who: number for number, group in enumerate(groups)}, "without what is reserved"
        await state.close()

    asyncio.run(test())


def test_every_worker_writes_a_journal_of_its_own(tmp_path: Path) -> None:
    def use(state: WorkerState) -> None:
        assert not isinstance(state.ledger, NoLedger)
        state.ledger.check_room()

    run(tmp_path, use)
    run(tmp_path, use)
    names = {path.name for path in list_journals(tmp_path / JOURNALS)}
    assert len(names) in (0, 2), "an empty one may be gone, but none is used twice"


def test_callers_are_looked_up_in_the_directory_s_keys(tmp_path: Path) -> None:
    def use(state: WorkerState) -> None:
        callers = state.ports.callers
        assert callers is not None
        assert callers.known(b"sk-of-nobody") is None

    run(tmp_path, use)
