"""What a scripted upstream received: requests taken from the wire byte for byte.

The reader is deliberately small and strict: it accepts what a correct gateway may send to a provider and nothing else,
so a framing mistake of the gateway shows as an error of the upstream instead of being repaired silently.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

_REQUEST_LINE: Final = re.compile(r"(?!CONNECT)([A-Z]+) (/[\x21-\x7e]*) (HTTP/1\.[01])")
_CONNECT_LINE: Final = re.compile(r"(CONNECT) ([^\s/@]+:[0-9]+) (HTTP/1\.1)")
_HEADER_LINE: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")


class Received(Struct, frozen=True):
    """One request as the upstream got it."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    """Names and values in order, spelled as sent."""
    body: bytes
    """The body with any chunk framing taken off."""
    raw: bytes
    """Every byte of the request, framing included."""
    connection: int = 0
    """Which connection of the upstream it came on, from 1."""
    at_s: float = 0.0
    """When it was complete, on the monotonic clock."""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        """The value of a header, or None. Raises ValueError when it was sent more than once."""
        return find_header(self.headers, name)

    def json(self) -> Any:
        """The body decoded as JSON."""
        return msgspec.json.decode(self.body)


def find_header(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The value of a header, or None. Raises ValueError when it was sent more than once."""
    values = [value for key, value in headers if key.lower() == name.lower()]
    if len(values) > 1:
        raise ValueError(f"header {name} was sent {len(values)} times: {values}")
    return values[0] if values else None


class RequestReader:
    """Bytes in, requests out; holds an incomplete request between reads."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How much of an incomplete request has come so far."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Received]:
        """All requests completed by `data`. Raises ValueError on bytes no correct HTTP/1.1 client sends."""
        self._buffer += data
        requests: list[Received] = []
        while (request := self._take()) is not None:
            requests.append(request)
        return requests

    def _take(self) -> Received | None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        lines = bytes(self._buffer[:head_end]).decode("latin-1").split("\r\n")
        first = _REQUEST_LINE.fullmatch(lines[0]) or _CONNECT_LINE.fullmatch(lines[0])
        if first is None:
            raise ValueError(f"not a request line: {lines[0]!r}")
        headers = tuple(_parse_header(line) for line in lines[1:])
        body = _take_body(self._buffer, head_end + 4, headers)
        if body is None:
            return None
        content, end = body
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        return Received(first[1], first[2], first[3], headers, content, raw)


def _parse_header(line: str) -> tuple[str, str]:
    match = _HEADER_LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a header line: {line!r}")
    return match[1], match[2]


def _take_body(buffer: bytearray, start: int, headers: tuple[tuple[str, str], ...]) -> tuple[bytes, int] | None:
    """The body from `start` and where it ends, or None while it is incomplete."""
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    codings = [value for name, value in headers if name.lower() == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise ValueError(f"ambiguous framing: content-length {lengths}, transfer-encoding {codings}")
    if codings:
        if codings != ["chunked"]:
            raise ValueError(f"unknown transfer coding {codings[0]!r}")
        return _take_chunked(buffer, start)
    if lengths and not (lengths[0].isascii() and lengths[0].isdigit()):
        raise ValueError(f"not a length: {lengths[0]!r}")
    end = start + (int(lengths[0]) if lengths else 0)
    return (bytes(buffer[start:end]), end) if len(buffer) >= end else None


def _take_chunked(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    content = bytearray()
    while (line_end := buffer.find(b"\r\n", at)) >= 0:
        line = _CHUNK_LINE.match(buffer, at)
        if line is None:
            raise ValueError(f"not a chunk size: {bytes(buffer[at:line_end])!r}")
        size, data = int(line[1], 16), line_end + 2
        if len(buffer) < data + size + 2:
            return None
        if buffer[data + size : data + size + 2] != b"\r\n":
            raise ValueError("a chunk does not end with CRLF (or the last one has trailers)")
        if size == 0:
            return bytes(content), data + 2
        content += buffer[data : data + size]
        at = data + size + 2
    return None
