"""Where the numbers of limits and budgets are kept: a document of the configuration."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl, urlsplit

from msgspec import Meta, Struct

from gatewright.core.secret import Secret

_SCHEMES: Final = ("redis://", "rediss://", "unix://")
_OPTIONS: Final = frozenset(("db", "username", "password"))
"""What may stand behind a `?`, as the client library has it for sockets. Others would replace this gateway's own."""
Share = Annotated[float, Meta(gt=0, le=1)]


class Counters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What counts for all limits and budgets: this machine alone, or a Redis or Valkey server for many."""

    store: Literal["local", "redis"] = "local"
    """`local` counts in memory that all workers of this machine share. `redis` counts in one Redis or Valkey server
    for all machines that name the same `url` and `prefix`; needs the extra `gatewright[redis]`."""
    url: Secret | None = None
    """`redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://…` with TLS, or `unix://PATH`, usually as a reference:
    `${env:REDIS_URL}`. One server or the primary of a replicated one; a cluster is refused."""
    prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")] = "gatewright"
    """Begins the name of every key on the server. Gateways with the same prefix share their limits and budgets."""
    on_outage: Literal["local", "open", "closed"] = "local"
    """What holds while the server does not answer. `local`: each worker's machine counts for itself, up to `share` of
    every limit. `open`: everything passes, and is counted later. `closed`: what has a limit is answered with 503."""
    share: Share = 0.5
    """The part of every limit and budget that one machine may use by itself during outages (`on_outage: local`). With
    n machines, at most n × share of a limit is passed beyond it."""
    lease: Annotated[float, Meta(ge=0, le=0.5)] = 0.0
    """The part of a limit that one worker may hold in advance, so that most requests need no round trip to the server.
    0 asks the server for every request. No limit is ever passed by it; see the how-to for what it costs."""
    timeout_ms: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """A server that takes longer to answer counts as away, until it answers again."""
    ca: str | None = None
    """Path of a PEM bundle to trust instead of the system's, for `rediss://`."""


def find_faults(counters: Counters) -> list[tuple[str, str]]:
    """What the types cannot say: `(field, message)` of each fault, in words for the operator; never the URL itself."""
    url = "" if counters.url is None else counters.url.reveal()
    faults = []
    if counters.store == "redis" and counters.url is None:
        faults.append(("url", "counting in Redis needs its address, such as redis://counters.internal:6379/0"))
    if counters.store == "local" and counters.url is not None:
        faults.append(("store", "an address is given, but `store: redis` is not"))
    # A reference that is not resolved yet is an empty secret: nothing can be said of it.
    message = _find_url_fault(url) if url else None
    if message is not None:
        faults.append(("url", message))
    if counters.ca is not None and url and not url.startswith("rediss://"):
        faults.append(("ca", "an authority is for TLS: the address would begin with rediss://"))
    return faults


def _find_url_fault(url: str) -> str | None:
    if not url.startswith(_SCHEMES):
        return "the address begins with redis://, rediss:// (TLS) or unix://"
    unreadable = (
        "host and port cannot be read; write redis://:PASSWORD@HOST:PORT/DB, with odd characters of the password "
        "escaped as in any URL: / as %2F, # as %23, ? as %3F, @ as %40"
    )
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return unreadable  # never what was wrong: it may be a piece of the password
    if parts.scheme == "unix":
        return None if _are_known(options) else "behind `?` only db, username and password may stand"
    if not has_port or parts.fragment or "@" in parts.path + parts.query:
        return unreadable
    if "," in parts.netloc.rpartition("@")[2]:
        return "name one server: the primary, not a list of nodes"
    if parts.path.strip("/") and not parts.path.strip("/").isdecimal():
        return "behind the host only the number of a database may stand, as in redis://HOST/0"
    return None if _are_known(options) else "behind `?` only db, username and password may stand"


def _are_known(options: list[tuple[str, str]]) -> bool:
    return all(name in _OPTIONS and (name != "db" or value.isdecimal()) for name, value in options)
