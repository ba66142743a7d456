"""One client connection: requests in, answers out, in order, with bounded memory and a time limit on every wait.

Theory of operation. The parser gives complete requests. One exchange runs at a time; when many requests that a
client pipelined behind it wait, nothing more is read. The handler answers with `respond` (whole) or
`begin_stream`, `write_piece`…, `end_stream`; then the next request starts. EOF or loss of the connection cancels the
running exchange. After an error that leaves the framing in doubt the answer is sent, the write side closed, and what
the client still sends is discarded for a moment, so that a reset cannot destroy the answer on its way (RFC 9112 §9.6).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Coroutine
from typing import Any, Final, Protocol, cast

from gatewright.config.documents import Limits, Timeouts
from gatewright.core.errors import Kind
from gatewright.net.deadlines import Deadline, Deadlines
from gatewright.net.rounds import Receiver, Round, Turn
from gatewright.wire.http1 import Malformed, Request, RequestParser

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_S: Final = 2.0
DRAIN_GRACE_S: Final = 1.0
"""How long an idle connection of a draining worker may still bring a request."""
_WRITE_HIGH_BYTES: Final = 65_536
"""Unsent bytes at which an answer's source is paused."""
_MAX_WAITING: Final = 64
_MAX_WAITING_BYTES: Final = 65_536
"""Requests, and bytes of their bodies, that may wait behind a running exchange; beyond it nothing more is read."""


class Source(Protocol):
    """What feeds a streamed answer and can be told to wait."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Handler(Protocol):
    """The data plane, as a connection sees it."""

    def handle(self, connection: Connection, request: Request) -> Coroutine[Any, Any, None]:
        """Run one exchange: answer through `connection` exactly once, then call its `next_turn`, whatever happens."""
        ...

    def refuse(self, connection: Connection, malformed: Malformed) -> None:
        """Answer what is not a request; the connection closes after it."""
        ...


class Listener:
    """What the connections of one worker share."""

    def __init__(
        self,
        its_round: Round,
        handler: Handler,
        deadlines: Deadlines,
        limits: Limits,
        timeouts: Timeouts,
    ) -> None:
        self.loop = its_round.loop
        self.handler = handler
        self.round = its_round
        self.deadlines = deadlines
        self.limits = limits
        self.timeouts = timeouts
        self.draining = False
        self.connections: set[Connection] = set()

    def configure(self, limits: Limits, timeouts: Timeouts) -> None:
        """New limits, for connections made from now on; the running ones keep theirs."""
        self.limits = limits
        self.timeouts = timeouts

    def accept(self) -> Connection:
        """The protocol factory."""
        return Connection(self)

    def drain(self) -> None:
        """Close every connection behind the answer it is on, or behind the next; one that stays idle after a grace.

        At once would be wrong even for idle ones: a request may be on its way, on a new connection most of all.
        """
        self.draining = True
        asyncio.get_running_loop().call_later(DRAIN_GRACE_S, self._close_idle)

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            connection.close_if_idle()

    def abort(self) -> None:
        """Close everything at once."""
        for connection in list(self.connections):
            connection.abort()


class Connection(Receiver):
    """The server side of one client connection: an `asyncio.Protocol`, though not by inheritance, for compiled classes
    that have an interpreted base are slow."""

    __slots__ = (
        "_closing",
        "_deadline",
        "_in_head",
        "_keep_alive",
        "_listener",
        "_parser",
        "_source",
        "_stalled",
        "_streaming",
        "_timeouts",
        "_turn",
        "_unsent",
        "_waiting",
        "caller",
        "is_http10",
    )

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self._listener = listener
        limits = listener.limits
        self._timeouts = listener.timeouts
        self._parser = RequestParser(
            max_header_bytes=limits.header_bytes, max_headers=limits.header_count, max_body_bytes=limits.body_bytes
        )
        self._deadline = Deadline(listener.deadlines, self._on_deadline)
        self._turn: Turn | None = None
        self._waiting: deque[Request | Malformed] = deque()
        self._source: Source | None = None
        self._stalled = False
        self._streaming = False
        self._closing = False
        self._in_head = False
        self._unsent: float = math.inf
        """What a closing connection had not sent yet when its deadline last passed."""
        self._keep_alive = True
        self.is_http10 = False
        self.caller: tuple[object, ...] | None = None
        """What the handler found out about the caller, with what that depends on; the handler's own."""

    # -- answering: called by the handler -------------------------------------------------------------------------

    @property
    def closes(self) -> bool:
        """Whether the answer about to be sent is the last of this connection, and must say so."""
        return not self._keep_alive or self._listener.draining

    @property
    def peer(self) -> str:
        """The client's address, for the log."""
        address = self._transport.get_extra_info("peername") if self._transport is not None else None
        return str(address[0]) if isinstance(address, tuple) else ""

    @property
    def certificate(self) -> bytes | None:
        """The certificate that the client showed and the handshake verified, in DER; None when it showed none."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        return None if tls is None else cast(bytes | None, tls.getpeercert(binary_form=True))

    def respond(self, message: bytes) -> None:
        """Send one whole answer, head and body."""
        transport = self._transport
        if transport is not None:
            self._listener.round.send(transport, message)

    def begin_stream(self, head: bytes, source: Source) -> None:
        """Send the head of a streamed answer; `source` is paused while the client is slow."""
        self._streaming = True
        self._source = source
        if self._transport is not None:
            self._listener.round.send(self._transport, head)
            if self._stalled:
                source.pause()

    def write_piece(self, piece: bytes) -> None:
        """Send some bytes of a streamed answer."""
        if self._transport is not None:
            framed = piece if self.is_http10 else b"%x\r\n%b\r\n" % (len(piece), piece)
            self._listener.round.send(self._transport, framed)

    def end_stream(self) -> None:
        """The streamed answer is complete."""
        if self._transport is not None and not self.is_http10:
            self._listener.round.send(self._transport, b"0\r\n\r\n")
        self._streaming = False
        self._source = None

    def close_after_answer(self) -> None:
        """Make the running answer the connection's last."""
        self._keep_alive = False

    def linger(self) -> None:
        """The last answer is written: close, but let the client read it first."""
        if self._transport is None or self._closing:
            return
        self._closing = True
        self._waiting.clear()
        self._listener.round.flush()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._deadline.arm(_LINGER_S)

    def abort(self) -> None:
        """Close at once, losing what is unsent; a running exchange is cancelled."""
        if self._transport is not None:
            self._transport.abort()

    def close_if_idle(self) -> None:
        """Close unless an exchange is running or a request has begun to arrive."""
        if self._turn is not None or self.unread or self._waiting:
            return
        if not self._parser.in_head and not self._parser.in_body:
            self._close()

    # -- protocol -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        listener = self._listener
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass
        listener.connections.add(self)
        if len(listener.connections) > listener.limits.connections:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        self._deadline.arm(self._timeouts.header_s)

    def data_received(self, data: bytes) -> None:
        self._listener.round.take(self, data)

    def receive(self, data: bytes) -> None:
        transport = self._transport
        if self._closing or transport is None:
            return
        done = self._parser.feed(data)
        if not done:
            self._on_partial()
        elif self._turn is None and not self._waiting and len(done) == 1:
            self._begin(done[0])
        else:
            self._waiting.extend(done)
            if self._is_backed_up():
                transport.pause_reading()
            if self._turn is None:
                self._begin(self._waiting.popleft())

    def eof_received(self) -> None:
        return None  # a client that closes its side is gone, as for other servers; connection_lost follows

    def connection_lost(self, exc: Exception | None) -> None:
        if self.unread:
            self._listener.round.read()
        self._listener.connections.discard(self)
        self._deadline.close()
        self._transport = None
        self._waiting.clear()
        self._parser.close()
        if self._turn is not None:
            self._turn.cancel()

    def pause_writing(self) -> None:
        self._stalled = True
        self._deadline.arm(self._timeouts.write_stall_s)
        if self._source is not None:
            self._source.pause()

    def resume_writing(self) -> None:
        self._stalled = False
        self._deadline.disarm()
        if self._source is not None:
            self._source.resume()
        elif self._closing:
            self._deadline.arm(_LINGER_S)
        elif self._turn is None:
            self._deadline.arm(self._timeouts.keep_alive_s)

    # -- turns ----------------------------------------------------------------------------------------------------

    def _on_partial(self) -> None:
        """Bytes came that complete nothing: set the clock for the part that is being waited for."""
        if self._turn is not None:
            return
        parser = self._parser
        if parser.in_head:
            if not self._in_head:  # one limit for the whole head, however it trickles in
                self._in_head = True
                self._deadline.arm(self._timeouts.header_s)
        elif parser.in_body:
            self._deadline.arm(self._timeouts.body_idle_s)
            if parser.take_continue() and self._transport is not None:
                self._listener.round.send(self._transport, _CONTINUE)

    def _begin(self, message: Request | Malformed) -> None:
        listener = self._listener
        self._deadline.disarm()
        self._in_head = False
        if isinstance(message, Malformed):
            self._keep_alive = False
            listener.handler.refuse(self, message)
            self.linger()
            return
        self._keep_alive = message.keep_alive
        self.is_http10 = message.is_http10
        turn = self._turn = Turn(listener.round, listener.handler.handle(self, message))
        listener.round.put(turn)

    def next_turn(self) -> None:
        """The exchange is over, its answer written or given up: begin the next, wait for it, or close."""
        self._turn = None
        transport = self._transport
        if transport is None or self._closing:
            return
        if self.closes:
            self.linger()
        elif self._waiting:
            # Not at once: a hundred refused requests in a row must not be a hundred calls deep.
            self._listener.loop.call_soon(self._begin_waiting)
        elif not self._stalled:
            if self._parser.in_head or self._parser.in_body:
                self._on_partial()
            else:
                self._deadline.arm(self._timeouts.keep_alive_s)

    def _begin_waiting(self) -> None:
        transport = self._transport
        if transport is None or self._closing or not self._waiting or self._turn is not None:
            return
        message = self._waiting.popleft()
        if not self._waiting:
            transport.resume_reading()
        self._begin(message)

    def _is_backed_up(self) -> bool:
        """Whether enough was pipelined for now. Below that reading goes on, so that the client's leaving shows."""
        waiting = self._waiting
        if len(waiting) > _MAX_WAITING or (waiting and isinstance(waiting[-1], Malformed)):
            return True
        return sum(len(request.body) for request in waiting if isinstance(request, Request)) > _MAX_WAITING_BYTES

    def _close(self) -> None:
        if self._transport is not None:
            self._listener.round.flush()
            self._transport.close()

    def _on_deadline(self) -> None:
        if self._closing and self._transport is not None:
            unsent = self._transport.get_write_buffer_size()
            if 0 < unsent < self._unsent:  # a slow client still takes its answer
                self._unsent = float(unsent)
                self._deadline.arm(self._timeouts.write_stall_s)
                return
        if self._stalled or self._closing:
            self.abort()
            return
        parser = self._parser
        if parser.in_head or parser.in_body:
            self._keep_alive = False
            part = "headers" if parser.in_head else "body"
            late = Malformed(
                Kind.REQUEST_TIMEOUT, f"The request's {part} did not arrive in time.", b"", parser.partial_path(), {}
            )
            self._listener.handler.refuse(self, late)
            self.linger()
        else:
            self._close()
