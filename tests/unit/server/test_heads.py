"""Answer heads: every status has a line, and the framing is what the caller asked for."""

import pytest

from gatewright.core.reply import Reply
from gatewright.server.heads import render_head, render_lines, render_reply


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (200, b"200 OK"),
        (404, b"404 Not Found"),
        (529, b"529 Overloaded"),
        (418, b"418 I'm a Teapot"),
        (599, b"599 Status"),
    ],
)
def test_every_status_has_its_line(status: int, line: bytes) -> None:
    head = render_head(status, b"text/plain", "req_1", b"", length=0, close=False)
    assert head.startswith(b"HTTP/1.1 " + line + b"\r\n")


@pytest.mark.parametrize(
    ("length", "chunked", "close", "framing"),
    [
        (5, True, False, b"content-length: 5\r\n\r\n"),
        (0, True, True, b"content-length: 0\r\nconnection: close\r\n\r\n"),
        (None, True, False, b"transfer-encoding: chunked\r\n\r\n"),
        (None, False, True, b"connection: close\r\n\r\n"),
    ],
)
def test_the_framing(length: int | None, chunked: bool, close: bool, framing: bytes) -> None:
    head = render_head(200, b"a/b", "req_1", b"x-own: 1\r\n", length=length, close=close, chunked=chunked)
    assert head == b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\nx-request-id: req_1\r\nx-own: 1\r\n" + framing


@pytest.mark.parametrize("close", [True, False])
def test_a_whole_reply(close: bool) -> None:
    message = render_reply(Reply(201, b"body", b"a/b"), "req_1", 0.0015, 0.25, b"x-own: 1\r\n", close=close)
    head, _, body = message.partition(b"\r\n\r\n")
    assert body == b"body"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 201 Created",
        b"content-type: a/b",
        b"x-request-id: req_1",
        b"server-timing: gateway;dur=1.500, upstream;dur=250.000",
        b"x-own: 1",
        b"content-length: 4",
        *([b"connection: close"] if close else []),
    ]


def test_lines() -> None:
    assert render_lines(((b"a", b"1"), (b"b", b"2"))) == b"a: 1\r\nb: 2\r\n"
    assert render_lines(()) == b""
