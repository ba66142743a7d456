"""One upstream connection on a fake transport, and what a provider may send on it: for the tests of `net.upstream`."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import pytest
from wires import FakeTransport, rounds, run, ticking

from gatewright.config.documents import UpstreamTimeouts
from gatewright.core.errors import GatewayError
from gatewright.net.rounds import Round
from gatewright.net.upstream import Answer, UpstreamConnection

REQUEST = b"POST / HTTP/1.1\r\n\r\n"
JSON = b"content-type: application/json\r\n"
EVENTS = b"content-type: text/event-stream\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
BODY = b'{"answer":"' + b"x" * 40 + b'"}'
ZIPPED = gzip.compress(BODY, mtime=0)


def chunks(data: bytes, size: int = 7) -> bytes:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def length(data: bytes) -> bytes:
    return b"content-length: %d\r\n\r\n%b" % (len(data), data)


OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = {
    "length": OK + JSON + length(BODY),
    "chunked": OK + JSON + CHUNKED + chunks(BODY),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK + JSON + length(BODY),
    "gzip": OK + JSON + b"content-encoding: gzip\r\n" + length(ZIPPED),
    "gzip chunked": OK + JSON + b"content-encoding: gzip\r\n" + CHUNKED + chunks(ZIPPED),
}
CLOSED = {
    "close": OK + JSON + b"connection: close\r\n\r\n" + BODY,
    "http/1.0": b"HTTP/1.0 200 OK\r\n" + JSON + b"\r\n" + BODY,
}


class Sink:
    """Keeps what a stream brings; `bite` gives up after that many pieces."""

    def __init__(self, answer: Answer | None = None, bite: int = 0) -> None:
        self.data = b""
        self.ended = 0
        self.failures: list[GatewayError] = []
        self._answer, self._bite = answer, bite

    def on_data(self, data: bytes) -> None:
        self.data += data
        if self._answer is not None:
            self._bite -= 1
            if self._bite == 0:
                self._answer.abort()

    def on_end(self) -> None:
        self.ended += 1

    def on_failure(self, error: GatewayError) -> None:
        self.failures.append(error)


class Line:
    """A connection on a fake transport, as a pool would hold it."""

    def __init__(self, *, tls: bool = False) -> None:
        self.loop = asyncio.get_running_loop()
        self.time, deadlines = ticking()
        self.round = Round(self.loop)
        self.idle: list[UpstreamConnection] = []
        self.lost: list[UpstreamConnection] = []
        self.connection = UpstreamConnection(self.round, deadlines, self.idle.append, self.lost.append)
        self.transport = FakeTransport(self.connection, tls=tls)
        self.transport.socket.progress = (1, 0, 0)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    async def ask(self, max_response_bytes: int = 10_000, **timeouts: float) -> asyncio.Future[Answer]:
        call = asyncio.ensure_future(
            self.connection.exchange(REQUEST, UpstreamTimeouts(**timeouts), max_response_bytes)
        )
        await rounds(2)
        return call

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.transport.closing:
                self.connection.data_received(piece)
                self.round.read()

    async def failure(self, call: asyncio.Future[Answer]) -> GatewayError:
        with pytest.raises(GatewayError) as failed:
            await asyncio.wait_for(call, 1)
        return failed.value


def on_a_line(body: Callable[[Line], Awaitable[None]], *, tls: bool = False) -> None:
    async def made() -> None:
        await body(Line(tls=tls))

    run(made)
