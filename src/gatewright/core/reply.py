"""What the gateway answers by itself."""

from __future__ import annotations

from msgspec import Struct


class Reply(Struct, frozen=True):
    """A complete answer made by the gateway itself (a cache hit, a model list); not an error."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()
