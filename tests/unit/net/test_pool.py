"""Pools: the freshest connection first, a queue when there may be no more, and nobody forgotten in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from wires import FakeTransport, rounds, run, ticking

from gatewright.config.documents import UpstreamTimeouts, UpstreamTls
from gatewright.core.errors import GatewayError, Kind
from gatewright.net import pool as pool_module
from gatewright.net.pool import Pool, UpstreamPools
from gatewright.net.rounds import Round
from gatewright.net.tasks import TaskGroup
from gatewright.net.upstream import UpstreamConnection
from gatewright.pipeline.provider import Origin, Upstream

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class World:
    """Pools whose connections are made of fake transports."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **origin: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.time, self.deadlines = ticking()
        self.transports: list[FakeTransport] = []
        self.refusal: GatewayError | None = None
        self.gate: asyncio.Event | None = None
        monkeypatch.setattr(pool_module, "open_connection", self._open)
        self.origin = Origin(tls=False, host="up.test", port=80, **{"connect_s": 30.0, **origin})
        self.upstream = Upstream(
            name="up", type="fake", origin=self.origin, paths={}, head=b"", timeouts=UpstreamTimeouts()
        )
        self.tasks = TaskGroup(self.loop, lambda name, error: None, lambda error: True)
        self.round = Round(self.loop)
        self.pools = UpstreamPools(self.round, self.deadlines, self.tasks)
        self.pool = Pool(self.round, self.deadlines, self.origin)

    async def _open(self, _loop: object, _origin: Origin, _tls: object, factory: Callable[[], Any]) -> Any:
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        protocol = factory()
        transport = FakeTransport(protocol)
        transport.socket.progress = (1, 0, 0)
        self.transports.append(transport)
        protocol.connection_made(transport)
        return protocol

    def send(self) -> asyncio.Future[Any]:
        return asyncio.ensure_future(self.pools.send(self.upstream, b"GET / HTTP/1.1\r\n\r\n"))

    def answer(self, index: int, data: bytes = ANSWER) -> None:
        self.transports[index].protocol.data_received(data)


def exercise(monkeypatch: pytest.MonkeyPatch, body: Any, **origin: Any) -> None:
    async def made() -> None:
        await body(World(monkeypatch, **origin))

    run(made)


def test_the_connection_used_last_is_taken_first(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        calls = [world.send(), world.send()]
        await rounds()
        world.answer(0)
        world.answer(1)
        await rounds()
        assert all(call.done() for call in calls)
        assert world.pools.count() == (2, 2)
        for transport in world.transports:
            transport.take()
        world.send()
        await rounds()
        assert world.transports[0].take() == b""
        assert world.transports[1].take()
        assert world.pools.count() == (2, 1)
        world.answer(1)

    exercise(monkeypatch, body)


def test_beyond_max_connections_requests_wait_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        calls = [world.send() for _ in range(4)]
        await rounds()
        assert len(world.transports) == 1
        for number in range(4):
            assert [call.done() for call in calls] == [True] * number + [False] * (4 - number)
            world.answer(0)
            await rounds(12)
        assert len(world.transports) == 1
        assert all(call.result().body == b"{}" for call in calls)

    exercise(monkeypatch, body, max_connections=1)


def test_a_request_that_overtakes_the_line_makes_no_connection_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        first, waiting = world.send(), world.send()
        await rounds()
        world.answer(0)  # wakes the one that waits…
        overtaking = world.send()  # …but this one takes the connection before it runs
        await rounds(12)
        assert first.done()
        assert len(world.transports) == 1
        assert world.pools.count() == (1, 0)
        world.answer(0)
        await rounds(12)
        world.answer(0)
        await rounds(12)
        assert overtaking.done()
        assert waiting.done()

    exercise(monkeypatch, body, max_connections=1)


def test_whoever_leaves_the_line_as_its_turn_comes_wakes_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        pool = world.pool
        await pool.connect()
        leaving = asyncio.ensure_future(pool.connect())
        staying = asyncio.ensure_future(pool.connect())
        await rounds()
        pool._wake_one()
        leaving.cancel()
        pool.open = 0
        await rounds()
        assert leaving.cancelled()
        assert staying.done(), "the place was given to one who was gone"

    exercise(monkeypatch, body, max_connections=1)


def test_one_who_gave_up_waiting_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        world.send()
        gone, next_one = world.send(), world.send()
        await rounds()
        gone.cancel()
        await rounds()
        world.answer(0)
        await rounds(12)
        world.answer(0)
        await rounds(12)
        assert next_one.done()

    exercise(monkeypatch, body, max_connections=1)


def test_the_wait_for_a_free_connection_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        busy, waiting = world.send(), world.send()
        with pytest.raises(GatewayError) as refused:
            await waiting
        assert refused.value.kind is Kind.UPSTREAM_OVERLOADED
        assert "max_connections" in refused.value.message
        busy.cancel()
        await rounds()

    exercise(monkeypatch, body, max_connections=1, connect_s=0.001)


def test_a_connection_that_ends_makes_room_for_the_next_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        first, waiting = world.send(), world.send()
        await rounds()
        world.transports[0].close()
        await rounds(12)
        with pytest.raises(GatewayError):
            first.result()
        assert len(world.transports) == 2
        world.answer(1)
        await rounds()
        assert waiting.done()
        assert world.pools.count() == (1, 1)

    exercise(monkeypatch, body, max_connections=1)


def test_a_failed_connect_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        world.refusal = GatewayError(Kind.UPSTREAM_CONNECT_FAILED, "refused")
        world.gate = asyncio.Event()
        first, second = world.send(), world.send()
        await rounds()
        world.gate.set()
        await rounds(16)
        for call in (first, second):
            with pytest.raises(GatewayError):
                call.result()
        assert world.pools.count() == (0, 0)

    exercise(monkeypatch, body, max_connections=1)


def test_an_idle_connection_that_closed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        world.send()
        await rounds()
        world.answer(0)
        world.transports[0].closing = True  # its end is known to the transport, not to the pool yet
        world.send()
        await rounds()
        assert len(world.transports) == 2
        world.answer(1)

    exercise(monkeypatch, body)


async def make_idle(world: World, count: int) -> None:
    """Fill the pool with that many connections that have been used."""
    calls = [world.send() for _ in range(count)]
    await rounds()
    for index in range(count):
        world.answer(index)
    await asyncio.gather(*calls)
    assert world.pools.count() == (count, count)


def end_one(world: World, index: int, *, untouched: bool) -> None:
    """The connection ends with a request on it, of which TCP says that the peer got some or nothing."""
    transport = world.transports[index]
    transport.socket.progress = (1, 0, 0) if untouched else (1000, 1000, 0)
    transport.protocol.eof_received()
    transport.close()


def test_what_a_dying_connection_did_not_take_is_sent_again_on_a_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        await make_idle(world, 3)
        call = world.send()
        await rounds()
        end_one(world, 2, untouched=True)
        await rounds(12)
        assert len(world.transports) == 4, "not on another one that may be dying too"
        assert world.transports[3].take().startswith(b"GET /")
        world.answer(3)
        await rounds()
        assert call.result().status == 200
        assert world.pools.count() == (3, 3)

    exercise(monkeypatch, body)


def test_what_a_dying_connection_took_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        await make_idle(world, 1)
        call = world.send()
        await rounds()
        end_one(world, 0, untouched=False)
        await rounds(12)
        with pytest.raises(GatewayError) as failed:
            call.result()
        assert failed.value.kind is Kind.UPSTREAM_RESET
        assert len(world.transports) == 1
        assert world.pools.count() == (0, 0)

    exercise(monkeypatch, body)


def test_what_a_new_connection_loses_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        call = world.send()
        await rounds()
        end_one(world, 0, untouched=True)
        await rounds(12)
        with pytest.raises(GatewayError):
            call.result()
        assert len(world.transports) == 1

    exercise(monkeypatch, body)


def test_cancelling_a_request_on_a_pooled_connection_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        await make_idle(world, 1)
        call = world.send()
        await rounds()
        call.cancel()
        await rounds()
        assert call.cancelled()
        assert world.transports[0].aborted
        assert world.pools.count() == (0, 0)

    exercise(monkeypatch, body)


def test_sending_again_ends_where_every_connection_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        sends = 0

        def dying(*_arguments: object) -> Any:
            nonlocal sends
            sends += 1
            error = GatewayError(Kind.UPSTREAM_RESET, "gone")
            error.untouched = True
            raise error

        await make_idle(world, 1)
        monkeypatch.setattr(UpstreamConnection, "begin", dying)
        call = world.send()
        await rounds(24)
        with pytest.raises(GatewayError):
            call.result()
        assert sends == 3

    exercise(monkeypatch, body)


@pytest.mark.parametrize("failure", [TimeoutError(), asyncio.CancelledError()])
def test_a_connect_that_fails_as_the_connection_is_made_counts_once(
    monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    async def body(world: World) -> None:
        async def too_late(_loop: object, _origin: Origin, _tls: object, factory: Callable[[], Any]) -> Any:
            protocol = factory()
            world.transports.append(FakeTransport(protocol))
            protocol.connection_made(world.transports[-1])
            raise failure

        monkeypatch.setattr(pool_module, "open_connection", too_late)
        with pytest.raises(type(failure)):
            await world.pool.connect()
        await rounds()
        assert world.transports[0].aborted
        assert (world.pool.open, world.pool.idle) == (0, 0)

    exercise(monkeypatch, body)


def test_an_answer_that_comes_as_its_exchange_is_cancelled_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        coroutine: Any = world.pools.send(world.upstream, b"GET / HTTP/1.1\r\n\r\n")
        task = coroutine.send(None)  # as a turn drives it
        task._asyncio_future_blocking = False
        await rounds()
        world.answer(0, STREAM + b"5\r\nhello\r\n")
        await rounds()
        assert task.done()
        with pytest.raises(asyncio.CancelledError):
            coroutine.throw(asyncio.CancelledError())
        await rounds()
        assert world.transports[0].aborted
        assert world.pools.count() == (0, 0)

    exercise(monkeypatch, body)


def test_equal_origins_share_a_pool_and_close_idle_empties_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        world.send()
        await rounds()
        world.answer(0)
        other = Upstream(
            name="twin", type="fake", origin=world.origin, paths={}, head=b"x", timeouts=UpstreamTimeouts()
        )
        call = asyncio.ensure_future(world.pools.send(other, b"GET / HTTP/1.1\r\n\r\n"))
        await rounds()
        assert len(world.transports) == 1
        world.answer(0)
        await call
        world.pools.close_idle()
        await rounds()
        assert world.transports[0].aborted
        assert world.pools.count() == (0, 0)

    exercise(monkeypatch, body)


def test_tls_files_that_cannot_be_read_are_the_operators_affair(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(world: World) -> None:
        pool = Pool(
            world.round,
            world.deadlines,
            Origin(tls=True, host="up.test", port=443, verify=UpstreamTls(ca="/nonexistent/ca.pem")),
        )
        with pytest.raises(GatewayError) as refused:
            await pool.connect()
        assert refused.value.kind is Kind.UPSTREAM_CONNECT_FAILED
        assert "/nonexistent" not in refused.value.public_message
        assert pool.open == 0

    exercise(monkeypatch, body)
