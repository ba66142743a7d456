"""What a client's bytes become: a complete request, or what is known of one that cannot be served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gatewright.core.errors import Kind


@dataclass(init=False)
class Request:
    """One complete request."""

    method: bytes
    path: bytes
    """The target up to `?`, as sent (percent-encoding untouched)."""
    query: bytes
    headers: dict[bytes, bytes]
    """Lower-case names; repeated fields are joined with `, `."""
    body: bytes
    keep_alive: bool
    """Whether the connection stays usable after this message, by the client's wish and HTTP version."""
    is_http10: bool
    """Whether the client is of HTTP/1.0 and so cannot read a chunked answer."""
    head: Any
    """Equal (by identity) for requests of one connection whose heads were the same but for their Content-Length; None
    when that is not known. What depends on the head alone, such as who the caller is, need not be found out again."""

    # By hand, so that it is compiled.
    def __init__(
        self,
        method: bytes,
        path: bytes,
        query: bytes,
        headers: dict[bytes, bytes],
        body: bytes,
        keep_alive: bool,
        is_http10: bool,
        head: object = None,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.keep_alive = keep_alive
        self.is_http10 = is_http10
        self.head = head


@dataclass
class Malformed:
    """A request that cannot be served, with what little is known of it; the connection must be closed after it."""

    kind: Kind
    message: str
    method: bytes
    path: bytes
    headers: dict[bytes, bytes]
