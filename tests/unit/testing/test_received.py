"""The upstream's own request reader: exact, incremental, and strict where a gateway must not be sloppy."""

from __future__ import annotations

import pytest

from gatewright.testing.received import RequestReader

PLAIN = (
    b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nHost: a\r\nX-Odd:  two words \r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
)
CHUNKED = (
    b'POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":2}\r\n0\r\n\r\n'
)
BODILESS = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"


def test_a_request_is_kept_byte_for_byte() -> None:
    (request,) = RequestReader().feed(PLAIN)
    assert (request.method, request.target, request.path) == (
        "POST",
        "/v1/chat/completions?x=1",
        "/v1/chat/completions",
    )
    assert request.header("x-odd") == "two words"
    assert request.header("absent") is None
    assert request.json() == {"a": 1}
    assert request.raw == PLAIN


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_any_splitting_gives_the_same_requests(size: int) -> None:
    reader = RequestReader()
    stream = PLAIN + CHUNKED + BODILESS
    found = [request for start in range(0, len(stream), size) for request in reader.feed(stream[start : start + size])]
    assert [request.raw for request in found] == [PLAIN, CHUNKED, BODILESS]
    assert [request.body for request in found] == [b'{"a":1}', b'{"a":2}', b""]
    assert reader.pending_bytes == 0


def test_a_proxy_is_asked_for_a_tunnel() -> None:
    (request,) = RequestReader().feed(b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n")
    assert (request.method, request.target) == ("CONNECT", "api.test:443")


def test_an_incomplete_request_is_held_back() -> None:
    reader = RequestReader()
    assert reader.feed(PLAIN[:-1]) == []
    assert reader.pending_bytes == len(PLAIN) - 1


@pytest.mark.parametrize(
    "wrong",
    [
        b"get / HTTP/1.1\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
    ],
)
def test_what_no_correct_client_sends_is_an_error(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"not |ambiguous|unknown"):
        RequestReader().feed(wrong)


def test_a_header_asked_for_by_name_must_be_single() -> None:
    (request,) = RequestReader().feed(b"GET / HTTP/1.1\r\nA: 1\r\na: 2\r\n\r\n")
    with pytest.raises(ValueError, match="2 times"):
        request.header("A")
