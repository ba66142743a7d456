"""One client request with its response, from first byte to settled bill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from gatewright.core.errors import GatewayError
    from gatewright.core.surface import Dialect, Fields, Surface
    from gatewright.core.usage import Usage


class Consumer(Struct, frozen=True):
    """Who is charged and limited."""

    path: str
    """`organisation/team/application`; `anonymous` for callers without a key where those are allowed."""


ANONYMOUS = Consumer("anonymous")


class Reply(Struct, frozen=True):
    """A complete answer made by the gateway itself (a cache hit, a model list); not an error."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Exchange:
    """The state of one exchange. Phases fill it in; filters read it; the recorder settles it exactly once.

    Times are seconds of the worker's monotonic clock, 0.0 until they happen.
    """

    __slots__ = (
        "attempts",
        "body",
        "bytes_in",
        "bytes_out",
        "chain",
        "consumer",
        "dialect",
        "error",
        "fields",
        "finished_s",
        "first_byte_s",
        "headers",
        "id",
        "model",
        "notes",
        "published_model",
        "requested_model",
        "sent_s",
        "snapshot",
        "started_s",
        "status",
        "stream",
        "surface",
        "target",
        "upstream_s",
        "usage",
    )

    def __init__(self, exchange_id: str, snapshot: Any, headers: dict[bytes, bytes], body: bytes, now: float) -> None:
        self.id = exchange_id
        self.snapshot = snapshot
        """The compiled configuration this exchange runs under, start to end."""
        self.headers = headers
        self.body = body
        self.surface: Surface | None = None
        self.dialect: Dialect | None = None
        self.consumer: Consumer = ANONYMOUS
        self.fields: Fields = {}
        self.stream = False
        self.requested_model = ""
        """What the client called; may be any text."""
        self.published_model = ""
        """The published name or pattern it matched; safe as a metric label."""
        self.model: Any = None
        self.target: Any = None
        self.chain: Any = None
        """The filters that apply, once consumer and model are known."""
        self.attempts = 0
        self.usage: Usage | None = None
        self.status = 0
        self.error: GatewayError | None = None
        self.notes: dict[object, Any] = {}
        """What filters leave for their own later phases, keyed by the filter."""
        self.bytes_in = len(body)
        self.bytes_out = 0
        self.started_s = now
        self.sent_s = 0.0
        """When the (last) upstream request was written."""
        self.upstream_s = 0.0
        """Time spent waiting for upstreams until the first byte, all attempts together."""
        self.first_byte_s = 0.0
        self.finished_s = 0.0
