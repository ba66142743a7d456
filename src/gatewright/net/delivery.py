"""Whether the peer of a reused connection can have got anything of the request that was being sent as it ended.

Theory. What a peer's FIN acknowledges is all that its kernel had when it closed: a FIN that acknowledges nothing of the
request proves that no program was given any of it, and none will be that could still answer. A reset proves nothing by
what is acknowledged: Linux ignores the acknowledgement in a RST, and a program may read, and reset, before the delayed
acknowledgement (RFC 1122 §4.2.3.2) of what it read was sent. It proves something only where this side's kernel has not
sent any of the request. All else is in doubt, and a request in doubt is never sent again (RFC 9110 §9.2.2).
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple, Protocol

_ACKED_AT: Final = 120
"""Offset of tcpi_bytes_acked in Linux's struct tcp_info (include/uapi/linux/tcp.h)."""
_SENT_AT: Final = 200
"""Offset of tcpi_bytes_sent, which tcpi_bytes_retrans follows; both exist since Linux 4.19."""
_INFO_BYTES: Final = 216


class TransportSocket(Protocol):
    """What a transport lends of its socket."""

    def fileno(self) -> int: ...
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


class Progress(NamedTuple):
    """How far the sending direction of a TCP connection is."""

    acked_bytes: int
    """What the peer's kernel has acknowledged, the handshake counted as one byte."""
    sent_bytes: int
    """What this side's kernel has sent, counted once however often it was repeated."""


def read_progress(connection: TransportSocket | None) -> Progress | None:
    """How far the connection is; None where the platform does not tell, or the connection is closed already."""
    if connection is None:
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        (acked_bytes,) = struct.unpack_from("<Q", info, _ACKED_AT)
        sent_bytes, repeated_bytes = struct.unpack_from("<QQ", info, _SENT_AT)
    except (OSError, ValueError, AttributeError, struct.error):  # ValueError: uvloop's for a closed one
        return None
    return Progress(acked_bytes, sent_bytes - repeated_bytes)


def took_nothing(before: Progress | None, now: Progress | None, settled_bytes: int, *, peer_closed: bool) -> bool:
    """Whether the peer certainly got nothing of what was written behind the first `settled_bytes` since `before`.

    `peer_closed` tells that the peer's FIN has come, and that `now` is from then or later.
    """
    if before is None or now is None:
        return False
    if now.sent_bytes <= before.sent_bytes + settled_bytes:
        return True
    return peer_closed and now.acked_bytes <= before.acked_bytes + settled_bytes
