"""Keep-alive connections to every upstream of this worker, one pool per origin."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Final

from gatewright.core.errors import GatewayError, Kind
from gatewright.net.connect import build_tls, open_connection
from gatewright.net.deadlines import Deadlines
from gatewright.net.rounds import Round
from gatewright.net.tasks import TaskGroup
from gatewright.net.upstream import Answer, UpstreamConnection
from gatewright.pipeline.provider import Origin, Upstream

_RESENDS: Final = 2
"""How often a request is sent again because reused connections ended without taking any of it."""


class Pool:
    """The connections to one origin. The most recently used idle one is taken first, so surplus ones age and close."""

    def __init__(self, its_round: Round, deadlines: Deadlines, origin: Origin) -> None:
        self._round = its_round
        self._loop = its_round.loop
        self._deadlines = deadlines
        self._origin = origin
        self._tls: ssl.SSLContext | None = None
        self._idle: list[UpstreamConnection] = []
        self._queue: deque[asyncio.Future[None]] = deque()
        self.open = 0
        """Connections that exist or are being opened."""

    @property
    def idle(self) -> int:
        return len(self._idle)

    def take_idle(self) -> UpstreamConnection | None:
        """A connection that may be used at once."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection, or the first to become free when there may be no more. Raises GatewayError."""
        if self.open >= self._origin.max_connections:
            connection = await self._wait_for_free()
            if connection is not None:
                return connection
        self.open += 1
        connection = UpstreamConnection(self._round, self._deadlines, self._on_idle, self._on_closed)
        try:
            return await open_connection(self._loop, self._origin, self._context(), lambda: connection)
        except BaseException:
            # The time may run out as the connection is made: then it counts itself out as it closes, as any other.
            if connection.made:
                connection.close()
            else:
                self.open -= 1
                self._wake_one()
            raise

    def close_idle(self) -> None:
        """Close what is not in use."""
        while self._idle:
            self._idle.pop().close()

    def _context(self) -> ssl.SSLContext | None:
        if not self._origin.tls:
            return None
        if self._tls is None:
            try:
                self._tls = build_tls(self._origin.verify)
            except OSError as error:
                raise GatewayError(
                    Kind.UPSTREAM_CONNECT_FAILED,
                    f"The TLS files for {self._origin.host} cannot be used; an operator must check `tls`.",
                    cause=error,
                ) from None
        return self._tls

    async def _wait_for_free(self) -> UpstreamConnection | None:
        """An idle connection, or None when a new one may be opened now."""
        try:
            async with asyncio.timeout(self._origin.connect_s):
                # Again and again: what became free may have been taken by a request that came in meanwhile.
                while self.open >= self._origin.max_connections:
                    await self._wait_in_line()
                    connection = self.take_idle()
                    if connection is not None:
                        return connection
                return None
        except TimeoutError:
            raise GatewayError(
                Kind.UPSTREAM_OVERLOADED,
                f"All {self._origin.max_connections} connections to {self._origin.host} were busy for "
                f"{self._origin.connect_s:g} s (max_connections of its provider).",
            ) from None

    async def _wait_in_line(self) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._queue:
                self._queue.remove(turn)
            elif not turn.cancelled():
                self._wake_one()  # called, but not coming: the next in line gets the place
            raise

    def _wake_one(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _on_idle(self, connection: UpstreamConnection) -> None:
        self._idle.append(connection)
        if self._queue:
            self._wake_one()

    def _on_closed(self, connection: UpstreamConnection) -> None:
        self.open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._queue:
            self._wake_one()


class UpstreamPools:
    """Every pool of a worker; `send` is how an exchange reaches an upstream."""

    def __init__(self, its_round: Round, deadlines: Deadlines, tasks: TaskGroup) -> None:
        self._round = its_round
        self._deadlines = deadlines
        self._tasks = tasks
        self._pools: dict[str, Pool] = {}
        self.max_response_bytes = 64 * 1024 * 1024

    async def send(self, upstream: Upstream, request: bytes) -> Answer:
        """Send one complete HTTP request; the answer is whole, or an event stream that has begun.

        Raises GatewayError. A request that a dying pooled connection certainly took nothing of is sent again.
        """
        pool = self._pools.get(upstream.pool_key)
        if pool is None:
            pool = self._pools[upstream.pool_key] = Pool(self._round, self._deadlines, upstream.origin)
        connection = pool.take_idle()
        if connection is not None:
            # Not by `exchange`: that would be one coroutine more for every request.
            waiter = None
            try:
                waiter = connection.begin(request, upstream.timeouts, self.max_response_bytes)
                answer: Answer = await waiter
                return answer
            except GatewayError as error:
                if not error.untouched:
                    raise
            except asyncio.CancelledError:
                if waiter is not None:
                    connection.give_up(waiter)
                raise
        # As a task of its own: connecting has a time limit, which needs one.
        return await _taken(self._tasks.spawn(self._send_anew(pool, upstream, request), "send"))

    async def _send_anew(self, pool: Pool, upstream: Upstream, request: bytes) -> Answer:
        """Through a new connection, or one that becomes free while there may be no more and so may be dying too."""
        for _ in range(_RESENDS - 1):
            connection = await pool.connect()
            try:
                return await connection.exchange(request, upstream.timeouts, self.max_response_bytes)
            except GatewayError as error:
                if not error.untouched:
                    raise
        connection = await pool.connect()
        return await connection.exchange(request, upstream.timeouts, self.max_response_bytes)

    def count(self) -> tuple[int, int]:
        """Connections open and idle, over all origins."""
        pools = self._pools.values()
        return sum(pool.open for pool in pools), sum(pool.idle for pool in pools)

    def close_idle(self) -> None:
        """Close what is not in use, and forget origins nobody uses any more."""
        for pool in self._pools.values():
            pool.close_idle()


async def _taken(sending: asyncio.Task[Answer]) -> Answer:
    """The answer; one that arrives as its exchange is cancelled is given up, since nobody else could."""
    try:
        return await sending
    except asyncio.CancelledError:
        if sending.done() and not sending.cancelled() and sending.exception() is None:
            sending.result().abort()
        raise
