"""One keep-alive connection to an upstream, and the answer it carries.

Theory of operation. A connection is `idle`, or carries exactly one exchange: the request is written whole, then bytes
are read until the answer is complete. An event stream resolves the waiter at its head and flows on into a sink; any
other answer is collected and resolves it when whole. An `Answer` is a handle for one exchange: once that is over, or
another has begun, its methods do nothing, so a late `abort` can never hurt a stranger.

A server may close an idle connection at any moment, also while a request is on its way to it (RFC 9112 §9.5). Such a
request may be sent again only if the server got nothing of it, which `net.delivery` finds out when it happens.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import Final, cast

from gatewright.config.documents import UpstreamTimeouts
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.ports import StreamSink
from gatewright.net.deadlines import Deadline, Deadlines
from gatewright.net.delivery import Progress, TransportSocket, read_progress, took_nothing
from gatewright.net.rounds import Receiver, Round, Waiter
from gatewright.wire.coding import Inflater, UnknownCoding
from gatewright.wire.http1 import MalformedResponse, ResponseParser

IDLE_S: Final = 55.0
"""An idle connection is closed after this: sooner than the 60 s at which most load balancers do."""
_MAX_WAITING_BYTES: Final = 65_536
"""Bytes of a stream that may be read before anyone takes them."""
_FRESH_S: Final = 1.0
"""A connection used this recently is taken without asking the kernel whether it is still open."""
_STREAMS: Final = (b"text/event-stream", b"application/x-ndjson", b"application/vnd.amazon.eventstream")
"""Content types of answers that are forwarded piece by piece; all others are read whole."""


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


class UpstreamConnection(Receiver):
    """A connection owned by a pool: `on_idle(connection)` and `on_closed(connection)` tell the pool of its fate.

    An `asyncio.Protocol` by its methods, see `net.downstream.Connection`.
    """

    __slots__ = (
        "_answer",
        "_before",
        "_deadline",
        "_deadlines",
        "_idle_s",
        "_inflater",
        "_is_plain",
        "_length",
        "_max_response_bytes",
        "_on_closed",
        "_on_idle",
        "_parser",
        "_paused",
        "_pieces",
        "_reused",
        "_round",
        "_sink",
        "_size",
        "_socket",
        "_untold",
        "_untouched",
        "_waiter",
        "_written_bytes",
        "closed",
        "idle_since_s",
        "made",
    )

    def __init__(
        self,
        its_round: Round,
        deadlines: Deadlines,
        on_idle: Callable[[UpstreamConnection], None],
        on_closed: Callable[[UpstreamConnection], None],
    ) -> None:
        super().__init__()
        self._round = its_round
        self._deadlines = deadlines
        self._deadline = Deadline(deadlines, self._on_deadline)
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._parser = ResponseParser()
        self._waiter: Waiter | None = None
        self._answer: Answer | None = None
        self._sink: StreamSink | None = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._inflater: Inflater | None = None
        self._paused = False
        self._reused = False
        self._socket: TransportSocket | None = None
        self._is_plain = False
        self._before: Progress | None = None
        """How far TCP was when the connection was made, or with TLS as the running request began."""
        self._length = 0
        self._written_bytes = 0
        """Bytes of all earlier requests, where there is no TLS to make more of them."""
        self._untouched = False
        self._untold: GatewayError | None = None
        """Why a stream failed between its head and its sink: the sink hears it when it comes."""
        self._idle_s = 0.0
        self._max_response_bytes = 0
        self.made = False
        """Whether there was a connection at all: then, and only then, `on_closed` is called."""
        self.closed = False
        self.idle_since_s = 0.0

    # -- used by the pool and the sender --------------------------------------------------------------------------

    def is_usable(self) -> bool:
        """Whether an idle connection may carry another request: open, and silent since its last answer."""
        transport = self._transport
        if transport is None or self.unread or transport.is_closing():
            return False
        self._reused = True
        if self._deadlines.now - self.idle_since_s < _FRESH_S:
            return True
        watch = select.poll()  # not select(): it cannot see descriptors beyond 1,023
        watch.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not watch.poll(0)  # EOF, or bytes nobody asked for

    def begin(self, request: bytes, timeouts: UpstreamTimeouts, max_response_bytes: int) -> Waiter:
        """Send one request; the future brings its answer, whole or begun. Raises GatewayError, as the future does.

        Whoever is cancelled while waiting for the future must call `give_up`.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise self._reset_error(untouched=self._reused)
        if not self._is_plain and self._reused:
            self._before = read_progress(self._socket)
        waiter = self._waiter = Waiter(self._round)
        self._length = len(request)
        self._idle_s = timeouts.idle_s
        self._max_response_bytes = max_response_bytes
        self._deadline.arm(timeouts.first_byte_s)
        self._round.send(transport, request)
        return waiter

    async def exchange(self, request: bytes, timeouts: UpstreamTimeouts, max_response_bytes: int) -> Answer:
        """`begin`, wait, and `give_up` when cancelled."""
        waiter = self.begin(request, timeouts, max_response_bytes)
        try:
            answer: Answer = await waiter
            return answer
        except asyncio.CancelledError:
            self.give_up(waiter)
            raise

    def give_up(self, waiter: Waiter) -> None:
        """Nobody wants the answer any more: close, unless it came whole meanwhile and the connection serves another."""
        if waiter is self._waiter:
            self.close()
        elif waiter.brought():
            waiter.result().abort()  # a stream that began in the very round in which its client left

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
        if self._untold is not None:
            self._fail(self._untold)
            return
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
        self._socket = transport.get_extra_info("socket")
        self._is_plain = transport.get_extra_info("sslcontext") is None
        if self._is_plain:
            self._before = read_progress(self._socket)
        self.made = True

    def data_received(self, data: bytes) -> None:
        if self._sink is not None and not self.unread:
            self._handle(data)  # a stream's next piece: what follows is little
        else:
            self._round.take(self, data)

    def receive(self, data: bytes) -> None:
        if self._transport is not None:
            self._handle(data)

    def _handle(self, data: bytes) -> None:
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

    def pause_writing(self) -> None:
        """Nothing: a request is written whole."""

    def resume_writing(self) -> None:
        """Nothing."""

    def eof_received(self) -> None:
        if self.unread:
            self._round.read()
        # Asked now: a peer that only shut its sending side down may still acknowledge what it will never answer.
        self._untouched = self._took_nothing(peer_closed=True)
        # None closes: a half-open upstream is of no use; connection_lost follows.

    def connection_lost(self, exc: Exception | None) -> None:
        if self.unread:
            self._round.read()
        self.closed = True
        self._deadline.close()
        if self._waiter is not None or self._sink is not None:
            if not self._untouched:
                # EPIPE is the kernel's word for a write behind the peer's FIN, ECONNRESET for any other reset.
                self._untouched = self._took_nothing(peer_closed=isinstance(exc, BrokenPipeError))
            self._end_lost(exc)
        self._parser.close()
        self._transport = None
        self._on_closed(self)

    # -- reading an answer ----------------------------------------------------------------------------------------

    def _collect(self, body: bytes) -> None:
        parser = self._parser
        if parser.complete and self._answer is None and not self._pieces and self._is_simple(body):
            waiter, self._waiter = self._waiter, None
            whole = Answer(parser.status, parser.headers, body, None)
            self._become_idle()
            if waiter is not None and not waiter.done():
                waiter.set_result(whole)
            return
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

    def _is_simple(self, body: bytes) -> bool:
        """Whether a complete answer that came in one read needs nothing more than to be handed over."""
        headers = self._parser.headers
        if b"content-encoding" in headers or len(body) > self._max_response_bytes:
            return False
        content_type = headers.get(b"content-type", b"")
        return content_type.startswith(b"application/json") or not content_type.startswith(_STREAMS)

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
        if headers.get(b"content-type", b"").startswith(_STREAMS):
            waiter, self._waiter = self._waiter, None
            self._deadline.arm(self._idle_s)
            if waiter is not None:
                if waiter.done():  # cancelled as the answer came, and nobody else would end it
                    self.close()
                    return False
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
        if self._is_plain:
            self._written_bytes += self._length
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
                self._fail(self._reset_error(untouched=self._untouched))
            return
        if streaming:
            self._finish_stream()
        else:
            self._collect(b"")

    def _took_nothing(self, *, peer_closed: bool) -> bool:
        """Whether the peer certainly got nothing of the running request, and this is not a new connection's end."""
        if not self._reused or self._waiter is None or self._parser.started:
            return False
        return took_nothing(self._before, read_progress(self._socket), self._written_bytes, peer_closed=peer_closed)

    def _reset_error(self, *, untouched: bool) -> GatewayError:
        error = GatewayError(Kind.UPSTREAM_RESET, "The provider closed the connection before it answered.")
        error.untouched = untouched
        return error

    def _fail(self, error: GatewayError) -> None:
        waiter, sink, answer = self._waiter, self._sink, self._answer
        self.close()
        if sink is None and waiter is None:
            self._answer, self._untold = answer, error
        elif sink is not None:
            if error.kind is Kind.UPSTREAM_BAD_RESPONSE:
                error = GatewayError(Kind.UPSTREAM_CUT, error.message)
            sink.on_failure(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _on_deadline(self) -> None:
        if self._waiter is None and self._answer is None:
            self.close()  # idle
            return
        what = "continue its answer" if self._parser.head_complete else "answer"
        self._fail(GatewayError(Kind.UPSTREAM_TIMEOUT, f"The provider did not {what} in time."))


def _bad_response(why: str) -> GatewayError:
    return GatewayError(Kind.UPSTREAM_BAD_RESPONSE, f"The provider's answer is not usable: {why}.")
