"""Answer heads, rendered once per status and completed per exchange."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from gatewright.core.reply import Reply

_REASONS: Final = {status.value: status.phrase.encode() for status in HTTPStatus} | {529: b"Overloaded"}


def _status_line(status: int) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (status, _REASONS.get(status, b"Status"))


_THOUSANDTHS: Final = [b"%03d" % number for number in range(1000)]
"""The digits behind the point."""
_LINES: Final = {status: _status_line(status) for status in _REASONS}


def render_head(
    status: int,
    content_type: bytes,
    request_id: str,
    headers: bytes,
    *,
    length: int | None,
    close: bool,
    chunked: bool = True,
) -> bytes:
    """The head of an answer. `headers` are whole lines; without `length` it is chunked, or ends with the connection."""
    if length is not None:
        framing = b"content-length: %d\r\n" % length
    else:
        framing = b"transfer-encoding: chunked\r\n" if chunked else b""
    return b"%bcontent-type: %b\r\nx-request-id: %b\r\n%b%b%b\r\n" % (
        _LINES.get(status) or _status_line(status),
        content_type,
        request_id.encode(),
        headers,
        framing,
        b"connection: close\r\n" if close else b"",
    )


def render_reply(
    reply: Reply, request_id: str, gateway_s: float, upstream_s: float, headers: bytes, *, close: bool
) -> bytes:
    """A whole answer, head and body, in one formatting: this is the common path. `headers` are whole lines."""
    status = reply.status
    body = reply.body
    gateway_us = _round_us(gateway_s)
    upstream_us = _round_us(upstream_s)
    # Nothing but %b and %d, which compiled code puts together without reading the format.
    return (
        b"%bcontent-type: %b\r\nx-request-id: %b\r\nserver-timing: gateway;dur=%d.%b, upstream;dur=%d.%b\r\n"
        b"%bcontent-length: %d\r\n%b\r\n%b"
    ) % (
        _LINES.get(status) or _status_line(status),
        reply.content_type,
        request_id.encode(),
        gateway_us // 1000,
        _THOUSANDTHS[gateway_us % 1000],
        upstream_us // 1000,
        _THOUSANDTHS[upstream_us % 1000],
        headers,
        len(body),
        b"connection: close\r\n" if close else b"",
        body,
    )


def _round_us(seconds: float) -> int:
    """Whole microseconds of a duration that is not negative, but for what rounding brings about."""
    return int(seconds * 1e6 + 0.5) if seconds > 0.0 else 0


def render_lines(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """Header pairs as lines."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])
