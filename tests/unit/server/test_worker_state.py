"""What a worker keeps: with a directory and without, and by the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.server.issuing import task_group

from gatewright.config.documents import Gateway
from gatewright.config.problems import InvalidConfig
from gatewright.core.keys import KeyRecord, digest_of
from gatewright.filters import FILTERS
from gatewright.net.deadlines import Deadlines
from gatewright.pipeline.build import build_snapshot
from gatewright.pipeline.snapshot import Snapshot
from gatewright.providers import PROVIDERS
from gatewright.server.data_plane import NoLedger
from gatewright.server.worker_state import COUNTERS_FILE, JOURNALS, WorkerState
from gatewright.store.key_table import DIRECTORY, KeyTable
from gatewright.store.memory import MemoryCounters
from gatewright.store.secrets_file import read_secret
from gatewright.store.shared import SharedCounters
from gatewright.telemetry.log import Log
from gatewright.testing.clock import FakeClock

NOW = 1_800_000_000.0
TOKENS = {"identity": {"tokens": {"issuer": "https://ai.acme.example"}}}
KEY = b"any key"


def document(**sections: Any) -> Gateway:
    return msgspec.convert(sections, Gateway)


class World:
    def __init__(self, directory: Path | None) -> None:
        loop = asyncio.get_running_loop()
        tasks = task_group([])
        clock = FakeClock(NOW)
        self.state = WorkerState(
            directory,
            document(),
            loop=loop,
            deadlines=Deadlines(loop),
            tasks=tasks,
            now=clock,
            wall=clock,
            spawn=lambda coroutine: tasks.spawn(coroutine, "test"),
            log=Log("test"),
        )

    def snapshot(self, **sections: Any) -> Snapshot:
        return build_snapshot(
            document(**sections), version=1, providers=PROVIDERS, filters=FILTERS, ports=self.state.ports
        )


def run(directory: Path | None, test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        world = World(directory)
        await world.state.ready()
        try:
            await test(world)
        finally:
            await world.state.close()

    asyncio.run(inside())


def test_without_a_directory_nothing_outlives_the_process() -> None:
    async def inside(w: World) -> None:
        assert isinstance(w.state.ports.counters, MemoryCounters)
        assert isinstance(w.state.ledger, NoLedger)
        w.state.use(w.snapshot(**TOKENS))
        assert w.state.endpoints is None, "nowhere to keep a key to sign with"
        w.state.tick()

    run(None, inside)


def test_a_directory_is_shared(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        assert isinstance(w.state.ports.counters, SharedCounters)
        assert (tmp_path / COUNTERS_FILE).exists()
        assert (tmp_path / JOURNALS).is_dir()
        w.state.use(w.snapshot())
        secret, callers = read_secret(tmp_path), w.state.ports.callers
        assert secret is not None
        assert callers is not None
        table = KeyTable(tmp_path / DIRECTORY)
        table.write(lambda writing: writing.put(digest_of(KEY, secret), KeyRecord("id", "acme/a/b")))
        assert callers.known(KEY) is None
        before = callers.generation
        w.state.tick()
        assert callers.generation > before
        found = callers.known(KEY)
        assert found is not None
        assert found.path == "acme/a/b"
        table.close()

    run(tmp_path, inside)


def test_gateway_tokens_come_and_go_with_the_configuration(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        seen = []
        for sections in ({}, TOKENS, {}, TOKENS):
            w.state.use(w.snapshot(**sections))
            w.state.tick()
            endpoints = w.state.endpoints
            seen.append(endpoints is not None and endpoints.find(b"/oauth/token") is not None)
        assert seen == [False, True, False, True]

    run(tmp_path, inside)


def test_a_directory_that_cannot_hold_them_refuses_the_configuration(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        (tmp_path / "signing").write_bytes(b"")
        with pytest.raises(InvalidConfig) as refused:
            w.state.use(w.snapshot(**TOKENS))
        assert [error.path for error in refused.value.errors] == ["identity.tokens"]
        assert w.state.endpoints is None
        w.state.use(w.snapshot())

    run(tmp_path, inside)


def test_every_configuration_makes_callers_be_looked_up_again(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        callers = w.state.ports.callers
        assert callers is not None
        before = callers.generation
        w.state.use(w.snapshot())
        assert callers.generation > before

    run(tmp_path, inside)
