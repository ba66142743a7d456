"""What is left to the end of a round: what was read is handled, turns go on in stages, writes leave; each in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gatewright.core.stages import STAGE
from gatewright.net.rounds import Receiver, Round, Turn, Waiter

Log = list[str]


class Transport(asyncio.Transport):
    def __init__(self, log: Log, name: str = "") -> None:
        super().__init__()
        self._log, self._name = log, name
        self._is_closed = False

    def is_closing(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._is_closed:
            raise RuntimeError("the handler is closed")
        self._log.append(f"{self._name}{bytes(data[:1]).decode()}")


def logged(body: Callable[[Round, Log], Awaitable[None]]) -> Log:
    """What a test writes down while it runs on a loop."""

    async def run() -> Log:
        log: Log = []
        await body(Round(asyncio.get_running_loop()), log)
        return log

    return asyncio.run(run())


async def rounds(number: int = 4) -> None:
    """Let the loop go round."""
    for _ in range(number):
        await asyncio.sleep(0)


def begin(its_round: Round, work: Any) -> Turn:
    """A turn, put in line."""
    turn = Turn(its_round, work)
    its_round.put(turn)
    return turn


async def wait(for_what: Awaitable[Any], log: Log) -> None:
    """The work of a turn that tells how its wait was over."""
    try:
        await for_what
        log.append("went on")
    except asyncio.CancelledError:
        log.append("cancelled")
        raise


# -- writes -----------------------------------------------------------------------------------------------------------


def test_writes_of_a_round_leave_together_in_order() -> None:
    async def body(its_round: Round, log: Log) -> None:
        a, b = Transport(log, "a"), Transport(log, "b")
        its_round.send(a, b"1")
        its_round.send(b, b"2")
        its_round.send(a, b"3")
        assert log == []
        await asyncio.sleep(0)
        its_round.send(b, b"4")
        assert log == ["a1", "b2", "a3"]
        await asyncio.sleep(0)

    assert logged(body) == ["a1", "b2", "a3", "b4"]


def test_flush_leaves_nothing_for_later() -> None:
    async def body(its_round: Round, log: Log) -> None:
        its_round.send(Transport(log), b"1")
        its_round.flush()
        its_round.flush()
        assert log == ["1"]
        await rounds()

    assert logged(body) == ["1"]


def test_a_large_write_leaves_at_once_behind_what_waits() -> None:
    async def body(its_round: Round, log: Log) -> None:
        transport = Transport(log)
        its_round.send(transport, b"1")
        its_round.send(transport, b"2" * 20_000)
        assert log == ["1", "2"]
        await rounds()

    assert logged(body) == ["1", "2"]


def test_a_transport_that_was_closed_does_not_take_the_others_writes_along() -> None:
    async def body(its_round: Round, log: Log) -> None:
        gone, there = Transport(log, "gone"), Transport(log, "there")
        its_round.send(gone, b"1")
        its_round.send(there, b"2")
        gone.close()
        await rounds()

    assert logged(body) == ["there2"]


# -- reads ------------------------------------------------------------------------------------------------------------


class Peer(Receiver):
    def __init__(self, log: Log, name: str = "") -> None:
        super().__init__()
        self._log, self._name = log, name

    def receive(self, data: bytes) -> None:
        self._log.append(f"{self._name}{data[:1].decode()}")


def test_reads_of_a_round_are_handled_together_in_order() -> None:
    async def body(its_round: Round, log: Log) -> None:
        one, other = Peer(log, "one "), Peer(log, "other ")
        its_round.send(Transport(log, "write "), b"1")
        its_round.take(one, b"a")
        its_round.take(other, b"b")
        its_round.take(one, b"c")
        assert (one.unread, other.unread, log) == (2, 1, [])
        await asyncio.sleep(0)
        assert one.unread == other.unread == 0

    assert logged(body) == ["one a", "other b", "one c", "write 1"]


def test_a_large_read_is_handled_at_once_behind_what_came_before() -> None:
    async def body(its_round: Round, log: Log) -> None:
        its_round.take(Peer(log), b"a")
        its_round.take(Peer(log), b"b" * 20_000)
        assert log == ["a", "b"]
        await rounds()

    assert logged(body) == ["a", "b"]


def test_what_is_read_while_reads_are_handled_waits_for_the_next_round() -> None:
    async def body(its_round: Round, log: Log) -> None:
        class Asking(Peer):
            def receive(self, data: bytes) -> None:
                super().receive(data)
                its_round.take(Peer(log), b"z")

        its_round.take(Asking(log), b"a")
        its_round.read()
        assert log == ["a"]
        await asyncio.sleep(0)

    assert logged(body) == ["a", "z"]


# -- stages -----------------------------------------------------------------------------------------------------------


async def staged(name: str, log: Log) -> None:
    log.append(f"{name} reads")
    await STAGE
    log.append(f"{name} asks")
    await STAGE
    log.append(f"{name} sends")


def test_turns_that_come_together_go_through_each_stage_together_and_write_last() -> None:
    async def body(its_round: Round, log: Log) -> None:
        its_round.send(Transport(log, "write "), b"1")
        begin(its_round, staged("a", log))
        begin(its_round, staged("b", log))
        assert log == []
        await asyncio.sleep(0)
        assert log[-1] == "write 1"

    assert logged(body) == ["a reads", "b reads", "a asks", "b asks", "a sends", "b sends", "write 1"]


def test_a_stage_deep_inside_is_one_of_the_whole_exchange() -> None:
    async def body(its_round: Round, log: Log) -> None:
        async def outer(name: str) -> None:
            await staged(name, log)

        begin(its_round, outer("a"))
        begin(its_round, outer("b"))
        await asyncio.sleep(0)

    assert logged(body) == ["a reads", "b reads", "a asks", "b asks", "a sends", "b sends"]


def test_stages_are_no_hindrance_to_a_task() -> None:
    async def body(_round: Round, log: Log) -> None:
        await asyncio.wait_for(asyncio.gather(staged("a", log), staged("b", log)), 1)

    assert logged(body) == ["a reads", "b reads", "a asks", "b asks", "a sends", "b sends"]


def test_who_only_waits_for_others_does_not_keep_the_loop_from_them() -> None:
    async def body(its_round: Round, log: Log) -> None:
        done = asyncio.Event()

        async def poll() -> None:
            while not done.is_set():
                await asyncio.sleep(0)
            log.append("seen")

        begin(its_round, poll())
        asyncio.get_running_loop().call_later(0.01, done.set)
        await asyncio.wait_for(done.wait(), 1)
        await rounds()

    assert logged(body) == ["seen"]


def test_what_one_raises_stops_neither_the_others_nor_the_writes() -> None:
    async def body(its_round: Round, log: Log) -> None:
        class Failing(Peer):
            def receive(self, data: bytes) -> None:
                raise ValueError("of a peer")

        class Aborting(Transport):
            def abort(self) -> None:
                log.append("dropped")

        failing = Failing(log)
        failing._transport = Aborting(log)

        async def fail() -> None:
            raise ValueError("of a turn")

        raised: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
        its_round.send(Transport(log), b"1")
        its_round.take(failing, b"x")
        its_round.take(Peer(log), b"y")
        begin(its_round, staged("a", log))
        begin(its_round, fail())
        begin(its_round, staged("b", log))
        await rounds()
        assert [str(error) for error in raised] == ["of a peer", "of a turn"]

    assert logged(body) == ["dropped", "y", "a reads", "b reads", "a asks", "b asks", "a sends", "b sends", "1"]


# -- turns ------------------------------------------------------------------------------------------------------------


def test_goes_on_when_its_wait_is_over() -> None:
    async def body(its_round: Round, log: Log) -> None:
        future: asyncio.Future[str] = its_round.loop.create_future()

        async def work() -> None:
            log.append("begun")
            log.append(await future)
            await asyncio.sleep(0)
            log.append("ended")

        begin(its_round, work())
        log.append("caller")
        await asyncio.sleep(0)
        future.set_result("woken")
        await rounds()

    assert logged(body) == ["caller", "begun", "woken", "ended"]


def future_of(its_round: Round) -> asyncio.Future[Any]:
    return its_round.loop.create_future()


AWAITABLES = pytest.mark.parametrize("make", [future_of, Waiter], ids=["future", "waiter"])


@AWAITABLES
def test_cancel_raises_where_it_waits_and_cancels_what_it_waits_for(make: Any) -> None:
    async def body(its_round: Round, log: Log) -> None:
        awaited = make(its_round)
        turn = begin(its_round, wait(awaited, log))
        await rounds()
        turn.cancel()
        await rounds()
        assert awaited.done()
        assert not awaited.cancel()

    assert logged(body) == ["cancelled"]


@AWAITABLES
def test_a_cancel_that_comes_after_the_result_is_not_lost(make: Any) -> None:
    async def body(its_round: Round, log: Log) -> None:
        awaited = make(its_round)
        turn = begin(its_round, wait(awaited, log))
        await rounds()
        awaited.set_result(None)
        turn.cancel()
        await rounds()

    assert logged(body) == ["cancelled"]


@AWAITABLES
def test_a_turn_that_is_cancelled_as_it_runs_ends_at_its_next_wait(make: Any) -> None:
    async def body(its_round: Round, log: Log) -> None:
        async def work() -> None:
            turn.cancel()
            await wait(make(its_round), log)

        turn = begin(its_round, work())
        await rounds()

    assert logged(body) == ["cancelled"]


def test_cancel_between_two_stages_is_over() -> None:
    async def body(its_round: Round, log: Log) -> None:
        async def cancel() -> None:
            turn.cancel()

        turn = begin(its_round, wait(STAGE, log))
        begin(its_round, cancel())
        await rounds()

    assert logged(body) == ["cancelled"]


def test_what_is_cancelled_before_it_began_begins_and_ends_at_its_first_wait() -> None:
    """So that whoever sends a request and leaves is seen: its exchange is recorded as any other."""

    async def body(its_round: Round, log: Log) -> None:
        async def work() -> None:
            log.append("begun")
            await wait(STAGE, log)

        begin(its_round, work()).cancel()
        await rounds()

    assert logged(body) == ["begun", "cancelled"]


def test_a_task_awaited_by_a_turn_has_a_current_task_and_its_error_arrives() -> None:
    async def body(its_round: Round, log: Log) -> None:
        async def limited() -> None:
            async with asyncio.timeout(1):
                await asyncio.sleep(0)
            raise ValueError("from the task")

        async def work() -> None:
            try:
                await its_round.loop.create_task(limited())
            except ValueError as error:
                log.append(str(error))

        begin(its_round, work())
        await rounds(8)

    assert logged(body) == ["from the task"]


# -- waiters ----------------------------------------------------------------------------------------------------------


def test_a_waiter_brings_its_result_or_error_to_turns_and_tasks() -> None:
    async def body(its_round: Round, log: Log) -> None:
        async def take(waiter: Waiter) -> None:
            try:
                log.append(await waiter)
            except ValueError as error:
                log.append(str(error))

        for begin_one in (lambda work: begin(its_round, work), asyncio.ensure_future):
            good, bad, early = Waiter(its_round), Waiter(its_round), Waiter(its_round)
            early.set_result("early")
            for waiter in (good, bad, early):
                begin_one(take(waiter))
            await rounds()
            assert not good.done()
            good.set_result("good")
            bad.set_exception(ValueError("bad"))
            assert (good.brought(), bad.brought()) == (True, False)
            await rounds()

    assert logged(body) == ["early", "good", "bad"] * 2


def test_a_task_that_awaits_a_waiter_can_be_cancelled() -> None:
    async def body(its_round: Round, log: Log) -> None:
        waiter = Waiter(its_round)
        task = asyncio.ensure_future(wait(waiter, log))
        await rounds()
        task.cancel()
        await asyncio.wait([task], timeout=1)
        assert waiter.done()

    assert logged(body) == ["cancelled"]
