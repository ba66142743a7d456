"""Slow readers and clients that leave: bounded memory, paused and cancelled upstreams, and limits that hold."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest
from suite import build_config, check_error, render_call, render_chat, run_gateway

from gatewright.testing import answers
from gatewright.testing.client import RawClient
from gatewright.testing.connection import Connection
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.steps import Pause, Repeat, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

STALLED = 1_000
STALLED_BYTES = 600_000
"""What the worker may hold for each stalled client, kernel buffers apart: one read beyond the mark at which it pauses.

This is the worst case, a provider that floods; a model that writes one token after the other fills far less."""
BUFFERED_BYTES = 16_000_000
"""More than all buffers between a provider and a client that reads nothing, the kernel's included."""
CANCEL_S = 0.1
FAR = {"receive_buffer": 4_096, "segment_bytes": 1_400}
"""What makes the kernel buffer little for a client."""

EVENT = answers.sse(answers.chat_chunks(words=["x" * 4_000])[1])
HEAD = Send(answers.render_head(200, [*answers.STREAM_HEADERS, ("transfer-encoding", "chunked")]))
FLOOD: tuple[Step, ...] = (HEAD, Repeat(answers.chunk(EVENT * 8), 25), Stall())
"""More than a stalled client takes, sent in few writes."""
ENDLESS: tuple[Step, ...] = (HEAD, Repeat(answers.chunk(EVENT)))
BEGUN: tuple[Step, ...] = (HEAD, Send(answers.chunk(EVENT)), Stall())


@pytest.fixture(scope="module", autouse=True)
def _many_files() -> Iterator[None]:
    """The suite holds both ends of a thousand streams."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedUpstream]:
    """A provider with small buffers, so that a pause reaches it soon."""
    with ScriptedUpstream(send_buffer=32_768) as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: ScriptedUpstream) -> Iterator[GatewayProcess]:
    """A gateway as it comes, but for room in its pool and a connection limit it meets in a test."""
    config = build_config(
        {"scripted": {"url": provider.url, "max_connections": 2 * STALLED, "timeouts": {"connect_s": 30}}},
        {"m": {"targets": [{"provider": "scripted", "model": "scripted-1"}]}},
    )
    with run_gateway(config) as running:
        yield running


@pytest.fixture
def upstream(provider: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The provider, healthy, with nothing of the test before; afterwards nobody is left on it."""
    provider.reset()
    yield provider
    provider.wait_for(lambda: all(c.left_s is not None or c.requests for c in provider.connections))
    assert provider.errors == []


def _wait_until_still(count: Callable[[], int], for_s: float = 0.3, timeout_s: float = 20.0) -> int:
    """Wait until a count has not changed for a while, and give it."""
    last, since_s, deadline_s = count(), time.monotonic(), time.monotonic() + timeout_s
    while time.monotonic() - since_s < for_s:
        time.sleep(0.02)
        if (now := count()) != last:
            last, since_s = now, time.monotonic()
        assert time.monotonic() < deadline_s, f"still moving at {last}"
    return last


def _sent(upstream: ScriptedUpstream) -> int:
    return sum(connection.sent_bytes for connection in upstream.connections)


def _resident(gateway: GatewayProcess) -> int:
    return sum(worker.resident_bytes for worker in gateway.workers())


# Slow readers.


def test_a_client_that_stops_reading_pauses_its_provider(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.next(*ENDLESS)
    with gateway.connect(receive_buffer=16_384) as client:
        assert client.send(render_chat("m", stream=True)).receive_head().status == 200
        upstream.wait_for(lambda: upstream.connections)
        held = _wait_until_still(lambda: _sent(upstream))
        assert held < BUFFERED_BYTES
        for _ in range(2_000):
            client.receive_bytes(b"\n\n")
        upstream.wait_for(lambda: _sent(upstream) > held + 1_000_000)
        held = _wait_until_still(lambda: _sent(upstream))
        assert held < 2_000 * len(EVENT) + BUFFERED_BYTES
        with gateway.connect() as other:
            assert other.send(render_chat("m")).receive().status == 200
    upstream.wait_for(lambda: upstream.connections[0].left_s is not None)


def test_a_thousand_stalled_clients_do_not_grow_the_gateway(
    gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    before = _resident(gateway)
    upstream.always(lambda request: FLOOD if request.json().get("stream") else answers.as_openai(request))
    with ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect(timeout_s=20, **FAR)) for _ in range(STALLED)]
        for client in clients:
            client.send(render_chat("m", stream=True))
        for client in clients:
            assert client.receive_head().status == 200
        _wait_until_still(lambda: _sent(upstream))
        grown = _resident(gateway) - before
        assert grown < STALLED * STALLED_BYTES, f"{grown / STALLED:.0f} bytes for each stalled client"
        with gateway.connect() as other:
            started_s = time.monotonic()
            assert other.send(render_chat("m")).receive().status == 200
            assert time.monotonic() - started_s < 5, "it waits behind those that stall"
        assert _resident(gateway) - before < STALLED * STALLED_BYTES
    upstream.wait_for(lambda: upstream.open_connections <= 1, 20)


def test_a_large_answer_reaches_a_slow_reader_whole(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    body = answers.chat_completion(text="long " * 400_000)
    upstream.next(*answers.reply(200, body, framing="chunked"))
    with gateway.connect(receive_buffer=65_536) as client:
        client.send(render_chat("m"))
        time.sleep(0.2)
        answer = client.receive()
        assert answer.json()["choices"][0]["message"]["content"] == "long " * 400_000


def test_a_long_stream_reaches_a_slow_reader_whole(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    events = answers.chat_chunks(words=["word "] * 20_000)
    upstream.next(*answers.stream(events))
    with gateway.connect(receive_buffer=65_536) as client:
        client.send(render_chat("m", stream=True))
        time.sleep(0.2)
        answer = client.receive()
        assert answer.body.count(b'"word "') == 20_000
        assert answer.body.endswith(b"data: [DONE]\n\n")
        assert client.send(render_chat("m")).receive().status == 200


def test_large_calls_do_not_hold_up_small_ones(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    large = render_call({"model": "m", "messages": [], "padding": "x" * 15_000_000})

    def call_large() -> int:
        with gateway.connect(timeout_s=20) as client:
            return client.send(large).receive().status

    with ThreadPoolExecutor(3) as others, gateway.connect() as client:
        running = [others.submit(call_large) for _ in range(6)]
        times: list[float] = []
        while not all(call.done() for call in running):
            started_s = time.monotonic()
            assert client.send(render_chat("m")).receive().status == 200
            times.append(time.monotonic() - started_s)
        assert [call.result() for call in running] == [200] * 6
    assert statistics.median(times) < 0.2


# Clients that leave.


def _begun(client: RawClient) -> None:
    client.receive_head()
    client.receive_bytes(b"\n\n")


def _carrier(upstream: ScriptedUpstream) -> Connection:
    """The connection that the last request came on."""
    number = upstream.requests[-1].connection
    return next(connection for connection in upstream.connections if connection.number == number)


def _wait_until_left(upstream: ScriptedUpstream, connection: Connection) -> float:
    upstream.wait_for(lambda: connection.left_s is not None)
    assert connection.left_s is not None
    return connection.left_s


@pytest.mark.parametrize("leave", ["close", "reset", "half_close"])
@pytest.mark.parametrize("kind", ["whole", "stream not begun", "stream begun", "stream paused"])
def test_a_client_that_leaves_cancels_its_call(
    kind: str, leave: str, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    steps = {"stream begun": BEGUN, "stream paused": ENDLESS}.get(kind, (Stall(),))
    delays: list[float] = []
    for _ in range(5):
        upstream.reset()
        upstream.next(*steps)
        with closing(gateway.connect(receive_buffer=16_384)) as client:
            client.send(render_chat("m", stream=kind != "whole"))
            upstream.wait_for(lambda: upstream.requests)
            if kind == "stream begun":
                _begun(client)
            elif kind == "stream paused":
                _wait_until_still(lambda: _sent(upstream), for_s=0.1)
            carrier = _carrier(upstream)
            left_s = time.monotonic()
            getattr(client, leave)()
            if kind == "stream paused" and leave == "half_close":
                # Its FIN is behind nothing, but a paused client is noticed only when it is gone.
                client.close()
            delays.append(_wait_until_left(upstream, carrier) - left_s)
    assert statistics.median(delays) < CANCEL_S, delays


def test_a_client_that_left_is_in_the_access_log(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.next(*BEGUN)
    with gateway.connect() as client:
        answer = client.send(render_chat("m", stream=True)).receive_head()
    exchange = answer.header("x-request-id")
    gateway.wait_for(lambda: any(line["id"] == exchange for line in gateway.access_log()))
    (line,) = [line for line in gateway.access_log() if line["id"] == exchange]
    assert line["kind"] == "disconnected"
    assert upstream.requests


def test_many_clients_that_leave_at_once_leave_nothing_behind(
    gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    upstream.always(BEGUN)
    with ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect()) for _ in range(200)]
        for client in clients:
            client.send(render_chat("m", stream=True))
        for client in clients:
            _begun(client)
    upstream.wait_for(lambda: upstream.open_connections == 0, 5)
    upstream.reset()
    with gateway.connect() as client:
        assert client.send(render_chat("m")).receive().status == 200


# Limits.


@pytest.fixture(scope="module")
def small(provider: ScriptedUpstream) -> Iterator[GatewayProcess]:
    """A gateway that takes little."""
    config = build_config(
        {"scripted": {"url": provider.url}, "narrow": {"url": provider.url, "max_connections": 1}},
        {"m": {"targets": [{"provider": "scripted"}]}, "narrow": {"targets": [{"provider": "narrow"}]}},
        limits={"requests_in_flight": 2, "connections": 10},
        timeouts={"write_stall_s": 0.3},
    )
    with run_gateway(config) as running:
        yield running


def test_beyond_the_requests_in_flight_clients_are_told_to_wait(
    small: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    upstream.always((Pause(0.3), *answers.reply(200, answers.chat_completion())))
    with ExitStack() as stack:
        first, second, third = (stack.enter_context(small.connect()) for _ in range(3))
        first.send(render_chat("m"))
        second.send(render_chat("m"))
        upstream.wait_for(lambda: len(upstream.requests) == 2)
        answer = third.send(render_chat("m")).receive()
        assert (answer.status, check_error(answer)["code"]) == (503, "overloaded")
        assert int(answer.header("retry-after") or 0) >= 1
        assert [client.receive().status for client in (first, second)] == [200, 200]
        assert third.send(render_chat("m")).receive().status == 200


def test_beyond_the_connections_new_ones_are_closed_at_once(small: GatewayProcess, upstream: ScriptedUpstream) -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(small.connect()) for _ in range(10)]
        for client in taken:
            assert client.send(render_chat("m")).receive().status == 200
        with small.connect() as refused:
            assert refused.is_closed()
        taken.pop().close()
        small.wait_for(lambda: _is_served(small))
    assert upstream.requests


def _is_served(gateway: GatewayProcess) -> bool:
    with gateway.connect() as client:
        return not client.is_closed(0.05)


def test_a_client_that_takes_nothing_for_too_long_is_disconnected(
    small: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    small.wait_for(lambda: _is_served(small))
    upstream.next(*ENDLESS)
    with small.connect(receive_buffer=4_096) as client:
        client.send(render_chat("m", stream=True))
        upstream.wait_for(lambda: upstream.connections and upstream.connections[-1].left_s is not None, 5)
        assert client.receive_bytes()


def test_calls_wait_for_a_connection_to_become_free(small: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.next(Pause(0.2), *answers.reply(200, answers.chat_completion()))
    with small.connect() as first, small.connect() as second:
        first.send(render_chat("narrow"))
        upstream.wait_for(lambda: upstream.requests)
        second.send(render_chat("narrow"))
        assert [client.receive().status for client in (first, second)] == [200, 200]
    assert len({request.connection for request in upstream.requests}) == 1
