"""HOST:PORT, as it is written in a document or on the command line."""

from __future__ import annotations

import ipaddress
import re

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_FORM = "write HOST:PORT, such as 127.0.0.1:8080, [::1]:8080 or 0.0.0.0:8080 for every network interface"


def parse_address(text: str) -> tuple[str, int]:
    """Host and port; an IPv6 host loses its brackets. Port 0 means any free port.

    Raises ValueError with the words for the operator.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port:
        raise ValueError(_FORM)
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65_535:
        raise ValueError(f"the port must be a number from 0 to 65535; {_FORM}")
    if host.startswith("[") or ":" in host:
        return _parse_ipv6(host), int(port)
    if not _HOST.fullmatch(host) or (re.fullmatch(r"[0-9.]+", host) and not _is_ip(host)):
        raise ValueError(f"the host is neither an address nor a name; {_FORM}")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there."""
    return host == "localhost" or (_is_ip(host) and ipaddress.ip_address(host).is_loopback)


def is_wildcard(host: str) -> bool:
    """Whether it means every network interface."""
    return _is_ip(host) and ipaddress.ip_address(host).is_unspecified


def _parse_ipv6(host: str) -> str:
    if not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"an IPv6 address stands in brackets; {_FORM}")
    if not _is_ip(host[1:-1]) or ":" not in host:
        raise ValueError(f"no IPv6 address stands between the brackets; {_FORM}")
    return host[1:-1]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
