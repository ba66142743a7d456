"""Requests of the gateway's own: which addresses, how they are written, and which answers are taken."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from typing import Any

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.secret import Secret
from gatewright.pipeline.identity_address import Way
from gatewright.pipeline.provider import Upstream
from gatewright.server import fetch
from gatewright.server.fetch import MAX_BODY_BYTES, Fetcher, FetchFailed

URL = "https://login.example:8443/keys?p=a%20b"


class FakeAnswer:
    def __init__(self, status: int = 200, body: bytes | None = b"{}", **headers: bytes) -> None:
        self.status = status
        self.body = body
        self.headers = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        self.aborted = False

    def abort(self) -> None:
        self.aborted = True


class Wire:
    """Keeps what is sent; answers as told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sent: list[tuple[Upstream, bytes]] = []

    async def send(self, upstream: Upstream, request: bytes) -> Any:
        self.sent.append((upstream, request))
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is None:
            await asyncio.get_running_loop().create_future()
        return self.answer


def get(answer: Any, url: str = URL) -> Any:
    return asyncio.run(Fetcher(Wire(answer).send).get(url, Way()))


def test_a_get() -> None:
    wire = Wire(FakeAnswer(body=b'{"a":1}', cache_control=b"public, max-age=300"))
    fetched = asyncio.run(Fetcher(wire.send).get(URL, Way(ca="/ca.pem", proxy="http://proxy:3128")))
    assert (fetched.document, fetched.body, fetched.max_age_s) == ({"a": 1}, b'{"a":1}', 300.0)
    [(upstream, request)] = wire.sent
    lines = request.split(b"\r\n")
    assert lines[0] == b"GET /keys?p=a%20b HTTP/1.1"
    assert b"host: login.example:8443" in lines
    assert b"accept: application/json" in lines
    assert lines[-2:] == [b"", b""]
    assert not any(line.startswith((b"content-type", b"authorization")) for line in lines)
    origin = upstream.origin
    assert (origin.tls, origin.host, origin.port, origin.proxy) == (True, "login.example", 8443, "proxy:3128")
    assert origin.verify.ca == "/ca.pem"


def test_a_post_with_name_and_password() -> None:
    wire = Wire(FakeAnswer())
    form = {"token": "a b&c=d", "token_type_hint": "access_token"}
    asyncio.run(Fetcher(wire.send).post("https://as.example", Way(), form, "gate way", Secret("p:w+%")))
    [(upstream, request)] = wire.sent
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST / HTTP/1.1"
    assert b"content-type: application/x-www-form-urlencoded" in lines
    assert b"content-length: %d" % len(body) in lines
    assert b"authorization: Basic " + b64encode(b"gate+way:p%3Aw%2B%25") in lines
    assert body == b"token=a+b%26c%3Dd&token_type_hint=access_token"
    assert "p:w" not in repr(upstream)


def test_addresses_are_kept_to_a_number() -> None:
    async def inside() -> None:
        wire = Wire(FakeAnswer())
        fetcher = Fetcher(wire.send)
        for number in range(600):
            await fetcher.get(f"https://login.example/{number}", Way())
        assert len(fetcher._upstreams) <= 256
        await fetcher.get("https://login.example/599", Way())
        assert wire.sent[-1][0] is wire.sent[-2][0], "made once"

    asyncio.run(inside())


def test_an_address_that_cannot_be_used() -> None:
    with pytest.raises(FetchFailed, match=r"'http://10\.0\.0\.1/' cannot be used: it is not https"):
        get(FakeAnswer(), "http://10.0.0.1/")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (FakeAnswer(302, location=b"https://evil.example"), "redirects"),
        (FakeAnswer(500), "status 500"),
        (FakeAnswer(204, b""), "status 204"),
        (FakeAnswer(body=b"<html>"), "not JSON"),
        (FakeAnswer(body=b"\xff"), "not JSON"),
        (FakeAnswer(body=b"[" * 100_000), "not JSON"),
        (FakeAnswer(body=b" " * MAX_BODY_BYTES + b"{}"), "more than 1 MiB"),
        (GatewayError(Kind.UPSTREAM_TIMEOUT, "No answer in time."), "No answer in time"),
    ],
)
def test_answers_that_are_not_taken(answer: Any, message: str) -> None:
    with pytest.raises(FetchFailed, match=f"login.example.*{message}"):
        get(answer)


def test_a_stream_is_closed() -> None:
    answer = FakeAnswer(body=None)
    with pytest.raises(FetchFailed, match="stream"):
        get(answer)
    assert answer.aborted


def test_an_answer_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "TOTAL_S", 0.001)
    with pytest.raises(FetchFailed, match="took longer"):
        get(None)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"max-age=60", 60.0),
        (b'Public, Max-Age="60", must-revalidate', 60.0),
        (b"no-store", 0.0),
        (b"no-cache", 0.0),
        (b"max-age=-1", None),
        (b"max-age=", None),
        (b"max-age=9999999999999999", None),
        (b"private", None),
    ],
)
def test_how_long_a_document_may_be_kept(value: bytes, seconds: float | None) -> None:
    assert get(FakeAnswer(cache_control=value)).max_age_s == seconds
