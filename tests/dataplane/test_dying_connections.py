"""What real TCP tells about a request that crosses the end of its connection: taken, not taken, or in doubt."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress

import pytest
import trustme
import uvloop

from gatewright.config.documents import UpstreamTimeouts
from gatewright.core.errors import GatewayError, Kind
from gatewright.net.deadlines import Deadlines
from gatewright.net.rounds import Round, Waiter
from gatewright.net.upstream import UpstreamConnection

pytestmark = pytest.mark.sockets

REQUEST = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 300\r\n\r\n" + b"x" * 300
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
IN_TIME_S = 5.0


class AtOnce(Round):
    """Writes when told to, so that a test says what reaches the kernel first."""

    def send(self, transport: asyncio.Transport, data: bytes) -> None:
        transport.write(data)


class Wire:
    """A connection, and the server's side of it: a plain blocking socket, with TLS on it or not."""

    def __init__(self, peer: socket.socket, connection: UpstreamConnection) -> None:
        self.peer, self.connection = peer, connection
        self._used = False

    def begin(self) -> Waiter:
        if self._used:
            assert self.connection.is_usable()
        self._used = True
        return self.connection.begin(REQUEST, UpstreamTimeouts(), 1000)

    async def serve(self) -> None:
        """Take one request and answer it."""
        waiter = self.begin()
        await self.read()
        await asyncio.to_thread(self.peer.sendall, ANSWER)
        await asyncio.wait_for(taken(waiter), IN_TIME_S)

    async def read(self) -> None:
        taken = 0
        while taken < len(REQUEST):
            taken += len(await asyncio.to_thread(self.peer.recv, 65_536))

    def close(self) -> None:
        """Close as a server does that is done with a connection."""
        self._notify()
        self.peer.close()

    def shut_down(self) -> None:
        """Close the sending side only."""
        self._notify()
        self.peer.shutdown(socket.SHUT_WR)

    def die(self) -> None:
        """Close as the kernel does for a server that was killed."""
        self.peer.close()

    def _notify(self) -> None:
        """Tell the end of the data as TLS does; a plain connection has no such thing."""
        if isinstance(self.peer, ssl.SSLSocket):
            self.peer.setblocking(False)
            with suppress(ssl.SSLError):  # it would wait for the same from the other side, or sees the request
                self.peer.unwrap()

    def reset(self) -> None:
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()


Body = Callable[[Wire], Awaitable[bool]]


def on_a_reused_connection(body: Body, *, tls: bool = False, exchanges: int = 3) -> bool:
    """Run `body` behind some exchanges; the answer says whether the failure it brought was one that took nothing."""

    async def made(stack: ExitStack) -> bool:
        loop = asyncio.get_running_loop()
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        connection = UpstreamConnection(AtOnce(loop), Deadlines(loop), lambda _: None, lambda _: None)
        server_tls = client_tls = None
        if tls:
            authority = trustme.CA()
            server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1").configure_cert(server_tls)
            client_tls = ssl.create_default_context()
            authority.configure_trust(client_tls)
        connecting = asyncio.ensure_future(
            loop.create_connection(lambda: connection, *listener.getsockname(), ssl=client_tls)
        )
        peer, _ = await asyncio.to_thread(listener.accept)
        if server_tls is not None:
            peer = await asyncio.to_thread(server_tls.wrap_socket, peer, server_side=True)
        stack.enter_context(peer)
        await asyncio.wait_for(connecting, IN_TIME_S)
        wire = Wire(peer, connection)
        for _ in range(exchanges):
            await wire.serve()
        try:
            return await body(wire)
        finally:
            connection.close()
            await asyncio.sleep(0)

    async def watched() -> bool:
        with ExitStack() as stack:
            return await made(stack)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(watched())


async def taken(waiter: Waiter) -> object:
    return await waiter


async def untouched(waiter: Waiter) -> bool:
    with pytest.raises(GatewayError) as failed:
        await asyncio.wait_for(taken(waiter), IN_TIME_S)
    assert failed.value.kind is Kind.UPSTREAM_RESET
    return failed.value.untouched


def before(end: Callable[[Wire], None]) -> Body:
    """The server ends; the gateway's kernel knows, its event loop does not yet, and the request is written."""

    async def body(wire: Wire) -> bool:
        end(wire)
        return await untouched(wire.begin())

    return body


def behind(end: Callable[[Wire], None]) -> Body:
    """The server's program reads the request, then ends."""

    async def body(wire: Wire) -> bool:
        waiter = wire.begin()
        await wire.read()
        end(wire)
        return await untouched(waiter)

    return body


def unread(end: Callable[[Wire], None]) -> Body:
    """The request has come to the server's kernel as its program ends without reading it."""

    async def body(wire: Wire) -> bool:
        waiter = wire.begin()
        end(wire)
        return await untouched(waiter)

    return body


CROSSINGS = [
    pytest.param(before(Wire.close), True, id="closed before"),
    pytest.param(before(Wire.shut_down), True, id="half-closed before"),
    pytest.param(behind(Wire.close), False, id="read and closed"),
    pytest.param(behind(Wire.shut_down), False, id="read and half-closed"),
    pytest.param(behind(Wire.reset), False, id="read and reset"),
    # Nobody read it, but nothing tells this from the case above.
    pytest.param(unread(Wire.close), False, id="closed with it unread"),
    pytest.param(unread(Wire.shut_down), False, id="half-closed with it unread"),
]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("body", "expected"), CROSSINGS)
def test_a_request_that_crosses_the_end_of_a_reused_connection(body: Body, expected: bool, tls: bool) -> None:
    assert on_a_reused_connection(body, tls=tls) is expected


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("end", [Wire.die, Wire.reset])
def test_an_end_without_notice_is_certain_where_the_transport_tells_in_time(
    end: Callable[[Wire], None], tls: bool
) -> None:
    # With TLS the socket is closed before anyone is told; then the request stays in doubt.
    assert on_a_reused_connection(before(end), tls=tls) is not tls


def test_on_a_new_connection_nothing_is_certain() -> None:
    assert on_a_reused_connection(before(Wire.close), exchanges=0) is False
