"""What a worker keeps beyond its own life: in a directory, and without one."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.config.documents import Gateway
from gatewright.core.counting import Allowance, Kind
from gatewright.core.grant import Grant
from gatewright.net.deadlines import Deadlines
from gatewright.net.tasks import TaskGroup
from gatewright.server.data_plane import NoLedger
from gatewright.server.worker_state import JOURNALS, WorkerState
from gatewright.store.journal_reader import list_journals
from gatewright.store.memory import MemoryCounters
from gatewright.store.shared import SharedCounters
from gatewright.telemetry.log import Log
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
