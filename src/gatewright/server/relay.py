"""The way of a streamed answer: upstream bytes through codec and filters to the client, without a task switch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.net.downstream import Connection
from gatewright.pipeline.attempts import OpenStream
from gatewright.pipeline.missing_usage import look_at
from gatewright.pipeline.reserving import StreamMeter


class Relay:
    """The sink of one upstream stream. Await `done`: None when the answer was complete, else the error.

    The head is held until the first event, so that an answer which fails at once is still an honest HTTP error.
    """

    __slots__ = (
        "_codec",
        "_connection",
        "_head",
        "_is_plain",
        "_meter",
        "_now",
        "_on_events",
        "_since_s",
        "_stream",
        "_x",
        "begun",
        "done",
    )

    def __init__(
        self,
        connection: Connection,
        x: Exchange,
        stream: OpenStream,
        head: bytes,
        done: asyncio.Future[GatewayError | None],
        now: Callable[[], float],
        meter: StreamMeter | None = None,
    ) -> None:
        self._meter = meter
        self._now = now
        self._since_s = now()
        self._connection = connection
        self._x = x
        self._stream = stream
        self._head = head
        self._on_events = stream.chain.on_events
        self._codec = stream.codec
        self._is_plain = False
        """Whether a block may go straight to the client: the head is sent, and no filter wants to see it."""
        self.begun = False
        self.done = done

    def on_data(self, data: bytes) -> None:
        """Forward what `data` completes."""
        try:
            codec = self._codec
            block = codec.feed(data)
            if block and (self.begun or codec.error is None):
                if self._is_plain:
                    x = self._x
                    x.bytes_out += len(block)
                    is_read = x.bytes_out >= x.text_due
                    if is_read:
                        look_at(x, block)
                    self._connection.write_piece(block)
                    meter = self._meter
                    if meter is not None and (is_read or x.bytes_out >= meter.due_bytes):
                        self._count(meter)
                else:
                    self._send(block)
            if codec.error is not None:
                self._stop(codec.error)
        except GatewayError as error:
            self._stop(error)
        except Exception as error:  # noqa: BLE001 - the border of filters that run per chunk: a fault ends one stream
            self._stop(GatewayError(Kind.INTERNAL, "A filter failed.", cause=error))

    def on_end(self) -> None:
        """The upstream's answer ended: well or not, as the codec knows."""
        if self.done.done():
            return
        codec = self._codec
        error: GatewayError | None
        try:
            closing = codec.end()
            if closing:
                self._send(closing)
            error = codec.error
        except GatewayError as refused:
            error = refused
        except Exception as fault:  # noqa: BLE001 - as above: whatever a filter does, the exchange must end
            error = GatewayError(Kind.INTERNAL, "A filter failed.", cause=fault)
        self.done.set_result(error)

    def on_failure(self, error: GatewayError) -> None:
        """The upstream's answer broke off."""
        if not self.done.done():
            # A stream whose closing event has passed is complete, however its connection ended.
            self.done.set_result(None if self._codec.done else error)

    def _send(self, block: bytes) -> None:
        x = self._x
        if self._on_events:
            events = self._codec.split(block)
            for hook in self._on_events:
                events = hook(x, events)
            block = b"".join(events)
            if not block:
                return
        if not self.begun:
            self.begun = True
            self._is_plain = not self._on_events
            x.first_byte_s = self._now()
            # Between the head of an answer and its first event it is the model that takes its time.
            x.upstream_s += x.first_byte_s - self._since_s
            x.status = 200
            self._connection.begin_stream(self._head, self._stream.source)
        x.bytes_out += len(block)
        if x.bytes_out >= x.text_due:
            look_at(x, block)
        self._connection.write_piece(block)
        if self._meter is not None:
            self._count(self._meter)

    def _count(self, meter: StreamMeter) -> None:
        # An answer that is complete is the client's, whatever it cost.
        if not self._codec.done and (dry := meter.on_block()) is not None:
            self._stop(dry)

    def _stop(self, error: GatewayError) -> None:
        if not self.done.done():
            self._stream.source.abort()
            self.done.set_result(error)
