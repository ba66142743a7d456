"""Client-facing paths and the wire API spoken on them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from gatewright.core.errors import GatewayError
from gatewright.core.usage import Usage

Fields = dict[str, msgspec.Raw]
"""One level of a JSON object: every value keeps the bytes it was spelled with."""


class Surface(Struct, frozen=True):
    """One client-facing API path."""

    name: str
    """How it is called in logs and metrics (`chat_completions`)."""
    method: bytes
    path: bytes
    dialect: str
    """Name of the dialect spoken on it."""


class UpstreamFault(Struct, frozen=True):
    """What an upstream's error answer says, in the gateway's terms."""

    message: str
    code: str | None = None
    billing: bool = False
    """True for a 429 that no waiting will mend: the account's money or quota is gone."""


class Dialect(Struct, frozen=True, kw_only=True):
    """One wire API, spoken to clients and to upstreams. All members are pure."""

    name: str
    surfaces: tuple[Surface, ...]
    summary: str
    render_error: Callable[[GatewayError, str], bytes]
    """`(error, request id)` → the JSON body of an error answer."""
    render_stream_error: Callable[[GatewayError, str], bytes]
    """`(error, request id)` → the event that ends a stream that had begun well."""
    read_fault: Callable[[bytes], UpstreamFault]
    """Body of an upstream answer with status ≥ 400 → what it says; never raises, whatever the body is."""
    read_answer: Callable[[bytes], tuple[msgspec.Raw | None, Usage | None]]
    """A complete answer → its `model` member as spelled, and its usage. Raises msgspec.DecodeError when it is not a
    JSON object; members that make no sense count as absent."""
    read_usage: Callable[[msgspec.Raw], Usage | None]
    """The `usage` member → normal form; None when it is null or not an object."""
    ask_usage: Callable[[Fields], bool]
    """Change a streaming request so that the upstream reports usage; true when the client had not asked for it."""
    is_error_event: Callable[[Fields], bool]
    """Whether this event of a stream is a failure of the upstream."""
    is_usage_only: Callable[[Fields], bool]
    """Whether this event of a stream exists only because usage was asked for."""
    has_finish: Callable[[bytes], bool]
    """Whether this event marks the end of the answer (a finish reason)."""
    done_event: bytes
    """The event that closes a stream, without its blank line; empty when the dialect has none."""
    forwarded_headers: frozenset[bytes] = frozenset()
    """Request headers of the client that belong to this API and are passed to the upstream."""
