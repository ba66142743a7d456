import pytest

from gatewright.core.errors import Kind
from gatewright.wire.http1 import Malformed, MalformedResponse, Request, RequestParser, ResponseParser

GET = b"GET /v1/models?limit=2 HTTP/1.1\r\nHost: gw:8080\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
POST = b"POST /v1/x HTTP/1.1\r\nHost: gw\r\n"
CUTS = (1, 7, 10_000)


def make_parser(**limits: int) -> RequestParser:
    return RequestParser(**({"max_header_bytes": 2_000, "max_headers": 10, "max_body_bytes": 100} | limits))


def parse(data: bytes, size: int = CUTS[-1], **limits: int) -> list[Request | Malformed]:
    parser = make_parser(**limits)
    found: list[Request | Malformed] = []
    for start in range(0, len(data), size):
        found += parser.feed(data[start : start + size])
        if found and isinstance(found[-1], Malformed):
            break
    parser.close()
    return found


def one(data: bytes, size: int = CUTS[-1]) -> Request:
    (found,) = parse(data, size)
    assert isinstance(found, Request)
    return found


def refused(data: bytes, **limits: int) -> Malformed:
    found = parse(data, **limits)[-1]
    assert isinstance(found, Malformed)
    return found


@pytest.mark.parametrize("size", CUTS)
def test_a_request_without_a_body(size: int) -> None:
    request = one(GET, size)
    assert (request.method, request.path, request.query) == (b"GET", b"/v1/models", b"limit=2")
    assert request.headers == {b"host": b"gw:8080", b"x-a": b"1, 2"}
    assert (request.body, request.keep_alive, request.is_http10) == (b"", True, False)


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize(
    "message",
    [
        POST + b"Content-Length: 5\r\n\r\nhello",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n",
        POST + b"Transfer-Encoding: Chunked\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
    ids=["length", "chunked", "upgrade offered"],
)
def test_a_body_is_whole(message: bytes, size: int) -> None:
    first, second = parse(message + GET, size)
    assert isinstance(first, Request)
    assert isinstance(second, Request)
    assert first.body == b"hello"
    assert b"x-trailer" not in first.headers
    assert second.path == b"/v1/models"


@pytest.mark.parametrize(
    ("head", "keeps", "old"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", False, False),
        (b"GET / HTTP/1.0\r\n\r\n", False, True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True, True),
        (b"OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", True, False),
    ],
)
def test_whether_the_connection_stays(head: bytes, keeps: bool, old: bool) -> None:
    request = one(head)
    assert (request.keep_alive, request.is_http10) == (keeps, old)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "needs a Host"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "not a host name"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "host was sent more than once"),
        (POST + b"Authorization: a\r\nauthorization: b\r\n\r\n", "authorization was sent more than once"),
        (b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "must be a path"),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "must be a path|malformed"),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", "must be a path|CONNECT"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/2.0 is not spoken|malformed"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "no transfer codings"),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "only transfer coding"),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed"),
        (POST + b"Content-Length: 1\r\nExpect: 200-ok\r\n\r\n", "only expectation"),
        (b"nonsense\r\n\r\n", "malformed"),
        (POST + b"X: a\nb\r\n\r\n", "malformed"),
    ],
)
def test_what_cannot_be_served_is_said(message: bytes, words: str) -> None:
    found = refused(message)
    assert found.kind is Kind.MALFORMED_REQUEST
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(found.message)


def test_what_is_known_of_a_refused_request_is_kept() -> None:
    found = refused(POST + b"X-Request-Id: r1\r\nContent-Length: 101\r\n\r\n")
    assert (found.kind, found.method, found.path) == (Kind.TOO_LARGE, b"POST", b"/v1/x")
    assert found.headers[b"x-request-id"] == b"r1"
    assert refused(b"\0").method == b""


def test_bodies_are_bounded_whatever_their_framing() -> None:
    assert one(POST + b"Content-Length: 100\r\n\r\n" + b"x" * 100).body == b"x" * 100
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n33\r\n" + b"x" * 51 + b"\r\n33\r\n" + b"x" * 51 + b"\r\n"
    assert refused(chunked).kind is Kind.TOO_LARGE


@pytest.mark.parametrize(
    "head",
    [
        GET[:-2] + b"X-Long: " + b"x" * 2_000 + b"\r\n\r\n",
        GET[:-2] + b"".join(b"X-%d: 1\r\n" % n for n in range(11)) + b"\r\n",
        b"GET /" + b"x" * 2_001 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["bytes", "fields", "target"],
)
@pytest.mark.parametrize("size", [500, 10_000])
def test_heads_are_bounded(head: bytes, size: int) -> None:
    found = parse(head, size)[-1]
    assert isinstance(found, Malformed)
    assert found.kind is Kind.HEADERS_TOO_LARGE


def test_how_far_a_request_came_can_be_asked() -> None:
    parser = make_parser()
    assert (parser.in_head, parser.in_body) == (False, False)
    parser.feed(b"POST /v1/x?a=b HTTP/1.1\r\nHost: a\r\n")
    assert (parser.in_head, parser.in_body, parser.partial_path()) == (True, False, b"/v1/x")
    parser.feed(b"Content-Length: 2\r\nExpect: 100-Continue\r\n\r\n")
    assert (parser.in_head, parser.in_body) == (False, True)
    assert (parser.take_continue(), parser.take_continue()) == (True, False)
    (request,) = parser.feed(b"{}")
    assert isinstance(request, Request)
    assert (parser.in_head, parser.in_body) == (False, False)


def test_a_body_that_comes_unasked_needs_no_continue() -> None:
    parser = make_parser()
    parser.feed(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{")
    assert not parser.take_continue()


HEAD = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n"


def read(data: bytes, size: int = CUTS[-1]) -> tuple[ResponseParser, bytes]:
    parser = ResponseParser()
    return parser, b"".join([parser.feed(data[start : start + size]) for start in range(0, len(data), size)])


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-A: 3\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nX-A: 0\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello",
    ],
    ids=["length", "chunked", "interim"],
)
def test_an_answer_with_a_frame(data: bytes, size: int) -> None:
    parser, body = read(data, size)
    assert (parser.status, body, parser.complete, parser.is_reusable()) == (200, b"hello", True, True)
    assert parser.headers[b"x-a"] == b"1, 2"
    parser.end()
    parser.reset()
    assert (parser.started, parser.head_complete, parser.complete) == (False, False, False)
    assert parser.feed(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nok") == b"ok"
    assert not parser.is_reusable()
    parser.close()


def test_an_answer_that_ends_with_its_connection() -> None:
    parser, body = read(HEAD + b"\r\nhello")
    assert (body, parser.complete) == (b"hello", False)
    parser.end()
    assert parser.complete
    assert not parser.is_reusable()


@pytest.mark.parametrize(("data", "words"), [(b"", "before the head"), (HEAD, "before the head")])
def test_an_end_before_the_head(data: bytes, words: str) -> None:
    parser, _ = read(data)
    with pytest.raises(MalformedResponse, match=words):
        parser.end()


@pytest.mark.parametrize(
    "data", [b"Content-Length: 9\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"]
)
def test_an_end_in_the_body(data: bytes) -> None:
    parser, _ = read(HEAD + data)
    with pytest.raises(MalformedResponse, match="in the middle of the body"):
        parser.end()


@pytest.mark.parametrize("status", [204, 304])
def test_answers_that_never_have_a_body(status: int) -> None:
    parser, body = read(b"HTTP/1.1 %d X\r\n\r\n" % status)
    assert (body, parser.complete, parser.is_reusable()) == (b"", True, True)


@pytest.mark.parametrize("surplus", [b"x", b"HTTP/1.1 200 OK\r\n\r\n", b"\0"])
def test_bytes_behind_an_answer(surplus: bytes) -> None:
    parser, body = read(HEAD + b"Content-Length: 5\r\n\r\nhello" + surplus)
    assert (body, parser.complete, parser.status) == (b"hello", True, 200)
    assert not parser.is_reusable()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SSH-2.0-x\r\n", "not valid HTTP"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "not valid HTTP"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "not valid HTTP"),
        (b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "switched protocols"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_002, "more than 1,000 headers"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 262_144, "head exceeds 262144 bytes"),
    ],
)
def test_what_is_no_answer(data: bytes, words: str) -> None:
    with pytest.raises(MalformedResponse, match=words):
        read(data)
