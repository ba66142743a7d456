"""What the parser hands on."""

from __future__ import annotations

from gatewright.core.errors import Kind
from gatewright.wire.request import Malformed, Request


def request(body: bytes = b"{}", head: object = None) -> Request:
    return Request(b"POST", b"/v1/chat", b"a=1", {b"host": b"x"}, body, True, False, head)


def test_a_request_is_told_by_all_it_has() -> None:
    one = request()
    assert (one.method, one.path, one.query, one.headers, one.body) == (
        b"POST",
        b"/v1/chat",
        b"a=1",
        {b"host": b"x"},
        b"{}",
    )
    assert (one.keep_alive, one.is_http10, one.head) == (True, False, None)
    assert one == request()
    assert one != request(b"[]")
    assert one != request(head=one)


def test_what_cannot_be_served_says_why() -> None:
    problem = Malformed(Kind.MALFORMED_REQUEST, "no", b"GET", b"/", {})
    assert problem == Malformed(Kind.MALFORMED_REQUEST, "no", b"GET", b"/", {})
    assert problem.message == "no"
