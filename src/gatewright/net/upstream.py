"""One keep-alive connection to an upstream, and the answer it carries.

Theory of operation. A connection is `idle`, or carries exactly one exchange: the request is written whole, then bytes
are read until the answer is complete. An event stream resolves the waiter at its head and flows on into a sink; any
other answer is collected and resolves it when whole. An `Answer` is a handle for one exchange: once that is over, or
another has begun, its methods do nothing, so a late `abort` can never hurt a stranger.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

from gatewright.config.documents import UpstreamTimeouts
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.ports import StreamSink
from gatewright.net.deadlines import Deadline, Deadlines
from gatewright.net.outbox import Outbox
from gatewright.wire.coding import Inflater, UnknownCoding
from gatewright.wire.http1 import MalformedResponse, ResponseParser

IDLE_S: Final = 55.0
"""An idle connection is closed after this: sooner than the 60 s at which most load balancers do."""
_MAX_WAITING_BYTES: Final = 65_536
"""Bytes of a stream that may be read before anyone takes them."""
_FRESH_S: Final = 1.0
"""A connection used this recently is taken without asking the kernel whether it is still open."""
_BYTES_ACKED_AT: Final = 120
"""Offset of tcpi_bytes_acked in Linux's struct tcp_info (include/uapi/linux/tcp.h)."""


class Answer:
    """The head of one answer, with its body or the way to it (`core.ports.UpstreamAnswer`)."""

    __slots__ = ("_connection", "body", "headers", "status")

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes | None, owner: UpstreamConnection | None):
        self.status = status
        self.headers = headers
        self.body = body
        self._connection = owner

    def start(self, sink: StreamSink) -> None:
        if self._connection is not None:
            self._connection.start_stream(self, sink)

    def pause(self) -> None:
        if self._connection is not None:
            self._connection.pause(self)

    def resume(self) -> None:
        if self._connection is not None:
            self._connection.resume(self)

    def abort(self) -> None:
        if self._connection is not None:
            self._connection.abort(self)


class UpstreamConnection(asyncio.Protocol):
    """A connection owned by a pool; `on_idle(connection)` and `on_closed(connection)` tell the pool of its fate."""

    __slots__ = (
        "_answer",
        "_base_acked",
        "_deadline",
        "_deadlines",
        "_fd",
        "_idle_s",
        "_inflater",
        "_loop",
        "_max_response_bytes",
        "_on_closed",
        "_on_idle",
        "_outbox",
        "_parser",
        "_paused",
        "_pieces",
        "_reused",
        "_sink",
        "_size",
        "_transport",
        "_waiter",
        "closed",
        "idle_since_s",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        outbox: Outbox,
        on_idle: Callable[[UpstreamConnection], None],
        on_closed: Callable[[UpstreamConnection], None],
    ) -> None:
        self._loop = loop
        self._deadlines = deadlines
        self._outbox = outbox
        self._deadline = Deadline(deadlines, self._on_deadline)
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer: Answer | None = None
        self._sink: StreamSink | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._inflater: Inflater | None = None
        self._paused = False
        self._reused = False
        self._base_acked = -1
        self._fd = -1
        self._idle_s = 0.0
        self._max_response_bytes = 0
        self.closed = False
        self.idle_since_s = 0.0

    # -- used by the pool and the sender --------------------------------------------------------------------------

    @property
    def may_be_stale(self) -> bool:
        """Whether the connection was idle so long that the upstream may be closing it at this moment."""
        return self._base_acked >= 0

    def is_usable(self) -> bool:
        """Whether an idle connection may carry another request: open, and silent since its last answer."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        self._reused = True
        self._base_acked = -1
        if self._deadlines.now - self.idle_since_s < _FRESH_S:
            return True
        watch = select.poll()  # not select(): it cannot see descriptors beyond 1,023
        watch.register(self._fd, select.POLLIN)
        if watch.poll(0):
            return False  # EOF, or bytes nobody asked for
        self._base_acked = _bytes_acked(self._fd)
        return True

    async def exchange(self, request: bytes, timeouts: UpstreamTimeouts, max_response_bytes: int) -> Answer:
        """Send one request and wait for its answer, whole or begun. Raises GatewayError; cancelling closes."""
        transport = self._transport
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        self._idle_s = timeouts.idle_s
        self._max_response_bytes = max_response_bytes
        self._deadline.arm(timeouts.first_byte_s)
        if transport is None or transport.is_closing():
            self._waiter = None
            raise self._reset_error(untouched=True)
        self._outbox.send(transport, request)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.close()
            raise

    def close(self) -> None:
        """Close at once; a running exchange ends silently."""
        self._waiter = self._sink = self._answer = None
        # What was read may be many megabytes; the connection itself lives on until its cycles are collected.
        self._pieces = []
        self._size = 0
        self._inflater = None
        transport = self._transport
        if transport is not None:
            transport.abort()

    # -- used through Answer --------------------------------------------------------------------------------------

    def start_stream(self, answer: Answer, sink: StreamSink) -> None:
        if answer is not self._answer:
            return
        self._sink = sink
        if self._paused:
            self.resume(answer)  # if the client is slow too, its connection pauses again on the first piece
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            sink.on_data(piece)
        if self._sink is not sink:
            return  # the sink gave up on the first pieces
        if self.closed:
            self._end_lost(None)
        elif self._parser.complete:
            self._finish_stream()

    def pause(self, answer: Answer) -> None:
        if answer is self._answer and self._transport is not None and not self._paused:
            self._paused = True
            self._deadline.disarm()  # the client is the slow one now; its own time-out counts
            self._transport.pause_reading()

    def resume(self, answer: Answer) -> None:
        if answer is self._answer and self._transport is not None and self._paused:
            self._paused = False
            self._deadline.arm(self._idle_s)
            self._transport.resume_reading()

    def abort(self, answer: Answer) -> None:
        if answer is self._answer:
            self.close()

    # -- protocol -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass
        self._fd = self._transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        sink = self._sink
        try:
            body = parser.feed(data)
            if self._inflater is not None and body:
                body = self._inflater.feed(body)
        except (MalformedResponse, ValueError) as error:
            self._fail(_bad_response(str(error)))
            return
        if sink is not None:
            if body:
                sink.on_data(body)
            if parser.complete:
                if self._sink is sink:
                    self._finish_stream()
            elif not self._paused:
                # Armed when the stream began: moving it on needs no call, and this runs for every chunk.
                self._deadline.at = self._deadlines.now + self._idle_s
            return
        if self._waiter is None and self._answer is None:
            self.close()  # bytes nobody asked for
            return
        self._collect(body)

    def eof_received(self) -> None:
        return None  # close: a half-open upstream is of no use; connection_lost follows

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._deadline.close()
        if self._waiter is not None or self._sink is not None:
            self._end_lost(exc)
        self._parser.close()
        self._transport = None
        self._on_closed(self)

    # -- reading an answer ----------------------------------------------------------------------------------------

    def _collect(self, body: bytes) -> None:
        parser = self._parser
        if body:
            self._pieces.append(body)
            self._size += len(body)
        if not parser.head_complete:
            return
        if self._answer is None and self._waiter is not None and not self._begin_answer():
            return
        waiter = self._waiter
        answer = self._answer
        if waiter is None or answer is None:
            # A stream whose sink is not attached yet: pieces wait, reading pauses if they become many.
            if self._size > _MAX_WAITING_BYTES and answer is not None:
                self.pause(answer)
            return
        if self._size > self._max_response_bytes:
            self._fail(_bad_response(f"its body exceeds {self._max_response_bytes} bytes (limits.response_bytes)"))
        elif parser.complete:
            pieces, self._pieces = self._pieces, []
            answer.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._waiter = None
            if not waiter.done():
                waiter.set_result(answer)
            self._become_idle()
        else:
            self._deadline.arm(self._idle_s)

    def _begin_answer(self) -> bool:
        """The head is complete. False when that ended the exchange already."""
        parser = self._parser
        headers = parser.headers
        coding = headers.get(b"content-encoding")
        if coding is not None and coding.lower() != b"identity":
            try:
                self._inflater = Inflater(coding, self._max_response_bytes)
                self._pieces = [self._inflater.feed(piece) for piece in self._pieces]
                self._size = sum(map(len, self._pieces))
            except UnknownCoding as error:
                self._fail(_bad_response(f"it uses the content coding {error}, though asked for none"))
                return False
            except ValueError as error:
                self._fail(_bad_response(str(error)))
                return False
        self._answer = Answer(parser.status, headers, None, self)
        if headers.get(b"content-type", b"").startswith(b"text/event-stream"):
            waiter, self._waiter = self._waiter, None
            self._deadline.arm(self._idle_s)
            if waiter is not None and not waiter.done():
                waiter.set_result(self._answer)
        return True

    def _finish_stream(self) -> None:
        sink, self._sink = self._sink, None
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        if not self.closed:
            self._become_idle()
        if sink is not None:
            sink.on_end()

    def _become_idle(self) -> None:
        parser = self._parser
        self._answer = None
        self._inflater = None
        self._pieces = []
        self._size = 0
        transport = self._transport
        if transport is None or transport.is_closing() or not parser.is_reusable():
            self.close()
            return
        parser.reset()
        self.idle_since_s = self._deadlines.now
        self._deadline.arm(IDLE_S)
        self._on_idle(self)

    # -- failing --------------------------------------------------------------------------------------------------

    def _end_lost(self, exc: Exception | None) -> None:
        """The connection is gone with an exchange on it: perhaps that was the end of its answer."""
        parser = self._parser
        streaming = self._sink is not None
        try:
            if exc is not None:
                raise MalformedResponse(f"the connection was reset ({exc})")
            parser.end()
        except MalformedResponse as error:
            if streaming:
                self._fail(
                    GatewayError(Kind.UPSTREAM_CUT, f"The provider broke off in the middle of its answer: {error}.")
                )
            elif parser.started and exc is None:
                self._fail(_bad_response(str(error)))
            else:
                self._fail(self._reset_error(untouched=not parser.started and self._took_nothing()))
            return
        if streaming:
            self._finish_stream()
        else:
            self._collect(b"")

    def _took_nothing(self) -> bool:
        """Whether the peer's kernel acknowledged not one byte of the request: then nobody can have read it."""
        return self._reused and self._base_acked >= 0 and _bytes_acked(self._fd) == self._base_acked

    def _reset_error(self, *, untouched: bool) -> GatewayError:
        error = GatewayError(Kind.UPSTREAM_RESET, "The provider closed the connection before it answered.")
        error.untouched = untouched
        return error

    def _fail(self, error: GatewayError) -> None:
        waiter, sink = self._waiter, self._sink
        self.close()
        if sink is not None:
            if error.kind is Kind.UPSTREAM_BAD_RESPONSE:
                error = GatewayError(Kind.UPSTREAM_CUT, error.message)
            sink.on_failure(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _on_deadline(self) -> None:
        if self._waiter is None and self._sink is None:
            self.close()  # idle, or a head nobody took
            return
        what = "continue its answer" if self._parser.head_complete else "answer"
        self._fail(GatewayError(Kind.UPSTREAM_TIMEOUT, f"The provider did not {what} in time."))


def _bad_response(why: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_BAD_RESPONSE, f"The provider's answer is not usable: {why}.")


def _bytes_acked(fd: int) -> int:
    """How many bytes the peer's kernel has acknowledged, or -1 where the platform does not tell."""
    try:
        with socket.socket(fileno=os.dup(fd)) as view:
            info = view.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
            (acked,) = struct.unpack_from("<Q", info, _BYTES_ACKED_AT)
            return int(acked)
    except (OSError, AttributeError, struct.error):
        return -1
