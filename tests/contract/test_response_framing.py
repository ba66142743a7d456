"""An upstream's bytes against the response parser alone: what it must refuse, and that pieces change nothing."""

from __future__ import annotations

import pytest

from gatewright.testing.answers import LAST_CHUNK, chunk, render_head
from gatewright.wire.http1 import MalformedResponse, ResponseParser

BODY = b'{"a":1}'
LENGTH = ("content-length", str(len(BODY)))
CHUNKED = ("transfer-encoding", "chunked")
WHOLE = {
    "length": render_head(200, [LENGTH]) + BODY,
    "chunked": render_head(200, [CHUNKED]) + chunk(BODY[:3]) + chunk(BODY[3:]) + LAST_CHUNK,
    "trailers": render_head(200, [CHUNKED]) + chunk(BODY) + b"0\r\nX-Sum: 1\r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + render_head(200, [LENGTH]) + BODY,
    "no content": render_head(204, []),
}
OPEN_HEAD = b"HTTP/1.1 200 OK\r\n"


def _feed(parser: ResponseParser, data: bytes, size: int) -> bytes:
    return b"".join([parser.feed(data[start : start + size]) for start in range(0, len(data), size)])


@pytest.mark.parametrize("size", [1, 5, 1_000])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_answer(name: str, size: int) -> None:
    data = WHOLE[name]
    parser = ResponseParser()
    body = _feed(parser, data, size)
    assert parser.complete
    assert parser.is_reusable()
    assert body == (b"" if name == "no content" else BODY)
    assert "x-sum" not in parser.headers
    parser.close()


@pytest.mark.parametrize(
    "piece",
    [
        b"X: a\r\n" * 100_000,
        b"".join(b"X-%d: a\r\n" % n for n in range(100_000)),
        b"X: " + b"a" * 1_000_000,
        b"X" * 1_000_000,
    ],
    ids=["one name", "many names", "one value", "one long name"],
)
@pytest.mark.parametrize("before", [OPEN_HEAD, WHOLE["trailers"][:-14] + b"0\r\n"], ids=["head", "trailer"])
def test_headers_without_end_are_refused(before: bytes, piece: bytes) -> None:
    parser = ResponseParser()
    with pytest.raises(MalformedResponse, match=r"1,000 headers|exceed"):
        _feed(parser, before + piece, 10_000)
    parser.close()


def test_a_chunk_extension_without_end_is_refused() -> None:
    parser = ResponseParser()
    with pytest.raises(MalformedResponse, match="exceed"):
        _feed(parser, render_head(200, [CHUNKED]) + b"5;" + b"a" * 1_000_000, 10_000)
    parser.close()


def test_the_framing_of_a_long_stream_does_not_add_up() -> None:
    parser = ResponseParser()
    parser.feed(render_head(200, [CHUNKED]))
    for _ in range(100_000):
        assert parser.feed(b"5\r\n") == b""
        assert parser.feed(b"abcde") == b"abcde"
        assert parser.feed(b"\r\n") == b""
    parser.close()


def test_interim_answers_without_end_are_refused() -> None:
    parser = ResponseParser()
    with pytest.raises(MalformedResponse, match="exceed"):
        _feed(parser, b"HTTP/1.1 102 Processing\r\n\r\n" * 100_000, 27)
    parser.close()


@pytest.mark.parametrize("name", ["length", "chunked"])
def test_an_answer_that_ends_early_is_refused(name: str) -> None:
    for cut in range(1, len(WHOLE[name])):
        parser = ResponseParser()
        parser.feed(WHOLE[name][:cut])
        with pytest.raises(MalformedResponse, match="closed"):
            parser.end()
        parser.close()


def test_bytes_behind_an_answer_end_its_connection() -> None:
    for surplus in (b"x", WHOLE["length"]):
        parser = ResponseParser()
        assert parser.feed(WHOLE["length"] + surplus) == BODY
        assert parser.complete
        assert not parser.is_reusable()
        parser.close()
