import asyncio

from gatewright.core.ports import Ports
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock


def test_without_a_way_to_start_tasks_a_coroutine_runs_where_it_is_awaited() -> None:
    clock = FakeClock()
    ports = Ports(counters=MemoryCounters(clock), now=clock, random=lambda: 0.0)

    async def answer() -> int:
        return 7

    async def run() -> int:
        result: int = await ports.spawn(answer())
        return result

    assert asyncio.run(run()) == 7
    assert ports.scope == ""
