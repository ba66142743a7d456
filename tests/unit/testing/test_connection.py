"""One connection of the scripted upstream plays each step as written."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gatewright.testing import answers
from gatewright.testing.client import PeerClosed, RawClient
from gatewright.testing.steps import Close, Deaf, HalfClose, Pause, Repeat, Reset, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

REQUEST = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"


@contextmanager
def _play(*steps: Step) -> Iterator[tuple[ScriptedUpstream, RawClient]]:
    with ScriptedUpstream() as upstream:
        upstream.next(*steps)
        with RawClient((upstream.host, upstream.port), timeout_s=2) as client:
            yield upstream, client.send(REQUEST)


def test_steps_are_played_in_order() -> None:
    with _play(Send(b"a"), Repeat(b"bc", 2), Pause(0.001), Send(b"d" * 70_000), Close()) as (upstream, client):
        assert client.receive_bytes() == b"abcbc" + b"d" * 70_000
        assert upstream.connections[0].sent_bytes == 70_005


def test_close_after_an_incomplete_head() -> None:
    with _play(Send(b"HTTP/1.1 200 OK\r\n"), Close()) as (_, client), pytest.raises(PeerClosed) as closed:
        client.receive()
    assert closed.value.partial == b"HTTP/1.1 200 OK\r\n"


def test_reset_is_a_reset() -> None:
    with _play(Reset()) as (_, client), pytest.raises(ConnectionResetError):
        client.socket.recv(1)


def test_half_close_ends_the_answer_but_not_the_connection() -> None:
    with _play(Send(b"a"), HalfClose(), Stall()) as (upstream, client):
        assert client.receive_bytes() == b"a"
        assert upstream.open_connections == 1
        assert upstream.connections[0].left_s is None


def test_a_pause_lasts_until_its_event() -> None:
    gate = threading.Event()
    with _play(Pause(gate), *answers.reply(204)) as (_, client):
        assert not client.is_closed(0.05)
        gate.set()
        assert client.receive("GET").status == 204


@pytest.mark.parametrize("step", [Stall(), Pause(60.0), Pause(threading.Event()), Repeat(b"x")])
def test_a_peer_that_leaves_ends_the_script_and_is_timed(step: Step) -> None:
    with _play(step) as (upstream, client):
        upstream.wait_for(lambda: upstream.requests)
        left_s = time.monotonic()
        client.close()
        upstream.wait_for(lambda: upstream.open_connections == 0)
        recorded_s = upstream.connections[0].left_s
        assert recorded_s is not None
        assert recorded_s - left_s < 1


def test_a_deaf_connection_takes_only_what_the_kernel_holds() -> None:
    with ScriptedUpstream() as upstream:
        upstream.greet(Deaf(), Stall())
        with RawClient((upstream.host, upstream.port), timeout_s=0.3) as client, pytest.raises(TimeoutError):
            client.send(b"x" * 64_000_000)
        assert upstream.requests == []


def test_requests_carry_their_connection_and_time() -> None:
    before_s = time.monotonic()
    with _play(*answers.reply(200, b"{}")) as (upstream, client):
        client.receive("GET")
        (request,) = upstream.requests
        assert request.connection == 1
        assert before_s < request.at_s < time.monotonic()
