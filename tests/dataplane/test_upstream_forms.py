"""Every form an answer may take on its way in, and every form a client may ask for it in."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from suite import AUTH, build_config, render_chat, run_gateway

from gatewright.testing import answers
from gatewright.testing.answers import Framing, sse
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.steps import Close, Send, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

PAGE = "https://page.test"
EVENTS = [*answers.chat_chunks("m"), b"[DONE]"]
TEXT = b"".join(map(sse, EVENTS))
ORIGIN = f"Origin: {PAGE}\r\n".encode()


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream) -> Iterator[GatewayProcess]:
    config = build_config(
        {"up": {"url": upstream.url}}, {"m": {"targets": [{"provider": "up"}]}}, cors={"origins": [PAGE]}
    )
    with run_gateway(config) as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(upstream: ScriptedUpstream) -> None:
    upstream.reset()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("interim", [(), (100,), (102, 103, 103)])
def test_a_whole_answer(
    gateway: GatewayProcess, upstream: ScriptedUpstream, framing: Framing, zipped: bool, interim: tuple[int, ...]
) -> None:
    body = answers.chat_completion("m")
    upstream.next(*answers.reply(200, body, framing=framing, gzip=zipped, interim=interim))
    with gateway.connect() as client:
        answer = client.send(render_chat("m")).receive()
        assert (answer.status, answer.body, answer.interim) == (200, body, ())
        assert answer.header("content-length") == str(len(body))
        assert answer.header("content-encoding") is None
        assert client.send(render_chat("m")).receive().status == 200
    used = [request.connection for request in upstream.requests]
    assert len(used) == 2
    assert (used[0] == used[1]) is (framing != "close"), "kept exactly when it can be"


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_a_stream(gateway: GatewayProcess, upstream: ScriptedUpstream, framing: Framing) -> None:
    upstream.next(*answers.stream(EVENTS[:-1], framing=framing))
    with gateway.connect() as client:
        answer = client.send(render_chat("m", stream=True)).receive()
        assert (answer.status, answer.body) == (200, TEXT)
        assert answer.header("transfer-encoding") == "chunked"
        assert client.send(render_chat("m")).receive().status == 200


@pytest.mark.parametrize("chunked", [True, False])
def test_a_compressed_stream(gateway: GatewayProcess, upstream: ScriptedUpstream, chunked: bool) -> None:
    packed = gzip.compress(TEXT)
    head = [*answers.STREAM_HEADERS, ("content-encoding", "gzip")]
    head.append(("transfer-encoding", "chunked") if chunked else ("connection", "close"))
    pieces = [packed[at : at + 40] for at in range(0, len(packed), 40)]
    steps: list[Step] = [Send(answers.render_head(200, head))]
    steps += [Send(answers.chunk(piece) if chunked else piece) for piece in pieces]
    upstream.next(*steps, Send(answers.LAST_CHUNK) if chunked else Close())
    with gateway.connect() as client:
        answer = client.send(render_chat("m", stream=True)).receive()
        assert (answer.status, answer.body) == (200, TEXT)
        assert answer.header("content-encoding") is None


def as_http10(call: bytes) -> bytes:
    return call.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_a_plain_answer_for_http10(gateway: GatewayProcess, keep_alive: bool) -> None:
    call = as_http10(render_chat("m"))
    if keep_alive:
        call = call.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1)
    with gateway.connect() as client:
        answer = client.send(call).receive()
        assert answer.status == 200
        assert answer.header("transfer-encoding") is None
        assert answer.json()["choices"]
        if not keep_alive:
            assert answer.header("connection") == "close"
            assert client.is_closed()


def test_a_stream_for_http10_ends_with_the_connection(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.next(*answers.stream(EVENTS[:-1]))
    with gateway.connect() as client:
        client.send(as_http10(render_chat("m", stream=True)))
        head = client.receive_head()
        assert head.status == 200
        assert head.header("transfer-encoding") is None
        assert head.header("connection") == "close"
        assert client.receive_bytes() == TEXT


def test_a_body_is_sent_when_it_is_asked_for(gateway: GatewayProcess) -> None:
    head, _, body = render_chat("m").partition(b"\r\n\r\n")
    with gateway.connect() as client:
        client.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert client.receive_bytes(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert client.send(body).receive().status == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(gateway: GatewayProcess) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + AUTH
    with gateway.connect() as client:
        answer = client.send(head + b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n").receive()
        assert (answer.status, answer.interim) == (413, ())


@pytest.mark.parametrize(("path", "status"), [(b"/v1/models", 405), (b"/v1/chat/completions", 405), (b"/none", 404)])
def test_head_has_no_body(gateway: GatewayProcess, path: bytes, status: int) -> None:
    with gateway.connect() as client:
        for _ in range(2):
            answer = client.send(b"HEAD %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (path, AUTH)).receive("HEAD")
            assert answer.status == status
            assert int(answer.header("content-length") or 0) > 0


def preflight(origin: bytes) -> bytes:
    return (
        b"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: a\r\n" + origin + b"Access-Control-Request-Method: POST\r\n"
        b"Access-Control-Request-Headers: authorization, x-stainless-os\r\n\r\n"
    )


def allowed(answer: Any) -> str | None:
    found: str | None = answer.header("access-control-allow-origin")
    return found


def test_browser_pages(gateway: GatewayProcess) -> None:
    with gateway.connect() as client:
        asked = client.send(preflight(ORIGIN)).receive("OPTIONS")
        assert (asked.status, asked.body, allowed(asked)) == (204, b"", PAGE)
        assert asked.header("access-control-allow-headers") == "authorization, x-stainless-os"
        assert asked.header("content-length") is None
        call = render_chat("m").replace(b"\r\n", b"\r\n" + ORIGIN, 1)
        assert allowed(client.send(call).receive()) == PAGE
        streamed = render_chat("m", stream=True).replace(b"\r\n", b"\r\n" + ORIGIN, 1)
        assert allowed(client.send(streamed).receive()) == PAGE
        assert allowed(client.send(b"GET /none HTTP/1.1\r\nHost: a\r\n" + ORIGIN + b"\r\n").receive()) == PAGE
        evil = client.send(preflight(b"Origin: https://evil.test\r\n")).receive("OPTIONS")
        assert (evil.status, allowed(evil)) == (405, None)
        assert allowed(client.send(render_chat("m")).receive()) is None
