"""A head that is recognised gives the same request as one that is parsed, and nothing else is recognised."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.wire.http1 import Malformed, MalformedResponse, Request, RequestParser, ResponseParser

HEAD = (
    b"POST /v1/chat/completions?a=b HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer k\r\n"
    b"Content-Length: %d\r\nAccept: */*\r\n\r\n"
)


def make_parser() -> RequestParser:
    return RequestParser(max_header_bytes=4096, max_headers=20, max_body_bytes=1000)


def message(body: bytes) -> bytes:
    return HEAD % len(body) + body


def plain(found: Request | Malformed) -> dict[str, object]:
    return {**dataclasses.asdict(found), "head": None}


@given(st.lists(st.binary(max_size=1200), min_size=1, max_size=5), st.binary(max_size=40))
def test_same_result_as_parsing_alone(bodies: list[bytes], rubbish: bytes) -> None:
    parser = make_parser()
    for body in bodies:
        known = parser.feed(message(body))
        assert list(map(plain, known)) == list(map(plain, make_parser().feed(message(body))))
        if isinstance(known[0], Malformed):
            return
    parsed_only = make_parser()
    parsed_only.feed(message(b"x"))
    parsed_only._known = None
    cut = message(b"y")[: len(rubbish)] + rubbish
    assert list(map(plain, parser.feed(cut))) == list(map(plain, parsed_only.feed(cut)))


def test_only_equal_heads_share_an_identity() -> None:
    parser = make_parser()
    (first,) = parser.feed(message(b"one"))
    (second,) = parser.feed(message(b"three"))
    (third,) = parser.feed(message(b"three!"))
    (other,) = parser.feed(message(b"one").replace(b"Bearer k", b"Bearer l"))
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert isinstance(third, Request)
    assert isinstance(other, Request)
    assert first.head is None
    assert second.head is not None
    assert second.head is third.head
    assert other.head is None
    assert third.headers[b"content-length"] == b"6"
    assert other.headers[b"authorization"] == b"Bearer l"


@pytest.mark.parametrize(
    "data",
    [
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: +3"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: 3, 3"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: 0x3"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: 3\r\nContent-Length: 3"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: 3\r\nTransfer-Encoding: chunked"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: 99999999999999999999"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: 2000"),
        message(b"abc").replace(b"Content-Length: 3", b"Content-Length: \xb2"),
    ],
)
def test_a_bad_length_is_refused_behind_a_known_head(data: bytes) -> None:
    parser = make_parser()
    parser.feed(message(b"abc"))
    parser.feed(message(b"abc"))
    (refused,) = parser.feed(data)
    assert isinstance(refused, Malformed)


def test_two_at_once_and_one_in_pieces_go_through_the_parser() -> None:
    parser = make_parser()
    parser.feed(message(b"abc"))
    both = parser.feed(message(b"abc") + message(b"defg"))
    assert [request.body for request in both if isinstance(request, Request)] == [b"abc", b"defg"]
    assert parser.feed(message(b"hij")[:-1]) == []
    (request,) = parser.feed(b"j")
    assert isinstance(request, Request)
    assert request.body == b"hij"


@pytest.mark.parametrize("size", [0, 1, 8, 9, 10, 11, 98, 99, 100, 101, 998, 999])
def test_the_length_is_told_from_what_came_only_where_all_came(size: int) -> None:
    parser = make_parser()
    parser.feed(message(b"abc"))
    (whole,) = parser.feed(message(bytes(size)))
    assert plain(whole) == plain(*make_parser().feed(message(bytes(size))))
    assert parser.feed(HEAD % (size + 1) + bytes(size)) == []
    (rest,) = parser.feed(b"!")
    assert isinstance(rest, Request)
    answers = ResponseParser()
    assert answers.feed(answer(b"abc")) == b"abc"
    answers.reset()
    assert answers.feed(ANSWER_HEAD % (size + 1) + bytes(size)) == bytes(size)
    assert not answers.complete


def test_a_request_without_a_body_is_known_too() -> None:
    parser = make_parser()
    data = b"GET /v1/models HTTP/1.1\r\nHost: gw\r\n\r\n"
    parser.feed(data)
    (request,) = parser.feed(data)
    assert isinstance(request, Request)
    assert request.head is not None
    assert (request.method, request.path, request.body) == (b"GET", b"/v1/models", b"")


ANSWER_HEAD = b"HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n"


def answer(body: bytes) -> bytes:
    return ANSWER_HEAD % len(body) + body


def outcome(parser: ResponseParser, *pieces: bytes) -> tuple[object, ...]:
    """All that a connection may see of one answer."""
    try:
        body = b"".join([parser.feed(piece) for piece in pieces])
    except MalformedResponse as error:
        return (str(error),)
    state = (parser.status, parser.headers, body, parser.started, parser.head_complete, parser.complete, parser.surplus)
    return (*state, parser.is_reusable())


@given(st.lists(st.binary(max_size=1200), min_size=1, max_size=5), st.binary(max_size=40))
def test_an_answer_is_the_same_as_parsed_alone(bodies: list[bytes], rubbish: bytes) -> None:
    parser = ResponseParser()
    for body in bodies:
        assert outcome(parser, answer(body)) == outcome(ResponseParser(), answer(body))
        parser.reset()
    cut = answer(b"y")[: len(rubbish)] + rubbish
    assert outcome(parser, cut) == outcome(ResponseParser(), cut)


@pytest.mark.parametrize(
    "pieces",
    [
        (answer(b"abc").replace(b"Length: 3", b"Length: +3"),),
        (answer(b"abc").replace(b"Length: 3", b"Length: 0x3"),),
        (answer(b"abc").replace(b"Length: 3", b"Length: \xb2"),),
        (answer(b"abc").replace(b"Length: 3", b"Length: 3\r\nContent-Length: 3"),),
        (answer(b"abc").replace(b"Length: 3", b"Length: 4"),),
        (answer(b"abc").replace(b"Length: 3", b"Length: 2"),),
        (answer(b"abc").replace(b"today", b"today\r\nConnection: close"),),
        (answer(b"abc").replace(b"200 OK", b"500 Oh"),),
        (answer(b"abc")[:-1], b"c"),
        (answer(b"abc")[:20], answer(b"abc")[20:]),
        (answer(b"abc") + answer(b"abc"),),
        (answer(b""),),
    ],
)
def test_what_differs_from_a_known_answer_goes_through_the_parser(pieces: tuple[bytes, ...]) -> None:
    parser = ResponseParser()
    for _ in range(2):
        parser.feed(answer(b"abc"))
        parser.reset()
    assert outcome(parser, *pieces) == outcome(ResponseParser(), *pieces)


@pytest.mark.parametrize(
    ("head", "known"),
    [
        (ANSWER_HEAD, True),
        (ANSWER_HEAD.replace(b"HTTP/1.1", b"HTTP/1.0"), False),
        (ANSWER_HEAD.replace(b"today", b"today\r\nConnection: close"), False),
        (ANSWER_HEAD.replace(b"200 OK", b"429 No"), False),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + ANSWER_HEAD, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\nabc\r\n0\r\n\r\n", False),
    ],
)
def test_which_answers_are_known_again(head: bytes, known: bool) -> None:
    parser = ResponseParser()
    assert parser.feed(head % 3 + (b"" if b"abc" in head else b"abc")) == b"abc"
    assert (parser._known is not None) is known


def test_headers_that_are_known_are_not_made_again() -> None:
    parser = ResponseParser()
    seen = []
    for _ in range(3):
        parser.feed(answer(b"abc"))
        seen.append(parser.headers)
        parser.reset()
    assert seen[2] is seen[1] is seen[0]
