"""What the gateway answers by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(init=False)
class Reply:
    """A complete answer made by the gateway itself (a cache hit, a model list); not an error. Never changed."""

    status: int
    body: bytes
    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...]

    # By hand, so that it is compiled.
    def __init__(
        self,
        status: int,
        body: bytes,
        content_type: bytes = b"application/json",
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        self.headers = headers
