"""Listening sockets: bound once by the supervisor, inherited by the processes that accept on them.

A socket outlives every process that used it, so connections that arrive while a worker is replaced wait in its queue
instead of being refused. With several workers each slot has a socket of its own (SO_REUSEPORT) and the kernel spreads
connections over them; a shared one would give most of them to whichever worker wakes first.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

from gatewright.config.address import parse_address

BACKLOG: Final = 4096
"""Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn."""


class AddressUnavailable(Exception):
    """An address that cannot be listened on; the message says why and what to do, in one line."""


def bind_listeners(address: str, count: int) -> list[socket.socket]:
    """`count` listening sockets on one HOST:PORT, non-blocking.

    A host name is resolved once; of several addresses an IPv4 one is taken. With port 0 all get the same free port.
    Raises AddressUnavailable, with nothing left open.
    """
    family, target = _resolve(address)
    sockets: list[socket.socket] = []
    try:
        if count > 1 and target[1] != 0:
            # SO_REUSEPORT would happily share the port with another gateway of the same user and split its traffic.
            _bind(family, target, reuse_port=False).close()
        for _ in range(count):
            bound = _bind(family, target, reuse_port=count > 1)
            sockets.append(bound)
            target = (target[0], bound.getsockname()[1])
            bound.listen(BACKLOG)
    except OSError as error:
        for open_socket in sockets:
            open_socket.close()
        raise AddressUnavailable(f"cannot listen on {address}: {_advice(error)}") from error
    return sockets


def bind_another(address: str) -> socket.socket:
    """One more listening socket beside those of `bind_listeners` that share a port. Raises OSError."""
    family, target = _resolve(address)
    bound = _bind(family, target, reuse_port=True)
    bound.listen(BACKLOG)
    return bound


def render_address(bound: socket.socket) -> str:
    """HOST:PORT of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def _resolve(address: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        host, port = parse_address(address)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except ValueError as error:
        raise AddressUnavailable(f"cannot listen on {address!r}: {error}") from error
    except socket.gaierror as error:
        raise AddressUnavailable(f"cannot listen on {address}: the host name cannot be resolved") from error
    family, _, _, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, (str(place[0]), port)


def _bind(family: socket.AddressFamily, target: tuple[str, int], *, reuse_port: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        # Without it a restart fails for a minute, as long as old connections are in TIME_WAIT.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(target)
    except OSError:
        bound.close()
        raise
    return bound


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another process listens there; stop it, or choose another port"
        case errno.EACCES | errno.EPERM:
            return "not allowed; ports below 1024 need privileges, choose a higher one"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case _:
            return error.strerror or str(error)
