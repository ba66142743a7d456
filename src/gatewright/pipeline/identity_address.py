"""Addresses of identity providers: which may be asked, and how they are reached."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from gatewright.config.address import is_loopback
from gatewright.config.documents import ProviderConfig, UpstreamTimeouts, UpstreamTls
from gatewright.core.secret import Secret
from gatewright.pipeline.provider import Upstream, build_upstream

TARGET: Final = "identity"
"""Under this name an upstream that `build_target` gives has its request target."""
_TIMEOUTS: Final = UpstreamTimeouts(connect_s=3.0, first_byte_s=5.0, idle_s=5.0)
_CONNECTIONS: Final = 16


class Way(Struct, frozen=True):
    """How a host is reached."""

    allow_http: bool = False
    ca: str | None = None
    proxy: str | None = None


def build_target(url: str, way: Way, authorization: Secret | None = None) -> Upstream:
    """How to reach one address. Raises ValueError when it is not one to send anything to."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not way.allow_http and not is_loopback(parts.hostname or ""):
        raise ValueError("it is not https, which only an address on this machine or `allow_http` permits")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.fragment or not target.isascii() or not target.isprintable() or " " in target:
        raise ValueError("it holds a fragment, space, control or non-ASCII character")
    if "@" in parts.netloc:
        raise ValueError("it holds a user or a password, which addresses may not")
    config = ProviderConfig(
        type=TARGET,
        tls=UpstreamTls(ca=way.ca),
        proxy=way.proxy,
        timeouts=_TIMEOUTS,
        max_connections=_CONNECTIONS,
    )
    return build_upstream(
        TARGET,
        config,
        url=f"{parts.scheme}://{parts.netloc}",
        paths={TARGET: target},
        credential=None if authorization is None else ("authorization", authorization),
    )
