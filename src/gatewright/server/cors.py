"""Cross-origin calls from browser pages (Fetch standard, CORS protocol), as the configuration allows them."""

from __future__ import annotations

from typing import Final

from gatewright.config.documents import Cors
from gatewright.wire.http1 import Request

_EXPOSED: Final = b"x-request-id, server-timing, retry-after, retry-after-ms"


class CorsPolicy:
    """A configured `cors` section, as header lines."""

    def __init__(self, config: Cors) -> None:
        self._any = "*" in config.origins
        self._origins = frozenset(origin.encode() for origin in config.origins)
        self._max_age_s = config.max_age_s

    def answer_headers(self, origin: bytes) -> bytes:
        """Lines for any answer to a page of this origin; empty when it is not allowed."""
        if not self._any and origin not in self._origins:
            return b""
        return b"access-control-allow-origin: %b\r\naccess-control-expose-headers: %b\r\nvary: origin\r\n" % (
            origin,
            _EXPOSED,
        )

    def preflight_headers(self, request: Request) -> bytes | None:
        """Lines for the answer to a preflight; None when the request is not one or its origin is not allowed."""
        headers = request.headers
        origin = headers.get(b"origin")
        method = headers.get(b"access-control-request-method")
        if origin is None or method not in (b"GET", b"POST"):
            return None
        allowed = self.answer_headers(origin)
        if not allowed:
            return None
        wanted = headers.get(b"access-control-request-headers", b"authorization, content-type")
        return (
            allowed + b"access-control-allow-methods: GET, POST\r\n"
            b"access-control-allow-headers: %b\r\naccess-control-max-age: %d\r\n"
            % (
                wanted,
                self._max_age_s,
            )
        )
