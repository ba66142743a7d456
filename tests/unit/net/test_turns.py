"""A turn runs a coroutine at once up to its first wait, and can be cancelled as a task can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gatewright.net.turns import Turn

Log = list[str]


def logged(body: Callable[[asyncio.AbstractEventLoop, Log], Awaitable[None]]) -> Log:
    """What a test writes down while it runs on a loop."""

    async def run() -> Log:
        log: Log = []
        await body(asyncio.get_running_loop(), log)
        return log

    return asyncio.run(run())


async def wait(for_what: Awaitable[None], log: Log) -> None:
    """The work of a turn that tells how its wait was over."""
    try:
        await for_what
        log.append("went on")
    except asyncio.CancelledError:
        log.append("cancelled")


def test_runs_to_the_first_wait_at_once_and_on_when_it_is_over() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        future: asyncio.Future[str] = loop.create_future()

        async def work() -> None:
            log.append("begun")
            log.append(await future)
            await asyncio.sleep(0)
            log.append("ended")

        Turn(loop, work()).start()
        log.append("caller")
        future.set_result("woken")
        for _ in range(4):
            await asyncio.sleep(0)

    assert logged(body) == ["begun", "caller", "woken", "ended"]


def test_cancel_raises_where_it_waits_and_cancels_what_it_waits_for() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        future: asyncio.Future[None] = loop.create_future()

        async def work() -> None:
            try:
                await future
            except asyncio.CancelledError:
                log.append("cancelled")
                raise
            finally:
                log.append("cleaned")

        turn = Turn(loop, work())
        turn.start()
        turn.cancel()
        await asyncio.sleep(0)
        assert future.cancelled()

    assert logged(body) == ["cancelled", "cleaned"]


def test_cancel_before_a_plain_yield_is_over() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        turn = Turn(loop, wait(asyncio.sleep(0), log))
        turn.start()
        turn.cancel()
        await asyncio.sleep(0)

    assert logged(body) == ["cancelled"]


def test_a_task_awaited_by_a_turn_has_a_current_task_and_its_error_arrives() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        async def limited() -> None:
            async with asyncio.timeout(1):
                await asyncio.sleep(0)
            raise ValueError("from the task")

        async def work() -> None:
            try:
                await loop.create_task(limited())
            except ValueError as error:
                log.append(str(error))

        Turn(loop, work()).start()
        for _ in range(6):
            await asyncio.sleep(0)

    assert logged(body) == ["from the task"]


def test_a_cancel_that_comes_after_the_result_is_not_lost() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        future: asyncio.Future[None] = loop.create_future()
        turn = Turn(loop, wait(future, log))
        turn.start()
        future.set_result(None)
        turn.cancel()
        await asyncio.sleep(0)

    assert logged(body) == ["cancelled"]


def test_a_turn_that_is_cancelled_as_it_runs_ends_at_its_next_wait() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        async def work() -> None:
            turn.cancel()
            await wait(loop.create_future(), log)

        turn = Turn(loop, work())
        turn.start()
        await asyncio.sleep(0)

    assert logged(body) == ["cancelled"]


def test_a_coroutine_that_never_waits_is_over_at_once() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        async def work() -> None:
            log.append("done")

        Turn(loop, work()).start()

    assert logged(body) == ["done"]


def test_an_error_nobody_handled_reaches_the_caller() -> None:
    async def body(loop: asyncio.AbstractEventLoop, log: Log) -> None:
        async def work() -> None:
            raise ValueError("a fault")

        with pytest.raises(ValueError, match="a fault"):
            Turn(loop, work()).start()

    logged(body)
