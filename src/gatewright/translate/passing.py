"""Streams passed through in any dialect: bytes go on as they came, and the dialect's own decoder reads beside them.

`translate.identity` reads OpenAI's chunks by pattern, which is cheaper; this serves every other dialect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gatewright.core.codec import StreamDecoder
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Event, Failure, Finish, UsageReport
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.translate.framing import Framing, framing_of
from gatewright.translate.renaming import rename


class PassedStream:
    """The codec of one streamed answer that stays in its dialect (see `translate.identity.IdentityStream`)."""

    __slots__ = (
        "_decoder",
        "_dialect",
        "_framing",
        "_is_watched",
        "_marks",
        "_published",
        "done",
        "error",
        "finished",
        "usage",
    )

    def __init__(self, dialect: Dialect, published: bytes | None) -> None:
        reader = dialect.reader if dialect.chat is None else dialect.chat.stream_decoder
        if reader is None:
            raise TypeError(f"{dialect.name} has no streams")
        self._dialect = dialect
        self._decoder: StreamDecoder = reader()
        self._published = published
        self._framing: Framing = framing_of(dialect.stream_type)
        self._marks: Final = [b'"%b"' % path[-1].encode() for path in dialect.model_paths]
        self._is_watched = True
        self.usage: Usage | None = None
        self.finished = False
        self.done = False
        self.error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes as they come; give the events that may go on. Raises GatewayError on an event without end."""
        if self.error is not None:
            return b""
        block = self._framing.feed(data)
        if not block:
            return b""
        error = self._watch(block)
        if error is not None:
            error.body = block  # the upstream's own words, in the client's dialect
            return block
        if self._published is not None and any(mark in block for mark in self._marks):
            return b"".join([self._rename(event) for event in self._framing.split(block)])
        return block

    def end(self) -> bytes:
        """The upstream's body is complete. Sets `error` when the answer is not."""
        if self.error is not None or self.done:
            return b""
        if not self._is_watched or self._read(self._decoder.end()) is None:
            self.done = True
        return b""

    def split(self, block: bytes) -> list[bytes]:
        """The events of a block that `feed` gave."""
        return self._framing.split(block)

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """What tells the client, after the answer has begun, that it failed."""
        return self._dialect.render_stream_error(error, request_id)

    def _watch(self, block: bytes) -> GatewayError | None:
        if not self._is_watched:
            return None
        try:
            events = self._decoder.feed(block)
        except GatewayError:
            # Not ours to judge: the client's own parser decides. Without the decoder there is no usage any more.
            self._is_watched = False
            return None
        return self._read(events)

    def _read(self, events: Sequence[Event]) -> GatewayError | None:
        for event in events:
            if isinstance(event, UsageReport):
                self.usage = event.usage
            elif isinstance(event, Finish):
                self.finished = True
            elif isinstance(event, Failure):
                self.error = failed(event)
        return self.error

    def _rename(self, event: bytes) -> bytes:
        data = self._framing.data(event)
        if not data or self._published is None:
            return event
        renamed = rename(data, self._dialect.model_paths, self._published)
        if renamed is data or renamed == data:
            return event
        return self._framing.replace(event, data, renamed)


class OpaqueStream:
    """The codec of a body that comes piece by piece and is no stream of events: a large file of JSON lines."""

    __slots__ = ("_dialect", "done", "error", "finished", "usage")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self.usage: Usage | None = None
        self.finished = False
        self.done = False
        self.error: GatewayError | None = None

    def feed(self, data: bytes) -> bytes:
        """Every piece goes on as it comes."""
        return data

    def end(self) -> bytes:
        """The upstream's body is complete."""
        self.finished = self.done = True
        return b""

    def split(self, block: bytes) -> list[bytes]:
        """A piece is as whole as any other."""
        return [block]

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """A last line that tells of the failure."""
        return b"\n" + self._dialect.render_error(error, request_id) + b"\n"


def failed(failure: Failure) -> GatewayError:
    """The error for a failure told inside a stream."""
    message = failure.message
    if failure.kind is not Kind.UPSTREAM_CUT or not message.startswith("The provider"):
        message = f"The provider failed in the middle of its answer: {message}"
    return GatewayError(failure.kind, message, code=failure.code)
