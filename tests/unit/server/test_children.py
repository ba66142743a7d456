"""Keeping a place filled: back-off, replacement, and the end of one child, over processes that only pretend."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from gatewright.core.messages import Drain, FrameParser, Message, Ready, render_frame
from gatewright.server.children import Backoff, Child, Keeper, State, describe_end, python_command
from gatewright.telemetry.log import Log


class FakeProcess:
    """Ends when it is killed or told to; never runs anything."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = asyncio.Event()

    def end(self, returncode: int) -> None:
        if self.returncode is None:
            self.returncode = returncode
            self._ended.set()

    def kill(self) -> None:
        self.end(-signal.SIGKILL)

    async def wait(self) -> int | None:
        await self._ended.wait()
        return self.returncode


class FakeWriter:
    def __init__(self) -> None:
        self.data = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def messages(self) -> list[Message]:
        return FrameParser().feed(self.data)


class World:
    """A keeper of a place, its pretended processes, and what was heard of them."""

    def __init__(self, tasks: asyncio.TaskGroup, backoff: Backoff, start_s: float) -> None:
        self.tasks = tasks
        self.started: list[Child] = []
        self.processes: dict[int, FakeProcess] = {}
        self.readers: dict[int, asyncio.StreamReader] = {}
        self.writers: dict[int, FakeWriter] = {}
        self.gone: list[tuple[int, State]] = []
        self.heard: list[Message] = []
        self.log = io.StringIO()
        self.unable = 0
        self.keeper = Keeper(
            "worker-1",
            self.start,
            on_change=lambda: None,
            on_gone=lambda child: self.gone.append((child.pid, child.state)),
            log=Log("supervisor", stream=self.log),
            backoff=backoff,
            start_s=start_s,
        )

    async def start(self) -> Child:
        if self.unable:
            self.unable -= 1
            raise OSError("no more processes")
        process = FakeProcess(len(self.started) + 1)
        reader, writer = asyncio.StreamReader(), FakeWriter()
        child = Child("worker-1", cast(Any, process), reader, cast(Any, writer))
        self.started.append(child)
        self.processes[child.pid], self.readers[child.pid], self.writers[child.pid] = process, reader, writer
        self.tasks.create_task(child.watch(lambda child, message: self.heard.append(message)))
        return child

    def die(self, child: Child, returncode: int = 1) -> None:
        self.processes[child.pid].end(returncode)
        self.readers[child.pid].feed_eof()


async def until(holds: Callable[[], bool]) -> None:
    """Let other tasks run until something holds; nothing here takes time."""
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0)
    raise AssertionError("does not come to hold")


def with_world(body: Callable[[World], Awaitable[None]], backoff: Backoff | None = None, start_s: float = 60.0) -> None:
    """Run a test while the keeper keeps its place; by default nothing is waited for between two children."""

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            world = World(tasks, backoff or Backoff(first_s=0.0), start_s)
            keeping = tasks.create_task(world.keeper.keep())
            await until(lambda: world.keeper.current is not None or world.unable > 0)
            await body(world)
            keeping.cancel()
            for child in world.started:
                world.die(child)

    asyncio.run(run())


def test_the_wait_doubles_to_its_limit_and_begins_anew_after_a_healthy_life() -> None:
    backoff = Backoff()
    waits = [backoff.next_delay(0.0) for _ in range(9)]
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert backoff.is_exhausted
    assert backoff.next_delay(9.9) == 10.0
    assert backoff.next_delay(10.0) == 0.1
    assert not backoff.is_exhausted


def test_a_child_that_ends_is_followed_by_another() -> None:
    async def body(world: World) -> None:
        first = world.started[0]
        first.mark_ready(0.0)
        world.die(first, -9)
        await until(lambda: world.keeper.current is not None and world.keeper.current is not first)
        assert world.gone == [(1, State.READY)]
        assert world.keeper.restarts == 1
        assert world.keeper.failed_starts == 0
        assert "SIGKILL" in world.log.getvalue()

    with_world(body)


def test_starts_that_never_get_ready_are_counted() -> None:
    async def body(world: World) -> None:
        for count in (1, 2):
            world.die(world.started[-1])
            await until(lambda count=count: world.keeper.failed_starts == count)  # type: ignore[misc]
            await until(lambda count=count: len(world.started) == count + 1)  # type: ignore[misc]

    with_world(body)


def test_a_child_that_cannot_be_started_is_tried_again() -> None:
    async def body(world: World) -> None:
        world.unable = 1
        world.die(world.started[0])
        await until(lambda: len(world.started) == 2)
        assert world.keeper.failed_starts == 2
        assert "no more processes" in world.log.getvalue()

    with_world(body)


def test_a_replacement_takes_over_before_the_old_one_drains() -> None:
    async def body(world: World) -> None:
        old = world.started[0]
        old.mark_ready(0.0)
        replacing = world.tasks.create_task(world.keeper.replace(7.0))
        await until(lambda: len(world.started) == 2)
        new = world.started[1]
        assert world.keeper.current is old
        assert world.writers[old.pid].messages() == []
        new.mark_ready(0.0)
        await until(lambda: world.keeper.current is new)
        await until(lambda: world.writers[old.pid].messages() == [Drain(7.0)])
        assert (old.pid, State.DRAINING) in world.gone
        assert [row[1] for row in world.keeper.states()] == ["ready", "draining"]
        world.die(old, 0)
        await replacing
        assert replacing.result() is True
        assert world.keeper.children() == [new]
        assert world.keeper.restarts == 0
        assert world.log.getvalue() == ""

    with_world(body)


def test_the_place_is_kept_while_a_replaced_child_drains() -> None:
    async def body(world: World) -> None:
        old = world.started[0]
        old.mark_ready(0.0)
        world.tasks.create_task(world.keeper.replace(7.0))
        await until(lambda: len(world.started) == 2)
        world.started[1].mark_ready(0.0)
        await until(lambda: world.keeper.current is world.started[1])
        world.die(world.started[1])
        await until(lambda: len(world.started) == 3)
        assert world.keeper.current is not old

    with_world(body)


def test_a_replacement_that_ends_early_leaves_the_old_one_alone() -> None:
    async def body(world: World) -> None:
        old = world.started[0]
        old.mark_ready(0.0)
        replacing = world.tasks.create_task(world.keeper.replace(7.0))
        await until(lambda: len(world.started) == 2)
        world.die(world.started[1])
        await replacing
        assert replacing.result() is False
        assert world.keeper.children() == [old]
        assert world.writers[old.pid].data == b""

    with_world(body)


def test_a_replacement_that_cannot_be_started_leaves_the_old_one_alone() -> None:
    async def body(world: World) -> None:
        world.unable = 1
        assert await world.keeper.replace(7.0) is False
        assert world.keeper.current is world.started[0]

    with_world(body)


def test_nothing_is_started_once_frozen() -> None:
    async def body(world: World) -> None:
        await world.keeper.freeze()
        world.die(world.started[0])
        await until(lambda: world.keeper.current is None)
        replacing = world.tasks.create_task(world.keeper.replace(1.0))
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(world.started) == 1
        assert world.keeper.children() == []
        replacing.cancel()

    with_world(body)


def test_a_child_that_hangs_at_its_start_is_killed() -> None:
    async def body(world: World) -> None:
        await until(lambda: world.started[0].returncode == -signal.SIGKILL)
        assert "not ready in time; killed" in world.log.getvalue()

    with_world(body, start_s=0.0)


def test_messages_arrive_and_garbage_ends_the_child() -> None:
    async def body(world: World) -> None:
        child = world.started[0]
        child.state = State.DRAINING  # then its end is awaited, however long it takes
        world.readers[child.pid].feed_data(render_frame(Ready(4)))
        await until(lambda: world.heard == [Ready(4)])
        world.readers[child.pid].feed_data(b"\x02\x00\x00\x00\xc1\xc1")
        world.processes[child.pid].end(0)
        await until(child.exited.is_set)
        assert world.writers[child.pid].closed

    with_world(body)


def test_a_child_that_ended_is_gone_though_its_channel_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatewright.server.children.LAST_WORDS_S", 0.0)

    async def body(world: World) -> None:
        child = world.started[0]
        child.state = State.DRAINING
        world.readers[child.pid].feed_data(render_frame(Ready(4)))
        world.processes[child.pid].end(0)
        await asyncio.wait_for(child.exited.wait(), 5)
        assert world.heard == [Ready(4)], "what it said last"
        assert await child.wait_gone(0.0)

    with_world(body)


@pytest.mark.parametrize("can_be_killed", [True, False])
def test_a_child_that_does_not_end_is_killed_and_given_up_when_that_does_not_help(
    can_be_killed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatewright.server.children.STOP_S", 0.0)

    async def body(world: World) -> None:
        child = world.started[0]
        child.mark_ready(0.0)
        child.drain(0.0)
        if not can_be_killed:
            monkeypatch.setattr(FakeProcess, "kill", lambda self: None)
        assert not await child.wait_gone(0.0)
        assert child.exited.is_set()
        assert child.returncode == (-signal.SIGKILL if can_be_killed else None)

    with_world(body)


def test_draining_a_child_that_was_not_ready_kills_it() -> None:
    async def body(world: World) -> None:
        child = world.started[0]
        child.drain(5.0)
        assert child.returncode == -signal.SIGKILL

    with_world(body)


def test_what_is_sent_to_a_closed_channel_is_dropped() -> None:
    async def body(world: World) -> None:
        child = world.started[0]
        child.close_channel()
        child.send(Ready(1))
        assert world.writers[child.pid].data == b""

    with_world(body)


@pytest.mark.parametrize(("limit_s", "state"), [(7200.0, "waiting"), (1800.0, "failed")])
def test_a_place_without_a_child_says_so(limit_s: float, state: str) -> None:
    async def body(world: World) -> None:
        world.die(world.started[0])
        await until(lambda: world.keeper.current is None)
        assert world.keeper.states() == [("worker-1", state, 0, 0)]

    with_world(body, Backoff(first_s=1800.0, limit_s=limit_s))


@pytest.mark.parametrize(
    ("returncode", "words"), [(None, "running"), (0, "exit 0"), (3, "exit 3"), (-9, "SIGKILL"), (-250, "signal 250")]
)
def test_ends_are_described(returncode: int | None, words: str) -> None:
    assert describe_end(returncode) == words


def test_a_module_runs_without_the_working_directory_on_its_path() -> None:
    assert python_command("gatewright.x", "--a", "b") == (sys.executable, "-P", "-m", "gatewright.x", "--a", "b")
