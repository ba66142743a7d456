"""RawClient reads exactly one answer at a time and notices everything an HTTP server must not do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gatewright.testing import answers
from gatewright.testing.client import PeerClosed, RawClient
from gatewright.testing.steps import Close, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

REQUEST = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as running:
        yield running


def _ask(upstream: ScriptedUpstream, *steps: Step) -> RawClient:
    upstream.next(*steps)
    return RawClient((upstream.host, upstream.port), timeout_s=2).send(REQUEST)


def test_it_reads_each_framing(upstream: ScriptedUpstream) -> None:
    for framing in ("length", "chunked", "close"):
        with _ask(upstream, *answers.reply(200, b"{}", framing=framing)) as client:
            answer = client.receive("GET")
            assert (answer.status, answer.json()) == (200, {})
            assert answer.header("Content-Type") == "application/json"
            assert client.is_closed(0.05) is (framing == "close")


def test_it_reads_pipelined_and_interim_answers(upstream: ScriptedUpstream) -> None:
    with _ask(upstream, Send(b"HTTP/1.1 204 A\r\n\r\nHTTP/1.1 100 B\r\n\r\nHTTP/1.1 304 C\r\nA: b\r\n\r\n")) as client:
        assert client.receive().status == 204
        assert client.receive().interim == (100,)


def test_a_head_answer_has_no_body(upstream: ScriptedUpstream) -> None:
    with _ask(upstream, Send(b"HTTP/1.1 200 A\r\nContent-Length: 5\r\n\r\n")) as client:
        assert client.receive("HEAD").body == b""


@pytest.mark.parametrize(
    "wrong",
    [
        b"HTTP/1.0 200 A\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 A\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 A\r\nA: b\nC: d\r\n\r\n",
        b"HTTP/1.1 200 A\r\nA: b\r\n c\r\n\r\n",
        b"HTTP/1.1 200 A\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 A\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 A\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n",
        b"HTTP/1.1 101 A\r\n\r\n",
    ],
)
def test_a_broken_answer_is_an_error(upstream: ScriptedUpstream, wrong: bytes) -> None:
    with _ask(upstream, Send(wrong), Close()) as client, pytest.raises(ValueError, match=r"."):
        client.receive()


def test_the_end_of_the_connection_is_told_apart(upstream: ScriptedUpstream) -> None:
    with _ask(upstream, Send(b"HTTP/1.1 200 A\r\nContent-Length: 5\r\n\r\nabc"), Close()) as client:
        with pytest.raises(PeerClosed) as closed:
            client.receive()
        assert closed.value.partial == b"abc"
    with _ask(upstream, Stall()) as client:
        assert not client.is_closed(0.02)
    with _ask(upstream, Reset()) as client:
        assert client.is_closed()
    with _ask(upstream, Send(b"x")) as client, pytest.raises(ValueError, match="unexpected bytes"):
        client.is_closed()


def test_a_stream_is_read_piece_by_piece(upstream: ScriptedUpstream) -> None:
    with _ask(upstream, *answers.stream([b"1"], framing="close")) as client:
        assert client.receive_head().status == 200
        assert client.receive_bytes(b"\n\n") == b"data: 1\n\n"
        assert client.receive_bytes() == b"data: [DONE]\n\n"


def test_the_client_can_leave_in_each_way(upstream: ScriptedUpstream) -> None:
    upstream.reset()
    with _ask(upstream, Stall()) as client:
        client.half_close()
        assert client.is_closed()
    client = _ask(upstream, Stall())
    upstream.wait_for(lambda: len(upstream.requests) == 2)
    client.reset()
    upstream.wait_for(lambda: upstream.open_connections == 0)
    assert client.socket.fileno() == -1


def test_sending_to_a_closed_peer_is_silent(upstream: ScriptedUpstream) -> None:
    with _ask(upstream, Reset()) as client:
        assert client.is_closed()
        client.send(b"x" * 100_000, b"y" * 100_000, apart_s=0.01)


def test_an_unreachable_server_raises_and_leaks_nothing() -> None:
    with ScriptedUpstream() as gone:
        pass
    with pytest.raises(ConnectionRefusedError):
        RawClient((gone.host, gone.port))
