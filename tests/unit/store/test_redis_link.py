"""The link: calls go together, a server that does not answer is away at once, and is found again."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from redis.exceptions import AuthenticationError, ClusterDownError, NoScriptError, ReadOnlyError
from redis.exceptions import ConnectionError as RedisConnectionError

from gatewright.config.counters import Counters as Settings
from gatewright.core.secret import Secret
from gatewright.store import redis_link
from gatewright.store.redis_link import Call, RedisLink, RedisMissing
from gatewright.store.redis_scripts import SCRIPTS, TAKE, USED

SETTINGS = Settings(store="redis", url=Secret("redis://:hunter2@counters"), timeout_ms=20)


class Client:
    """A stand-in for redis-py: it keeps what it is asked, and answers with `answers` or as `answer` says."""

    def __init__(self) -> None:
        self.pipelines: list[list[tuple[Any, ...]]] = []
        self.loaded: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.probe_error: Exception | None = None
        self.probes = 0
        self.forgotten = 0
        """How often idle connections were closed."""
        self.is_promoted = False
        """Whether another server has become the primary: connections of before go to a replica."""

    @property
    def connection_pool(self) -> Client:
        return self

    async def disconnect(self, *, inuse_connections: bool) -> None:
        assert not inuse_connections
        self.forgotten += 1
        if self.is_promoted:
            self.error = self.probe_error = None

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)

    async def script_load(self, source: str) -> None:
        self.loaded |= {script.digest for script in SCRIPTS if script.source == source}

    async def set(self, name: str, value: int, *, px: int) -> None:
        assert (name, px) == ("{gatewright}:probe", 1000)
        self.probes += 1
        if self.probe_error is not None:
            raise self.probe_error

    async def aclose(self, *, close_connection_pool: bool) -> None:
        assert close_connection_pool


class Pipeline:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        client = self._client
        client.pipelines.append(self._commands)
        await client.gate.wait()
        if isinstance(client.error, RedisConnectionError):
            raise client.error
        return [
            client.error or (b"%d" % command[-1] if command[1] in client.loaded else NoScriptError())
            for command in self._commands
        ]


class Bench:
    """A link over the stand-in, what it tells, and what its calls come to."""

    def __init__(self) -> None:
        self.changes: list[tuple[bool, str]] = []
        self.heard: list[str] = []
        loop = asyncio.get_running_loop()
        self.link = RedisLink(
            SETTINGS,
            lambda coroutine, name: loop.create_task(coroutine, name=name),
            loop.time,
            lambda is_up, reason: self.changes.append((is_up, reason)),
        )
        self.client = Client()
        self.link._client = self.client

    def call(self, number: int) -> Call:
        call = Call(
            TAKE,
            ["key"],
            [number],
            lambda answer: self.heard.append(f"{number}: {answer.decode()}"),
            lambda: self.heard.append(f"{number}: failed"),
            lambda answer: self.heard.append(f"{number}: late {answer.decode()}"),
        )
        self.link.call(call)
        return call

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not is_so():
                await asyncio.sleep(0)


def run(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def inside() -> None:
        bench = Bench()
        try:
            await test(bench)
        finally:
            bench.client.gate.set()
            await bench.link.close()

    asyncio.run(inside())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_link, "PROBE_S", 0.02)


def test_calls_of_one_turn_go_together_and_those_meanwhile_in_the_next() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        bench.client.gate.clear()
        for number in range(300):
            bench.call(number)
        await bench.until(lambda: len(bench.client.pipelines) == 2)
        assert [len(commands) for commands in bench.client.pipelines] == [128, 128], "two connections"
        bench.call(300)
        bench.client.gate.set()
        await bench.until(lambda: len(bench.heard) == 301)
        assert [len(commands) for commands in bench.client.pipelines] == [128, 128, 45]
        assert sorted(bench.heard) == sorted(f"{number}: {number}" for number in range(301))
        assert bench.client.pipelines[0][0] == ("EVALSHA", TAKE.digest, 1, "key", 0)

    run(test)


def test_a_server_that_forgot_the_scripts_gets_them_again() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        assert bench.client.loaded == {script.digest for script in SCRIPTS}
        bench.client.loaded = {USED.digest}
        bench.call(1)
        bench.call(2)
        await bench.until(lambda: len(bench.heard) == 2)
        assert bench.heard == ["1: 1", "2: 2"]
        assert bench.link.is_up

    run(test)


def test_no_answer_in_time_means_away_and_a_late_one_is_heard() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        bench.client.gate.clear()
        bench.call(1)
        await bench.until(lambda: not bench.link.is_up)
        assert bench.heard == ["1: failed"]
        bench.call(2)
        assert bench.heard == ["1: failed", "2: failed"], "at once"
        bench.client.gate.set()
        await bench.until(lambda: bench.link.is_up)
        await bench.until(lambda: len(bench.heard) == 3)
        assert bench.heard[2] == "1: late 1"
        assert bench.changes == [(True, ""), (False, "no answer within 20 ms"), (True, "")]

    run(test)


def test_what_is_still_late_when_the_server_is_back_holds_up_nobody() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        stuck = bench.client.gate
        stuck.clear()
        for number in range(200):
            bench.call(number)
        await bench.until(lambda: len(bench.heard) == 200)
        assert len(bench.client.pipelines) == 2, "both connections"
        bench.client.gate = asyncio.Event()
        bench.client.gate.set()
        await bench.until(lambda: bench.link.is_up)
        bench.call(200)
        await bench.until(lambda: len(bench.heard) == 201)
        assert bench.heard[200] == "200: 200"
        bench.client.error = RedisConnectionError("Timeout reading from counters")
        stuck.set()
        for _ in range(10):
            await asyncio.sleep(0)
        assert bench.link.is_up, "what broke is the connection of before"
        bench.client.error = None

    run(test)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RedisConnectionError("Connection closed by server."), "Connection closed by server."),
        (ReadOnlyError("You can't write against a read only replica."), "You can't write against a read only replica."),
        (ClusterDownError("Hash slot not served"), "the server is a node of a cluster"),
        (AuthenticationError("invalid username-password pair"), "invalid username-password pair"),
    ],
)
def test_whatever_goes_wrong_the_calls_fail_and_the_server_is_probed(error: Exception, reason: str) -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        bench.client.error = bench.client.probe_error = error
        bench.call(1)
        await bench.until(lambda: bool(bench.heard))
        assert bench.heard == ["1: failed"]
        is_up, told = bench.changes[1]
        assert not is_up
        assert told.startswith(reason)
        probes = bench.client.probes
        await bench.until(lambda: bench.client.probes > probes + 2)
        assert not bench.link.is_up
        bench.client.error = bench.client.probe_error = None
        await bench.until(lambda: bench.link.is_up)
        bench.call(2)
        await bench.until(lambda: len(bench.heard) == 2)
        assert bench.heard[1] == "2: 2"

    run(test)


def test_after_a_fail_over_connections_are_made_anew() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        bench.client.error = bench.client.probe_error = ReadOnlyError("You can't write against a read only replica.")
        bench.client.is_promoted = True
        bench.call(1)
        await bench.until(lambda: bool(bench.heard))
        await bench.until(lambda: bench.link.is_up)
        assert bench.client.forgotten == 1

    run(test)


def test_an_answer_that_cannot_be_read_leaves_nobody_waiting() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        faults: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context.get("exception")))

        def read(answer: bytes) -> None:
            raise ValueError(answer)

        call = bench.call(1)
        call.on_reply = read
        bench.call(2)
        await bench.until(lambda: len(bench.heard) == 2)
        assert bench.heard == ["1: failed", "2: failed"]
        bench.call(3)
        await bench.until(lambda: len(bench.heard) == 3)
        assert bench.heard[2] == "3: 3"
        gc.collect()
        assert [type(fault) for fault in faults] == [ValueError], "and it is told"

    run(test)


def test_closing_fails_what_is_under_way() -> None:
    async def test(bench: Bench) -> None:
        await bench.link.open()
        bench.client.gate.clear()
        bench.call(1)
        await bench.until(lambda: bool(bench.client.pipelines))
        await bench.link.close()
        assert bench.heard == ["1: failed"]
        bench.call(2)
        assert bench.heard == ["1: failed", "2: failed"]

    run(test)


def test_a_missing_client_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def import_nothing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(redis_link, "import_module", import_nothing)
    with pytest.raises(RedisMissing, match=r"pip install 'gatewright\[redis\]'"):
        RedisLink(SETTINGS, lambda coroutine, name: None, lambda: 0.0, lambda is_up, reason: None)  # type: ignore[arg-type,return-value]
