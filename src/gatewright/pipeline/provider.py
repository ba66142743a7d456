"""What a provider type must give: how its configuration looks, and the compiled upstream it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from gatewright.config.documents import ProviderConfig, UpstreamTimeouts, UpstreamTls

C = TypeVar("C", bound=ProviderConfig)


class Origin(Struct, frozen=True):
    """Where connections go; two providers with equal origins share a pool."""

    tls: bool
    host: str
    port: int
    proxy: str | None = None
    """`host:port` of an HTTP CONNECT proxy."""
    verify: UpstreamTls = UpstreamTls()
    max_connections: int = 1024
    connect_s: float = 5.0


class Upstream(Struct, frozen=True, kw_only=True):
    """A compiled provider: all that an attempt needs, ready to be written to the wire."""

    name: str
    type: str
    origin: Origin
    paths: Mapping[str, str]
    """Dialect name → request target (`/v1/chat/completions`); a dialect that is absent is not spoken there."""
    pool_key: str = ""
    """Equal for upstreams whose connections are interchangeable; made from `origin`."""
    head: bytes
    """Host, authorisation and fixed headers, each line with its CRLF; the same for every request."""
    timeouts: UpstreamTimeouts

    def __post_init__(self) -> None:
        # A string hashes once; an Origin would be hashed field by field for every request.
        msgspec.structs.force_setattr(self, "pool_key", repr(self.origin))


class ProviderType(Struct, Generic[C], frozen=True):
    """One row of the provider registry."""

    name: str
    config: type[C]
    build: Callable[[str, C], Upstream]
    """`build(name, config)`: raises `ValueError` with a message for the operator when the configuration cannot work."""
    summary: str
    """One sentence for the reference page."""
    environment: str | None = None
    """The environment variable whose presence makes this a provider when there is no configuration file."""
    default_models: tuple[str, ...] = ()
    """Patterns published for it then."""
