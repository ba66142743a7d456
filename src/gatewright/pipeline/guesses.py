"""How often somebody may be wrong about a client's secret, or show a token that does not hold, and be told why.

A pure count: times are given. Keys cannot be guessed, and looking one up costs no more than a call with it does; what
is limited is what somebody learns who goes on being wrong, so that clients wait instead of trying at once. Clients
behind one proxy share an address, and anybody may be wrong there on purpose: who is right must never be refused by this
count, and few mistakes are free for a pair of address and client, many for an address.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Final

PER_CLIENT: Final = 10
"""Mistakes in a window, from one address about one client."""
PER_ADDRESS: Final = 100
WINDOW_S: Final = 60.0
MAX_KEPT: Final = 10_000
_PREFIX_BITS: Final = 64
"""An IPv6 customer has at least so large a network of addresses."""


class Guesses:
    """Counts mistakes in fixed windows. Times are seconds of any clock."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[float, int]] = {}
        """Key → when its window ends, and the mistakes in it; the oldest first."""

    def wait_s(self, address: str, client: str, now: float) -> float:
        """For how long nobody is told any more what is wrong with this client from there; 0 when they are.

        Where no client is named, only what all of the address were wrong about counts.
        """
        place = _network_of(address)
        wait_s = self._wait((place, ""), PER_ADDRESS, now)
        return max(self._wait((place, client), PER_CLIENT, now), wait_s) if client else wait_s

    def add(self, address: str, client: str, now: float) -> None:
        """Somebody was wrong."""
        place = _network_of(address)
        for key in {(place, client), (place, "")}:
            until, count = self._counts.get(key, (0.0, 0))
            if now >= until:
                self._counts.pop(key, None)
                until, count = now + WINDOW_S, 0
            if len(self._counts) >= MAX_KEPT:
                del self._counts[next(iter(self._counts))]
            self._counts[key] = until, count + 1

    def _wait(self, key: tuple[str, str], most: int, now: float) -> float:
        until, count = self._counts.get(key, (0.0, 0))
        return until - now if count >= most and now < until else 0.0


def _network_of(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> _PREFIX_BITS << _PREFIX_BITS))
    return address
