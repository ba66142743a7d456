"""Where the events of a streamed answer end, for each way of framing them: SSE, lines of JSON, AWS event streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from gatewright.core.errors import GatewayError, Kind
from gatewright.wire.aws_event_stream import MessageBuffer, split_messages
from gatewright.wire.sse import EventBuffer, event_data, split_events

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""The largest event held back while its end has not come; a base64 image in one event fits."""


class Framing(Protocol):
    """Cuts one stream into blocks of whole events."""

    def feed(self, data: bytes) -> bytes:
        """The whole events that `data` completed, as one block. Raises GatewayError on one without end."""
        ...

    def split(self, block: bytes) -> list[bytes]:
        """The events of a block; joined they are the block."""
        ...

    def data(self, event: bytes) -> bytes:
        """The JSON an event carries; empty when it has none or it is not readable."""
        ...

    def replace(self, event: bytes, data: bytes, new: bytes) -> bytes:
        """The event with other JSON in it."""
        ...


class ServerSentEvents:
    """`text/event-stream` (WHATWG HTML §9.2)."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = EventBuffer(MAX_EVENT_BYTES)

    def feed(self, data: bytes) -> bytes:
        try:
            return self._buffer.feed(data)
        except ValueError as error:
            raise unusable(error) from None

    def split(self, block: bytes) -> list[bytes]:
        return split_events(block)

    def data(self, event: bytes) -> bytes:
        return event_data(event)

    def replace(self, event: bytes, data: bytes, new: bytes) -> bytes:
        if data in event:
            return event.replace(data, new, 1)
        rest = [line + b"\n" for line in event.splitlines() if line and not line.startswith(b"data:")]
        return b"".join((*rest, *(b"data: " + line + b"\n" for line in new.split(b"\n")), b"\n"))


class JsonLines:
    """`application/x-ndjson`: one JSON value per line."""

    __slots__ = ("_held", "_held_bytes")

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0

    def feed(self, data: bytes) -> bytes:
        end = data.rfind(b"\n") + 1
        if not end:
            self._hold(data)
            return b""
        block = b"".join((*self._held, data[:end]))
        self._held, self._held_bytes = [], 0
        if end < len(data):
            self._hold(data[end:])
        return block

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > MAX_EVENT_BYTES:
            raise unusable(ValueError(f"a line exceeds {MAX_EVENT_BYTES} bytes"))
        self._held.append(piece)

    def split(self, block: bytes) -> list[bytes]:
        return block.splitlines(keepends=True)

    def data(self, event: bytes) -> bytes:
        return event.strip()

    def replace(self, event: bytes, data: bytes, new: bytes) -> bytes:
        return event.replace(data, new, 1)


class AwsEventStream:
    """`application/vnd.amazon.eventstream`: binary messages, that name no model and so are never rewritten."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = MessageBuffer(MAX_EVENT_BYTES)

    def feed(self, data: bytes) -> bytes:
        try:
            return self._buffer.feed(data)
        except ValueError as error:
            raise unusable(error) from None

    def split(self, block: bytes) -> list[bytes]:
        return split_messages(block)

    def data(self, event: bytes) -> bytes:
        return b""

    def replace(self, event: bytes, data: bytes, new: bytes) -> bytes:
        return event


_FRAMINGS: Final[Mapping[bytes, type[ServerSentEvents] | type[JsonLines] | type[AwsEventStream]]] = {
    b"text/event-stream": ServerSentEvents,
    b"application/x-ndjson": JsonLines,
    b"application/vnd.amazon.eventstream": AwsEventStream,
}


def framing_of(stream_type: bytes) -> Framing:
    """A new splitter for one stream of this content type."""
    return _FRAMINGS[stream_type]()


def unusable(error: ValueError) -> GatewayError:
    """The error for a stream no event of which can be read."""
    return GatewayError(Kind.UPSTREAM_BAD_RESPONSE, f"The provider's stream is not usable: {error}.")
