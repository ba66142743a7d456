"""Who makes an administrative change; every change says so, and the audit log keeps it."""

from __future__ import annotations

from msgspec import Struct


class Actor(Struct, frozen=True):
    """Somebody or something that changes what is administered."""

    name: str
    """The admin key's name and id, the user of the command line (`alice@host`), or `gateway` for the gateway itself."""
    role: str
    """`viewer`, `operator` or `admin`. Whether the role suffices is decided before a service is called, unless it
    depends on what is there (`refusals.Forbidden`)."""
    origin: str
    """From where: `api 192.0.2.7`, `cli`."""
