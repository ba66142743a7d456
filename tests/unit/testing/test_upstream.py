"""ScriptedUpstream: picks the right script, records what came, counts what went."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest
import trustme

from gatewright.testing import answers
from gatewright.testing.client import PeerClosed, RawClient
from gatewright.testing.steps import Close, Repeat, Reset, Send
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

BODY = b'{"model":"m","messages":[]}'
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


def _client(upstream: ScriptedUpstream) -> RawClient:
    return RawClient((upstream.host, upstream.port), timeout_s=2)


def test_it_is_a_healthy_provider_until_told_otherwise() -> None:
    with ScriptedUpstream() as upstream, _client(upstream) as client:
        assert upstream.url == f"http://127.0.0.1:{upstream.port}/v1"
        assert client.send(REQUEST).receive().json()["choices"][0]["message"]["content"] == answers.TEXT
        upstream.next(*answers.reply(503, b"{}"))
        assert [client.send(REQUEST).receive().status for _ in range(2)] == [503, 200]
        upstream.always(answers.reply(429, b"{}"))
        assert client.send(REQUEST).receive().status == 429
        upstream.always(lambda request: answers.reply(200, request.raw))
        assert client.send(REQUEST).receive().body == REQUEST
        assert [request.raw for request in upstream.requests] == [REQUEST] * 5
        assert [connection.requests for connection in upstream.connections] == [5]
        upstream.reset()
        assert upstream.requests == []
        assert client.send(REQUEST).receive().status == 200
        assert upstream.open_connections == 1
        assert upstream.errors == []


def test_a_greeting_comes_before_any_request() -> None:
    with ScriptedUpstream() as upstream:
        upstream.greet(Send(b"SSH-2.0-x\r\n"), Close())
        with _client(upstream) as client:
            assert client.receive_bytes() == b"SSH-2.0-x\r\n"
        upstream.greet(Reset())
        # On a busy machine the reset comes before connecting is over.
        with pytest.raises((PeerClosed, ConnectionResetError)), _client(upstream) as client:
            client.send(REQUEST).receive()
        upstream.wait_for(lambda: upstream.open_connections == 0)


def test_wrong_bytes_and_wrong_scripts_show_as_errors() -> None:
    with ScriptedUpstream() as upstream:
        with _client(upstream) as client:
            assert client.send(b"nonsense\r\n\r\n").is_closed()
        with _client(upstream) as client:
            upstream.always(lambda request: [Send(b"x"), 5])  # type: ignore[list-item]
            assert client.send(REQUEST).receive_bytes() == b"x"
        upstream.wait_for(lambda: len(upstream.errors) == 2)
        assert "not a request line" in upstream.errors[0]
        assert "the script failed" in upstream.errors[1]


def test_waiting_for_what_does_not_happen_ends() -> None:
    with ScriptedUpstream() as upstream, pytest.raises(TimeoutError, match="0 requests on 0 connections"):
        upstream.wait_for(lambda: upstream.requests, 0.03)


def test_a_stopped_upstream_refuses_and_starts_again_on_its_port() -> None:
    upstream = ScriptedUpstream()
    with upstream:
        client = _client(upstream)
    with client:
        assert client.is_closed()
    with pytest.raises(ConnectionRefusedError):
        _client(upstream)
    with upstream, _client(upstream) as again:
        assert again.send(REQUEST).receive().status == 200


def test_a_port_in_use_is_reported() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match="in use"):
            ScriptedUpstream(port=taken.getsockname()[1]).start()


def test_it_speaks_tls() -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    with ScriptedUpstream(tls=server) as upstream:
        assert upstream.url.startswith("https://")
        with RawClient((upstream.host, upstream.port), tls=client) as trusted:
            assert trusted.send(REQUEST).receive().status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            RawClient((upstream.host, upstream.port), tls=client, server_name="other.test")
        upstream.wait_for(lambda: upstream.errors)
        assert "handshake" in upstream.errors[0]


def test_a_reader_that_stops_stops_the_count_of_sent_bytes() -> None:
    with ScriptedUpstream(send_buffer=16_384) as upstream:
        upstream.always((Send(answers.render_head(200, [("connection", "close")])), Repeat(b"x" * 4096)))
        with RawClient((upstream.host, upstream.port), receive_buffer=16_384) as client:
            client.send(REQUEST).receive_head()
            last, deadline = -1, time.monotonic() + 5
            while (now := upstream.connections[0].sent_bytes) != last:
                last = now
                threading.Event().wait(0.1)
                assert time.monotonic() < deadline
            assert 0 < last < 1_000_000
        upstream.wait_for(lambda: upstream.connections[0].left_s is not None)
