"""The hostile tables against the request parser alone, and what must hold for any bytes in any pieces."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.errors import KINDS, Kind
from gatewright.wire.http1 import Malformed, Request, RequestParser

# The tables are the data plane's; here they are read by the parser without a socket.
sys.path.insert(0, str(Path(__file__).parents[1] / "dataplane"))

from hostile_cases import (
    BODY,
    CHUNKED,
    GET,
    HTTP,
    LENGTH,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    UPGRADE,
    Case,
    chunked,
    get,
    post,
)

Message = Request | Malformed
UNCUT = 262_144
REFUSALS = [case for case in HTTP if case.closed and min(case.answers[-1]) >= 400 and 408 not in case.answers[-1]]


def _parser(**limits: int) -> RequestParser:
    sizes = {"max_header_bytes": MAX_HEADER_BYTES, "max_headers": MAX_HEADERS, "max_body_bytes": MAX_BODY_BYTES}
    return RequestParser(**(sizes | limits))


def _parse(data: bytes, size: int = UNCUT, **limits: int) -> list[Message]:
    """What comes of `data` in pieces of this size; like a connection, it stops at the first that is malformed."""
    parser = _parser(**limits)
    found: list[Message] = []
    for start in range(0, len(data), size):
        found += parser.feed(data[start : start + size])
        if found and isinstance(found[-1], Malformed):
            break
    parser.close()
    return found


def _outcome(found: list[Message]) -> list[object]:
    """What must not depend on how the bytes were cut."""
    return [
        (message.method, message.path, message.query, message.headers, message.body, message.keep_alive)
        if isinstance(message, Request)
        else message.kind
        for message in found
    ]


@pytest.mark.parametrize("case", REFUSALS, ids=[case.name for case in REFUSALS])
def test_what_must_be_refused_is_refused(case: Case) -> None:
    *before, last = _parse(b"".join(case.sent))
    assert isinstance(last, Malformed)
    assert KINDS[last.kind].status in case.answers[-1]
    assert len(last.message) > 10
    assert all(isinstance(message, Request) for message in before)
    assert len(before) == len(case.answers) - 1


@pytest.mark.parametrize("case", HTTP, ids=[case.name for case in HTTP])
def test_the_way_the_bytes_are_cut_changes_nothing(case: Case) -> None:
    data = b"".join(case.sent)
    if len(data) > 20_000:
        pytest.skip("limits act at the end of a piece, so where they stop large heads depends on it")
    whole = _outcome(_parse(data))
    for size in (1, 2, 3, 7, 64):
        assert _outcome(_parse(data, size)) == whole


PARTS = (GET, post(), post(CHUNKED, chunked(BODY, 9)), post(LENGTH + UPGRADE), get(b"/v1/models", UPGRADE))
ODD = (b"\r", b"\n", b"\r\n", b"\0", b" ", b":", b"0", b"\xff", b"chunked", b"Content-Length: 5\r\n", b"Upgrade: x\r\n")


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 12))] = draw(st.sampled_from(ODD) | st.binary(max_size=4))
    return bytes(data)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(data=_mutated() | st.binary(max_size=200), cuts=st.lists(st.integers(1, 40), min_size=1, max_size=40))
def test_random_bytes_in_random_pieces_give_the_same(data: bytes, cuts: list[int]) -> None:
    parser = _parser()
    found: list[Message] = []
    at = index = 0
    while at < len(data) and not (found and isinstance(found[-1], Malformed)):
        size = cuts[index % len(cuts)]
        found += parser.feed(data[at : at + size])
        at, index = at + size, index + 1
    parser.close()
    assert _outcome(found) == _outcome(_parse(data))


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [1, 50, UNCUT])
def test_a_body_behind_an_offered_upgrade_is_a_body(framing: str, size: int) -> None:
    request = post(LENGTH + UPGRADE) if framing == "length" else post(CHUNKED + UPGRADE, chunked(BODY, 20))
    first, second = _parse(request + GET, size)
    assert isinstance(first, Request)
    assert (first.method, first.path, first.body) == (b"POST", b"/v1/chat/completions", BODY)
    assert first.headers[b"authorization"].startswith(b"Bearer ")
    assert isinstance(second, Request)
    assert second.path == b"/v1/models"


def test_an_offered_upgrade_keeps_an_expectation() -> None:
    parser = _parser()
    assert parser.feed(post(LENGTH + UPGRADE + b"Expect: 100-continue\r\n", b"")) == []
    assert parser.in_body
    assert parser.take_continue()
    assert not parser.take_continue()
    (request,) = parser.feed(BODY)
    assert isinstance(request, Request)
    assert request.keep_alive


def test_a_head_below_the_limit_passes_however_it_is_cut() -> None:
    head = get(b"/v1/models", b"".join(b"X-%d: %b\r\n" % (n, b"v" * 700) for n in range(80)))
    for size in (100, 1_000, 30_000, UNCUT):
        (request,) = _parse(head, size)
        assert isinstance(request, Request)


def test_requests_before_it_do_not_count_towards_a_head() -> None:
    stream = (post() + GET) * 500
    for size in (60_000, 65_536, 100_001):
        assert all(isinstance(message, Request) for message in _parse(stream, size))
        assert len(_parse(stream, size)) == 1_000


@pytest.mark.parametrize("piece", [b"X: " + b"a" * 1_000_000, b"X: a\r\n" * 100_000, b"a" * 1_000_000])
def test_a_head_without_end_is_refused(piece: bytes) -> None:
    (refused,) = _parse(GET[:-2] + piece, 10_000)
    assert isinstance(refused, Malformed)
    assert refused.kind is Kind.HEADERS_TOO_LARGE


@pytest.mark.parametrize("endless", [b"5;" + b"a" * 500_000, b"0" * 500_000, b"0\r\nX: " + b"a" * 500_000])
def test_chunk_framing_without_end_is_refused(endless: bytes) -> None:
    (refused,) = _parse(post(CHUNKED, b"1\r\n{\r\n" + endless), 10_000)
    assert isinstance(refused, Malformed)
    assert refused.kind is Kind.HEADERS_TOO_LARGE


def test_the_smallest_chunks_are_served() -> None:
    body = b'{"a":"' + b"a" * 50_000 + b'"}'
    (request,) = _parse(post(CHUNKED, chunked(body, 1)), 10_000)
    assert isinstance(request, Request)
    assert request.body == body
