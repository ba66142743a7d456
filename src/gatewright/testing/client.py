"""A client that sends exactly the bytes it is given and reads answers strictly, for tests of HTTP itself."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

import msgspec
from msgspec import Struct

from gatewright.testing.received import find_header

_RST_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_READ_BYTES: Final = 262_144
_BODILESS: Final = frozenset({204, 304})


class Answer(Struct, frozen=True):
    """One complete response."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    """The body with any chunk framing taken off."""
    interim: tuple[int, ...] = ()
    """The 1xx statuses that came before it."""

    def header(self, name: str) -> str | None:
        """The value of a header, or None. Raises ValueError when it was sent more than once."""
        return find_header(self.headers, name)

    def json(self) -> Any:
        """The body decoded as JSON."""
        return msgspec.json.decode(self.body)


class PeerClosed(Exception):
    """The connection ended where more bytes had to come; `partial` is what had come."""

    def __init__(self, partial: bytes) -> None:
        super().__init__(f"the connection ended after {partial[-200:]!r}")
        self.partial = partial


class RawClient:
    """One connection to a server. Every read has a time limit, after which TimeoutError is raised.

    `receive_buffer` and `segment_bytes` make the kernel's buffers as small as those of a slow client far away.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        timeout_s: float = 5.0,
        receive_buffer: int = 0,
        segment_bytes: int = 0,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if receive_buffer:
                # Set before connecting, so that the window offered to the peer is small from the start.
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            if segment_bytes:
                # Loopback's 64 KiB segments make the peer's kernel buffer megabytes; a real path has 1,400 or so.
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment_bytes)
            plain.settimeout(timeout_s)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.connect(address)
            self.socket = tls.wrap_socket(plain, server_hostname=server_name or address[0]) if tls else plain
        except BaseException:
            plain.close()
            raise
        self._buffer = bytearray()

    def send(self, *pieces: bytes, apart_s: float = 0.0) -> Self:
        """Send pieces, each in a write of its own, `apart_s` apart. A peer that is gone ends it silently."""
        try:
            for index, piece in enumerate(pieces):
                if index and apart_s:
                    time.sleep(apart_s)
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            # What the server answered before it closed is still to be read; the next receive tells.
            pass
        return self

    def receive(self, method: str = "POST") -> Answer:
        """The next complete answer, to a request of this method. Raises PeerClosed or ValueError when it is broken."""
        interim: list[int] = []
        while True:
            status, headers = self._read_head()
            if status >= 200:
                body = b"" if method == "HEAD" or status in _BODILESS else self._read_body(headers)
                return Answer(status, headers, body, tuple(interim))
            if status == 101:
                raise ValueError("the server switched protocols")
            interim.append(status)

    def receive_head(self) -> Answer:
        """Only the head of the next answer; read the body with `receive_bytes`."""
        status, headers = self._read_head()
        return Answer(status, headers, b"")

    def receive_bytes(self, until: bytes | None = None) -> bytes:
        """Bytes as they come: up to and including `until`, or to the end of the connection."""
        if until is None:
            while self._fill():
                pass
            end = len(self._buffer)
        else:
            end = self._find(until) + len(until)
        return self._take(end)

    def is_closed(self, within_s: float = 2.0) -> bool:
        """Whether the server closes (or resets) within this time. Raises ValueError when it sends something instead."""
        self.socket.settimeout(within_s)
        try:
            if self._buffer or self._fill():
                raise ValueError(f"unexpected bytes: {bytes(self._buffer[:500])!r}")
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(self._timeout_s)
        return True

    def half_close(self) -> None:
        """Send FIN and go on reading."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close at once with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
        self.socket.close()

    def close(self) -> None:
        """Close in order."""
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self) -> bool:
        """Read once; False at the end of the connection, in whatever way it ended."""
        try:
            data = self.socket.recv(_READ_BYTES)
        except (ConnectionResetError, BrokenPipeError):
            return False
        self._buffer += data
        return bool(data)

    def _find(self, mark: bytes) -> int:
        searched = 0
        while (at := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark))
            if not self._fill():
                raise PeerClosed(bytes(self._buffer))
        return at

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._fill():
                raise PeerClosed(bytes(self._buffer))
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _read_head(self) -> tuple[int, tuple[tuple[str, str], ...]]:
        head = self._take(self._find(b"\r\n\r\n") + 4)[:-4].decode("latin-1")
        first, *lines = head.split("\r\n")
        version, _, rest = first.partition(" ")
        if version != "HTTP/1.1" or not rest[:3].isdigit() or any(mark in head for mark in "\0\x0b\x0c"):
            raise ValueError(f"not the head of an answer: {head!r}")
        return int(rest[:3]), tuple(_parse_headers(lines))

    def _read_body(self, headers: tuple[tuple[str, str], ...]) -> bytes:
        framing = [(name.lower(), value) for name, value in headers if name.lower() in _FRAMING]
        if len(framing) > 1:
            raise ValueError(f"ambiguous framing: {framing}")
        if not framing:
            return self.receive_bytes()
        name, value = framing[0]
        if name == "content-length":
            return self._take(int(value))
        if value != "chunked":
            raise ValueError(f"unknown transfer coding {value!r}")
        body = bytearray()
        while size := int(self.receive_bytes(b"\r\n"), 16):
            body += self._take(size)
            self._expect_line_end()
        self._expect_line_end()
        return bytes(body)

    def _expect_line_end(self) -> None:
        if (found := self._take(2)) != b"\r\n":
            raise ValueError(f"expected the end of a chunk, found {found!r}")


_FRAMING: Final = frozenset({"content-length", "transfer-encoding"})


def _parse_headers(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.isascii() or name != name.strip() or not name or "\r" in line or "\n" in line:
            raise ValueError(f"not a header line: {line!r}")
        yield name, value.strip(" \t")
