"""How often an address may show a wrong admin key.

Keys cannot be guessed; but neither the database nor the log need hear of every try.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final

MAX_FAILURES: Final = 10
"""Wrong keys per address and window."""
WINDOW_S: Final = 60.0
MAX_ADDRESSES: Final = 10_000
"""Addresses remembered; beyond it the oldest is forgotten."""
_IPV6_PREFIX: Final = 64
"""What one subscriber has; counting single addresses would not count anybody."""


class Failures:
    """Counts failures per address in a fixed window; `now` gives monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def wait_s(self, address: str) -> float:
        """How long this address must wait before it may try again; 0 when it may now."""
        since, count = self._counts.get(_group_of(address), (0.0, 0))
        return max(0.0, since + WINDOW_S - self._now()) if count >= MAX_FAILURES else 0.0

    def add(self, address: str) -> None:
        """Count one wrong key."""
        group, now = _group_of(address), self._now()
        since, count = self._counts.pop(group, (now, 0))
        self._counts[group] = (since, count + 1) if now - since < WINDOW_S else (now, 1)
        if len(self._counts) > MAX_ADDRESSES:
            self._counts.popitem(last=False)


def _group_of(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> (128 - _IPV6_PREFIX):x}/{_IPV6_PREFIX}"
