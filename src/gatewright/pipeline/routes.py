"""How a client's dialect is served at a target: in its own if the provider speaks that, else by way of the hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from gatewright.core.surface import Dialect
from gatewright.dialects import DIALECTS
from gatewright.pipeline.provider import Upstream

_CHOICE: Final = re.compile(r"\{([^{}|]*)\|([^{}|]*)\}")
_MODEL: Final = "{model}"


@dataclass(frozen=True)
class UpstreamRoute:
    """Where and in which dialect requests of one client dialect go."""

    dialect: Dialect
    """Spoken to the upstream."""
    is_identity: bool
    """Whether that is the client's own."""
    plain: bytes
    """Request line, host, authorisation and fixed headers of a plain call, up to the value of Content-Length."""
    streamed: bytes
    """The same of a streamed call."""
    is_template: bool
    """Whether `{model}` stands in them, because the target passes the client's model name through."""

    def __repr__(self) -> str:
        # The heads hold the credential in plain text.
        return f"UpstreamRoute(dialect={self.dialect.name!r}, is_identity={self.is_identity})"

    def head(self, model: str, *, stream: bool) -> bytes:
        """The head for one request."""
        head = self.streamed if stream else self.plain
        return head.replace(b"{model}", quote(model, safe="").encode(), 1) if self.is_template else head


def build_routes(upstream: Upstream, model: str | None) -> Mapping[str, UpstreamRoute]:
    """The routes of every dialect that can be served by `upstream`; `model` is its own name, None passes through."""
    # Requests of surfaces that are passed through have heads of their own (`pipeline.passing`).
    dialects = [dialect for dialect in DIALECTS if dialect.family != "passing"]
    spoken = {dialect.name: dialect for dialect in dialects if dialect.name in upstream.paths}
    routes: dict[str, UpstreamRoute] = {}
    heads = {name: _render_heads(upstream, upstream.paths[name], model) for name in spoken}
    for dialect in dialects:
        target = spoken.get(dialect.name) or _nearest(dialect, upstream, spoken)
        if target is not None:
            plain, streamed, is_template = heads[target.name]
            routes[dialect.name] = UpstreamRoute(target, target is dialect, plain, streamed, is_template)
    return routes


def _nearest(dialect: Dialect, upstream: Upstream, spoken: Mapping[str, Dialect]) -> Dialect | None:
    """The first dialect the provider speaks that `dialect` can be translated to."""
    if not _has_codec(dialect):
        return None
    for name in upstream.paths:
        other = spoken.get(name)
        if other is not None and other.family == dialect.family and _has_codec(other):
            return other
    return None


def _has_codec(dialect: Dialect) -> bool:
    return dialect.chat is not None or dialect.embeddings is not None or dialect.count is not None


def _render_heads(upstream: Upstream, path: str, model: str | None) -> tuple[bytes, bytes, bool]:
    is_template = _MODEL in path and model is None
    if model is not None:
        path = path.replace(_MODEL, quote(model, safe=""))
    plain = _CHOICE.sub(lambda found: found.group(1), path)
    streamed = _CHOICE.sub(lambda found: found.group(2), path)
    lines = b"POST %b HTTP/1.1\r\n%bcontent-length: "
    head = lines % (plain.encode(), upstream.head)
    return head, head if streamed == plain else lines % (streamed.encode(), upstream.head), is_template
