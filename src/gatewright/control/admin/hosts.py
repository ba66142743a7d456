"""Which Host headers the admin listener answers to.

A web page can have its own name resolve to the gateway's address and then talk to it as to itself (DNS rebinding); the
browser sends that name as Host. An address in numbers cannot be rebound, so those are accepted, as are the names of the
loopback and those that are configured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

LOOPBACK: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})
_FORM: Final = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


class AllowedHosts:
    """The names that are accepted besides numbers and the loopback's."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = LOOPBACK | {name.lower().rstrip(".") for name in names}

    def is_allowed(self, host: str) -> bool:
        """Whether a Host header may be answered; the port does not matter."""
        form = _FORM.fullmatch(host)
        if form is None:
            return False
        if form["six"] is not None:
            return _is_six(form["six"])
        name = form["name"].lower().rstrip(".")
        return name in self._names or name.endswith(".localhost") or _is_four(name)


def _is_six(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _is_four(text: str) -> bool:
    # Four decimal numbers only: browsers read 0x7f.1 as an address as well, but nobody writes that.
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True
