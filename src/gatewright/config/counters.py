"""Where the numbers of limits and budgets are kept: a document of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from gatewright.core.secret import Secret

_SCHEMES: Final = ("redis://", "rediss://", "unix://")
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
    if url and not url.startswith(_SCHEMES):
        faults.append(("url", "the address begins with redis://, rediss:// (TLS) or unix://"))
    elif re.match(r"rediss?://[^/]*,", url):
        faults.append(("url", "name one server: the primary, not a list of nodes"))
    if counters.ca is not None and url and not url.startswith("rediss://"):
        faults.append(("ca", "an authority is for TLS: the address would begin with rediss://"))
    return faults
