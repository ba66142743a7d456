"""The data plane of one worker: the border of every exchange, where it is answered, settled and recorded once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import BOOKED, RECORDED, SETTLED, Exchange
from gatewright.core.grant import Grant
from gatewright.core.ports import Ports
from gatewright.core.reply import Reply
from gatewright.core.stages import STAGE
from gatewright.core.surface import Dialect, Headers
from gatewright.net.downstream import Connection
from gatewright.net.pool import UpstreamPools
from gatewright.pipeline.attempts import OpenStream, fail_over
from gatewright.pipeline.identify import identify
from gatewright.pipeline.lifecycle import find_model, open_exchange, price, refuse_model, settle
from gatewright.pipeline.plan import Plan, limit_lines
from gatewright.pipeline.reserving import StreamMeter, keep_alive
from gatewright.pipeline.snapshot import Snapshot
from gatewright.server.cors import CorsPolicy
from gatewright.server.heads import render_head, render_lines, render_reply
from gatewright.server.relay import Relay
from gatewright.server.routes import Listing, Route, dialect_of, find_route
from gatewright.telemetry.recorder import Recorder
from gatewright.wire.http1 import Malformed, Request

if TYPE_CHECKING:
    from gatewright.server.token_endpoint import TokenEndpoints

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream"
_EVENTS_UTF8: Final = b"text/event-stream; charset=utf-8"
_OVERLOADED_RETRY_S: Final = 1.0
_LOW_DIGITS: Final = [f"{number:03x}" for number in range(0x1000)]
"""The last three of an id's eight hexadecimal digits, since formatting a number takes a microsecond."""
_NEVER: Final = float("inf")

ReportFault = Callable[[str, BaseException], None]
"""`(exchange id, error)`: a fault of the gateway itself, for its own log."""


class Ledger(Protocol):
    """Where settled exchanges are booked."""

    def book(self, x: Exchange) -> None:
        """Keep its entry, so that the end of this process cannot lose it. Must not raise."""
        ...

    def check_room(self) -> None:
        """Raises GatewayError (overloaded) when nothing more can be kept and the configuration says to refuse then."""
        ...


class NoLedger:
    """For tests and trials: nothing is kept."""

    def book(self, x: Exchange) -> None:
        """Nothing."""

    def check_room(self) -> None:
        """There always is."""


class DataPlane:
    """Runs exchanges (`net.downstream.Handler`). The snapshot is replaced by one assignment."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pools: UpstreamPools,
        ports: Ports,
        recorder: Recorder,
        ledger: Ledger,
        report_fault: ReportFault,
        id_prefix: str,
    ) -> None:
        self._loop = loop
        self._pools = pools
        self._ports = ports
        self._recorder = recorder
        self._ledger = ledger
        self._held: set[Exchange] = set()
        """What may hold a reservation that expires unless it is kept alive."""
        self._report_fault = report_fault
        self._id_prefix = id_prefix
        self._number = 0
        """Of the last exchange that was given an id here."""
        self._id_begin = f"{id_prefix}00000"
        self._cors: CorsPolicy | None = None
        self._created = 0
        self._max_in_flight = 0
        self.snapshot: Snapshot | None = None
        self._endpoints: TokenEndpoints | None = None
        self.in_flight = 0

    def use(self, snapshot: Snapshot, created: int, endpoints: TokenEndpoints | None = None) -> None:
        """Serve new exchanges by `snapshot`; those running keep theirs. `created` is the wall time, for model lists."""
        document = snapshot.document
        self._cors = CorsPolicy(document.cors) if document.cors is not None else None
        self._max_in_flight = document.limits.requests_in_flight
        self._pools.max_response_bytes = document.limits.response_bytes
        self._created = created
        self._endpoints = endpoints
        self.snapshot = snapshot

    # -- Handler --------------------------------------------------------------------------------------------------

    async def handle(self, connection: Connection, request: Request) -> None:
        """Run one exchange: answer it exactly once, settle it, record it."""
        x = self._open(request.headers, request.body)
        x.peer = connection
        self.in_flight += 1
        try:
            if request.method == b"OPTIONS" and self._answer_preflight(connection, request, x):
                return
            if self._endpoints is not None and await self._serve_tokens(self._endpoints, connection, request, x):
                return
            route = self._route(request, x)
            dialect = route.dialect
            if route.listing is not None:
                await self._answer(connection, x, await self._list_models(connection, x, route.listing))
                return
            self._ledger.check_room()
            if x.snapshot.has_reservations:
                self._held.add(x)
            if request.head is not None:
                pending = self._recognise(connection, request, x)
                if pending is not None:
                    await self._ports.spawn(pending)
            await STAGE
            answer = await open_exchange(x, dialect, self._ports, self._pools.send)
            while not isinstance(answer, Reply):
                error = await self._relay(connection, x, answer, dialect)
                if error is None:
                    return
                answer = await fail_over(x, dialect, self._ports, self._pools.send, error)
            await STAGE
            await self._answer(connection, x, answer)
        except GatewayError as error:
            self._answer_error(connection, x, error, dialect_of(request.path, request.headers), request.method)
        except asyncio.CancelledError:
            _disconnect(x)
            raise
        except Exception as error:  # noqa: BLE001 - the exchange's border: one fault costs one exchange
            fault = GatewayError(Kind.INTERNAL, f"{type(error).__name__}: {error}", cause=error)
            self._report_fault(x.id, error)
            self._answer_error(connection, x, fault, dialect_of(request.path, request.headers), request.method)
        finally:
            self.in_flight -= 1
            self._close(x)
            connection.next_turn()

    def refuse(self, connection: Connection, malformed: Malformed) -> None:
        """Answer what is not a request, in the dialect of the path it was sent to, as far as that is known."""
        x = self._open(malformed.headers, b"")
        error = GatewayError(malformed.kind, malformed.message)
        self._answer_error(connection, x, error, dialect_of(malformed.path, malformed.headers), malformed.method)
        self._close(x)

    def _recognise(self, connection: Connection, request: Request, x: Exchange) -> Coroutine[Any, Any, None] | None:
        """Take the consumer from the request before, when head, snapshot and credentials are still the same.

        Gives a coroutine where others must be asked who it is.
        """
        known = connection.caller
        callers = self._ports.callers
        generation = 0 if callers is None else callers.generation
        if known is not None and known[0] is request.head and known[1] is x.snapshot and known[3] == generation:
            x.consumer = cast(Consumer, known[2])
            x.is_identified = True
            return None
        pending = identify(x, self._ports)
        if pending is None and x.consumer.expires_at == _NEVER:
            connection.caller = (request.head, x.snapshot, x.consumer, generation)
        return pending

    # -- one exchange ---------------------------------------------------------------------------------------------

    def _open(self, headers: dict[bytes, bytes], body: bytes) -> Exchange:
        sent = headers.get(b"x-request-id")
        if sent is not None and _REQUEST_ID.match(sent):
            exchange_id = sent.decode("ascii")
        else:
            exchange_id = self._next_id()
        return Exchange(exchange_id, self.snapshot, headers, body, self._ports.now())

    def _next_id(self) -> str:
        number = self._number = self._number + 1
        low = number & 0xFFF
        if low == 0:
            self._id_begin = f"{self._id_prefix}{number >> 12:05x}"
        return self._id_begin + _LOW_DIGITS[low]

    def _route(self, request: Request, x: Exchange) -> Route:
        route, named = find_route(request.method, request.path, request.headers)
        x.surface = route.surface
        x.dialect = route.dialect
        if route.dialect.family == "passing":
            x.path_id = named
            x.query = request.query
        elif named is not None:
            x.path_model = named
        self._check_in_flight()
        return route

    def _check_in_flight(self) -> None:
        if self.in_flight > self._max_in_flight:
            raise GatewayError(
                Kind.OVERLOADED,
                f"The gateway has {self._max_in_flight} requests in flight (limits.requests_in_flight). Try again.",
                retry_after_s=_OVERLOADED_RETRY_S,
            )

    async def _answer(self, connection: Connection, x: Exchange, reply: Reply) -> None:
        x.finished_s = self._ports.now()
        price(x, self._ports)
        await STAGE
        x.status = reply.status
        x.bytes_out = len(reply.body)
        grant = x.grant
        # Booked before it is sent: what a client has seen is in the ledger, whatever dies next.
        self._settle(x)
        await STAGE
        self._book(x)
        await STAGE
        self._record(x)
        lines = _answer_lines(x.plan, grant, reply.headers)
        if self._cors is not None:
            lines += self._cors_lines(x)
        await STAGE
        upstream_s = x.upstream_s
        gateway_s = x.finished_s - x.started_s - upstream_s
        connection.respond(render_reply(reply, x.id, gateway_s, upstream_s, lines, close=connection.closes))

    async def _relay(
        self, connection: Connection, x: Exchange, stream: OpenStream, dialect: Dialect
    ) -> GatewayError | None:
        """Forward a stream to its end. Returns the error when it failed before anything went to the client."""
        gateway_ms = (self._ports.now() - x.started_s - x.upstream_s) * 1e3
        timing = b"server-timing: gateway;dur=%.3f, upstream;dur=%.3f\r\n" % (gateway_ms, x.upstream_s * 1e3)
        headers = (
            b"cache-control: no-cache\r\n"
            + timing
            + _answer_lines(x.plan, x.grant, stream.headers)
            + self._cors_lines(x)
        )
        chunked = not connection.is_http10
        stream_type = stream.content_type or dialect.stream_type
        if stream_type is _EVENTS or stream_type == _EVENTS:
            stream_type = _EVENTS_UTF8
        if not chunked:
            connection.close_after_answer()
        head = render_head(200, stream_type, x.id, headers, length=None, close=connection.closes, chunked=chunked)
        meter = None
        if x.plan is not None and x.plan.counts_output and x.grant is not None:
            meter = StreamMeter(x, x.plan, self._ports)
        relay = Relay(connection, x, stream, head, self._loop.create_future(), self._ports.now, meter)
        try:
            stream.source.start(relay)
            error = await relay.done
        except asyncio.CancelledError:
            stream.source.abort()
            raise
        finally:
            x.usage = stream.codec.usage
            x.is_complete = stream.codec.done
        if error is not None:
            if not relay.begun:
                error.body = None  # it holds an event, and what is sent now is a JSON body
                return error
            x.error = error
            if error.kind is Kind.INTERNAL and error.cause is not None:
                self._report_fault(x.id, error.cause)
            if error.body is None:  # else the upstream's own error event went out already
                connection.write_piece(stream.codec.fail(error, x.id))
        elif not relay.begun:
            return GatewayError(Kind.UPSTREAM_BAD_RESPONSE, "The provider's stream held no event.")
        self._close(x)  # before the client sees the end, as for complete answers
        connection.end_stream()
        return None

    async def _serve_tokens(
        self, endpoints: TokenEndpoints, connection: Connection, request: Request, x: Exchange
    ) -> bool:
        """Answer what is for the authorisation server; whether it was."""
        endpoint = endpoints.find(request.path)
        if endpoint is None:
            return False
        x.surface = endpoint.surface
        self._check_in_flight()
        serving = endpoints.answer(endpoint, request, x, connection.peer)
        await self._answer(connection, x, await self._ports.spawn(serving))
        return True

    async def _list_models(self, connection: Connection, x: Exchange, listing: Listing) -> Reply:
        pending = identify(x, self._ports)
        if pending is not None:
            await self._ports.spawn(pending)
        snapshot = x.snapshot
        access = snapshot.access
        if x.consumer.scopes is not None:
            access.check_address(x.consumer, connection.peer)
        name = x.path_model
        if name is None or listing.render_model is None:
            names = [name for name in snapshot.models.exact() if access.is_listed(x.consumer, name)]
            return Reply(200, listing.render_models(names, self._created))
        find_model(snapshot, name)
        if not access.is_listed(x.consumer, name):
            raise refuse_model(name)
        return Reply(200, listing.render_model(name, self._created))

    def _answer_preflight(self, connection: Connection, request: Request, x: Exchange) -> bool:
        lines = self._cors.preflight_headers(request) if self._cors is not None else None
        if lines is None:
            return False
        x.status = 204
        head = render_head(204, _JSON, x.id, lines, length=0, close=connection.closes)
        # RFC 9110 §8.6: a 204 carries no Content-Length, and without a body no type.
        head = head.replace(b"content-length: 0\r\n", b"").replace(b"content-type: application/json\r\n", b"")
        connection.respond(head)
        return True

    def _answer_error(
        self, connection: Connection, x: Exchange, error: GatewayError, dialect: Dialect, method: bytes
    ) -> None:
        x.error = error
        x.status = status = dialect.status_of(error)
        lines = render_lines(error.headers) + render_lines(dialect.answer_headers(x.id, error)) + self._cors_lines(x)
        if error.retry_after_s is not None and not any(name == b"retry-after" for name, _ in error.headers):
            seconds = error.retry_after_s
            lines += b"retry-after: %d\r\nretry-after-ms: %d\r\n" % (-(-seconds // 1), seconds * 1000)
        body = error.body if error.body is not None else dialect.render_error(error, x.id)
        x.bytes_out = len(body)
        head = render_head(status, _JSON, x.id, lines, length=len(body), close=connection.closes)
        self._close(x)
        connection.respond(head if method == b"HEAD" else head + body)

    def _cors_lines(self, x: Exchange) -> bytes:
        if self._cors is None:
            return b""
        origin = x.headers.get(b"origin")
        return self._cors.answer_headers(origin) if origin is not None else b""

    def _close(self, x: Exchange) -> None:
        """Settle, book and record, once, whatever happened."""
        self._settle(x)
        self._book(x)
        self._record(x)

    def _settle(self, x: Exchange) -> None:
        if x.closed >= SETTLED:
            return
        if not x.finished_s:
            x.finished_s = self._ports.now()
        self._held.discard(x)
        try:
            settle(x, self._ports)
        except Exception as error:  # noqa: BLE001 - a filter that breaks its promise must not lose the record
            self._report_fault(x.id, error)
        x.closed = SETTLED

    def _book(self, x: Exchange) -> None:
        if x.closed == SETTLED:
            x.closed = BOOKED
            if x.attempts or x.cache:
                self._ledger.book(x)

    def _record(self, x: Exchange) -> None:
        if x.closed == BOOKED:
            x.closed = RECORDED
            self._recorder.record(x)

    def keep_alive(self) -> None:
        """Let what long exchanges hold of limits and budgets live on. Call every half minute or so."""
        for x in list(self._held):
            keep_alive(x, self._ports)


def _disconnect(x: Exchange) -> None:
    """The client is gone. Once its answer was settled it counts as answered, as if it left when the bytes arrived."""
    if x.closed < SETTLED:
        x.error = GatewayError(Kind.DISCONNECTED, "The client closed the connection.")
        x.status = x.status or x.error.status


def _answer_lines(plan: Plan | None, grant: Grant | None, headers: Headers) -> bytes:
    """The headers of an answer as lines: of limits, ours are what the caller is held to, not those of the provider."""
    if plan is None or grant is None:
        return render_lines(headers) if headers else b""
    lines = limit_lines(plan, grant.left)
    if not headers:
        return lines
    if lines:
        headers = tuple([header for header in headers if not header[0].startswith(b"x-ratelimit-")])
    return lines + render_lines(headers)
