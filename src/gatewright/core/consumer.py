"""Who makes an exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class Scopes(Struct, frozen=True, omit_defaults=True):
    """What a key or a credential is narrowed to; an empty tuple does not narrow."""

    models: tuple[str, ...] = ()
    """Published model names, or patterns with a trailing `*`."""
    surfaces: tuple[str, ...] = ()
    """Names of surfaces (`chat_completions`)."""
    networks: tuple[str, ...] = ()
    """Client addresses, as CIDR ranges."""


class Consumer(Struct, frozen=True):
    """Who is charged and limited, and by what credential it was recognised."""

    path: str
    """`organisation/team/application`; `anonymous` for callers without a key where those are allowed."""
    key_id: str = ""
    """Which key, or `jwt:<issuer>`, `certificate`; empty for keys of the configuration. A gateway token has that of
    what it was given for."""
    issuer: str = ""
    """The configured name of the identity provider that vouches for it; empty for keys."""
    scopes: Scopes | None = None
    """None for a credential that is not narrowed."""
    claims: Mapping[str, Any] = {}
    """What a JWT or an introspection says, for conditions."""
    expires_at: float = float("inf")
    """Unix seconds until which the credential holds."""


ANONYMOUS = Consumer("anonymous")
