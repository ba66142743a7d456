"""Every adapter of the counters' port does what a plain model does, and holds what users rely on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from tests.contract.counter_machine import CounterMachine, Subject

from gatewright.store.memory import MemoryCounters
from gatewright.store.shared import SharedCounters
from gatewright.testing.clock import FakeClock


class MemoryMachine(CounterMachine):
    def build_subject(self, clock: FakeClock) -> Subject:
        return Subject([MemoryCounters(clock)])


class SharedMachine(CounterMachine):
    """Three processes' worth of adapters over one file."""

    def build_subject(self, clock: FakeClock) -> Subject:
        folder = tempfile.mkdtemp(prefix="gatewright-counters-")
        processes = [SharedCounters(Path(folder) / "counters", clock, sets=2) for _ in range(3)]

        def tick() -> None:
            for process in processes:
                process.tick()

        def close() -> None:
            for process in processes:
                process.close()
            shutil.rmtree(folder)

        tick()
        tick()
        return Subject(processes, tick=tick, close=close)


class AloneMachine(CounterMachine):
    """One process, which takes no lock."""

    def build_subject(self, clock: FakeClock) -> Subject:
        folder = tempfile.mkdtemp(prefix="gatewright-counters-")
        counters = SharedCounters(Path(folder) / "counters", clock, sets=2)
        assert counters.is_alone

        def close() -> None:
            counters.close()
            shutil.rmtree(folder)

        return Subject([counters], close=close)


EFFORT = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory, TestShared, TestAlone = MemoryMachine.TestCase, SharedMachine.TestCase, AloneMachine.TestCase
TestMemory.settings = TestShared.settings = TestAlone.settings = EFFORT
