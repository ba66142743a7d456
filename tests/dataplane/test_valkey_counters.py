"""Counters on a real Valkey server: one model with the others, no overshoot, no lock-out, whatever dies."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.contract.counter_machine import CounterMachine, Subject
from valkey_server import Valkey, answer_of, build_replica, until

from gatewright.testing.clock import FakeClock

pytestmark = pytest.mark.sockets


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with Valkey() as running:
        MachineServer.url = running.url
        yield running


class MachineServer:
    """Where the state machine finds the module's server; hypothesis builds it without arguments."""

    url = ""


class ValkeyMachine(CounterMachine):
    def build_subject(self, clock: FakeClock) -> Subject:
        loop, prefix = asyncio.new_event_loop(), uuid.uuid4().hex
        replicas = [
            build_replica(MachineServer.url, prefix=prefix, server_clock_us=lambda: round(clock() * 1e6))[0]
            for _ in range(2)
        ]

        async def open_all() -> None:
            for replica in replicas:
                await replica.open()

        async def close_all() -> None:
            for replica in replicas:
                await replica.close()

        def flush() -> None:
            for replica in replicas:
                loop.run_until_complete(until(lambda replica=replica: not replica.is_owing))

        def close() -> None:
            loop.run_until_complete(close_all())
            loop.close()

        loop.run_until_complete(open_all())

        # Calls are made in the loop, as a worker makes them.
        return Subject([InLoop(replica, loop) for replica in replicas], flush=flush, close=close)


class InLoop:
    """A replica whose methods are called from outside its loop."""

    def __init__(self, replica: object, loop: asyncio.AbstractEventLoop) -> None:
        self._replica = replica
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        method = getattr(self._replica, name)

        def call(*arguments: object) -> object:
            async def inside() -> object:
                return await answer_of(method(*arguments))

            return self._loop.run_until_complete(inside())

        return call


@pytest.mark.usefixtures("server")
class TestValkeyMachine(ValkeyMachine.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
