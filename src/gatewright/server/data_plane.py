"""The data plane of one worker: the border of every exchange, where it is answered, settled and recorded once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import count
from typing import Final, cast

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Consumer, Exchange, Reply
from gatewright.core.ports import Ports
from gatewright.core.surface import Dialect
from gatewright.net.downstream import Connection
from gatewright.net.pool import UpstreamPools
from gatewright.pipeline.attempts import OpenStream, fail_over
from gatewright.pipeline.lifecycle import find_model, identify, open_exchange, settle
from gatewright.pipeline.snapshot import Snapshot
from gatewright.server.cors import CorsPolicy
from gatewright.server.heads import render_head, render_lines, render_reply
from gatewright.server.relay import Relay
from gatewright.server.routes import Listing, Route, dialect_of, find_route
from gatewright.telemetry.recorder import Recorder
from gatewright.wire.http1 import Malformed, Request

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream"
_EVENTS_UTF8: Final = b"text/event-stream; charset=utf-8"
_OVERLOADED_RETRY_S: Final = 1.0

ReportFault = Callable[[str, BaseException], None]
"""`(exchange id, error)`: a fault of the gateway itself, for its own log."""


class DataPlane:
    """Runs exchanges (`net.downstream.Handler`). The snapshot is replaced by one assignment."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pools: UpstreamPools,
        ports: Ports,
        recorder: Recorder,
        report_fault: ReportFault,
        id_prefix: str,
    ) -> None:
        self._loop = loop
        self._pools = pools
        self._ports = ports
        self._recorder = recorder
        self._report_fault = report_fault
        self._id_prefix = id_prefix
        self._ids = count(1)
        self._cors: CorsPolicy | None = None
        self._created = 0
        self._max_in_flight = 0
        self.snapshot: Snapshot | None = None
        self.in_flight = 0

    def use(self, snapshot: Snapshot, created: int) -> None:
        """Serve new exchanges by `snapshot`; those running keep theirs. `created` is the wall time, for model lists."""
        document = snapshot.document
        self._cors = CorsPolicy(document.cors) if document.cors is not None else None
        self._max_in_flight = document.limits.requests_in_flight
        self._pools.max_response_bytes = document.limits.response_bytes
        self._created = created
        self.snapshot = snapshot

    # -- Handler --------------------------------------------------------------------------------------------------

    async def handle(self, connection: Connection, request: Request) -> None:
        """Run one exchange: answer it exactly once, settle it, record it."""
        x = self._open(request.headers, request.body)
        self.in_flight += 1
        try:
            if request.method == b"OPTIONS" and self._answer_preflight(connection, request, x):
                return
            route = self._route(request, x)
            dialect = route.dialect
            if route.listing is not None:
                self._answer(connection, x, self._list_models(x, route.listing))
                return
            if request.head is not None:
                self._recognise(connection, request, x)
            answer = await open_exchange(x, dialect, self._ports, self._pools.send)
            while not isinstance(answer, Reply):
                error = await self._relay(connection, x, answer, dialect)
                if error is None:
                    return
                answer = await fail_over(x, dialect, self._ports, self._pools.send, error)
            self._answer(connection, x, answer)
        except GatewayError as error:
            self._answer_error(connection, x, error, dialect_of(request.path, request.headers), request.method)
        except asyncio.CancelledError:
            x.error = GatewayError(Kind.DISCONNECTED, "The client closed the connection.")
            x.status = x.status or x.error.status
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

    def _recognise(self, connection: Connection, request: Request, x: Exchange) -> None:
        """Take the consumer from the request before, when head and snapshot are still the same."""
        known = connection.caller
        if known is not None and known[0] is request.head and known[1] is x.snapshot:
            x.consumer = cast(Consumer, known[2])
            x.is_identified = True
            return
        identify(x)
        connection.caller = (request.head, x.snapshot, x.consumer)

    # -- one exchange ---------------------------------------------------------------------------------------------

    def _open(self, headers: dict[bytes, bytes], body: bytes) -> Exchange:
        sent = headers.get(b"x-request-id")
        if sent is not None and _REQUEST_ID.match(sent):
            exchange_id = sent.decode("ascii")
        else:
            exchange_id = f"{self._id_prefix}{next(self._ids):08x}"
        return Exchange(exchange_id, self.snapshot, headers, body, self._ports.now())

    def _route(self, request: Request, x: Exchange) -> Route:
        route, named = find_route(request.method, request.path, request.headers)
        x.surface = route.surface
        x.dialect = route.dialect
        if route.dialect.family == "passing":
            x.path_id = named
            x.query = request.query
        else:
            x.path_model = named
        if self.in_flight > self._max_in_flight:
            raise GatewayError(
                Kind.OVERLOADED,
                f"The gateway has {self._max_in_flight} requests in flight (limits.requests_in_flight). Try again.",
                retry_after_s=_OVERLOADED_RETRY_S,
            )
        return route

    def _answer(self, connection: Connection, x: Exchange, reply: Reply) -> None:
        now = x.finished_s = self._ports.now()
        x.status = reply.status
        body = reply.body
        x.bytes_out = len(body)
        extra = render_lines(reply.headers) if reply.headers else b""
        if self._cors is not None:
            extra += self._cors_lines(x)
        upstream_s = x.upstream_s
        connection.respond(
            render_reply(reply, x.id, now - x.started_s - upstream_s, upstream_s, extra, close=connection.closes)
        )

    async def _relay(
        self, connection: Connection, x: Exchange, stream: OpenStream, dialect: Dialect
    ) -> GatewayError | None:
        """Forward a stream to its end. Returns the error when it failed before anything went to the client."""
        gateway_ms = (self._ports.now() - x.started_s - x.upstream_s) * 1e3
        timing = b"server-timing: gateway;dur=%.3f, upstream;dur=%.3f\r\n" % (gateway_ms, x.upstream_s * 1e3)
        headers = b"cache-control: no-cache\r\n" + timing + render_lines(stream.headers) + self._cors_lines(x)
        chunked = not connection.is_http10
        stream_type = stream.content_type or dialect.stream_type
        if stream_type is _EVENTS or stream_type == _EVENTS:
            stream_type = _EVENTS_UTF8
        if not chunked:
            connection.close_after_answer()
        head = render_head(200, stream_type, x.id, headers, length=None, close=connection.closes, chunked=chunked)
        relay = Relay(connection, x, stream, head, self._loop.create_future(), self._ports.now)
        try:
            stream.source.start(relay)
            error = await relay.done
        except asyncio.CancelledError:
            stream.source.abort()
            raise
        finally:
            x.usage = stream.codec.usage
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
        connection.end_stream()
        return None

    def _list_models(self, x: Exchange, listing: Listing) -> Reply:
        identify(x)
        snapshot = x.snapshot
        name = x.path_model
        if name is None or listing.render_model is None:
            return Reply(200, listing.render_models(list(snapshot.models.exact()), self._created))
        find_model(snapshot, name)
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
        connection.respond(head if method == b"HEAD" else head + body)

    def _cors_lines(self, x: Exchange) -> bytes:
        if self._cors is None:
            return b""
        origin = x.headers.get(b"origin")
        return self._cors.answer_headers(origin) if origin is not None else b""

    def _close(self, x: Exchange) -> None:
        """Settle and record, whatever happened."""
        if not x.finished_s:
            x.finished_s = self._ports.now()
        try:
            settle(x, self._ports)
        except Exception as error:  # noqa: BLE001 - a filter that breaks its promise must not lose the record
            self._report_fault(x.id, error)
        self._recorder.record(x)
