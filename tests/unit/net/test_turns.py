"""A turn runs a coroutine at once up to its first wait, and can be cancelled as a task can."""

from __future__ import annotations

import asyncio

import pytest

from gatewright.net.turns import Turn


def test_runs_to_the_first_wait_at_once_and_on_when_it_is_over() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()
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
        return log

    assert asyncio.run(run()) == ["begun", "caller", "woken", "ended"]


def test_cancel_raises_where_it_waits_and_cancels_what_it_waits_for() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()
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
        return log

    assert asyncio.run(run()) == ["cancelled", "cleaned"]


def test_cancel_before_a_plain_yield_is_over() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()

        async def work() -> None:
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                log.append("cancelled")

        turn = Turn(loop, work())
        turn.start()
        turn.cancel()
        await asyncio.sleep(0)
        return log

    assert asyncio.run(run()) == ["cancelled"]


def test_a_task_awaited_by_a_turn_has_a_current_task_and_its_error_arrives() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()

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
        return log

    assert asyncio.run(run()) == ["from the task"]


def test_a_cancel_that_comes_after_the_result_is_not_lost() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        async def work() -> None:
            try:
                await future
                log.append("went on")
            except asyncio.CancelledError:
                log.append("cancelled")

        turn = Turn(loop, work())
        turn.start()
        future.set_result(None)
        turn.cancel()
        await asyncio.sleep(0)
        return log

    assert asyncio.run(run()) == ["cancelled"]


def test_a_turn_that_is_cancelled_as_it_runs_ends_at_its_next_wait() -> None:
    async def run() -> list[str]:
        log: list[str] = []
        loop = asyncio.get_running_loop()

        async def work() -> None:
            turn.cancel()
            try:
                await loop.create_future()
            except asyncio.CancelledError:
                log.append("cancelled")

        turn = Turn(loop, work())
        turn.start()
        await asyncio.sleep(0)
        return log

    assert asyncio.run(run()) == ["cancelled"]


def test_a_coroutine_that_never_waits_is_over_at_once() -> None:
    async def run() -> list[str]:
        log: list[str] = []

        async def work() -> None:
            log.append("done")

        Turn(asyncio.get_running_loop(), work()).start()
        return log

    assert asyncio.run(run()) == ["done"]


def test_an_error_nobody_handled_reaches_the_caller() -> None:
    async def run() -> None:
        async def work() -> None:
            raise ValueError("a fault")

        with pytest.raises(ValueError, match="a fault"):
            Turn(asyncio.get_running_loop(), work()).start()

    asyncio.run(run())
