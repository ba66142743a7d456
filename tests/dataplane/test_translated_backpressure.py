"""Slow readers, clients that leave and reloads, while streams are translated: all holds that holds without translation.

Besides what is passed through, a translated stream has a decoder, a sequencer and an encoder, each of which could keep
something back, and an upstream whose bytes are not the client's.
"""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import client_dialects
import msgspec
import pytest
import vendors
from client_dialects import Client
from suite import build_config, run_gateway
from vendors import Vendor

from gatewright.testing import answers
from gatewright.testing.client import RawClient
from gatewright.testing.connection import Connection
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.received import Received
from gatewright.testing.steps import Pause, Repeat, Send, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

STALLED = 100
STALLED_BYTES = 1_000_000
"""What the worker may hold for each stalled client, kernel buffers apart, before a provider that floods."""
BUFFERED_BYTES = 64_000_000
"""More than fills all buffers between a provider and a client that reads nothing, the kernel's as well. Words that come
together leave together, so it may take a multiple of what the client would get."""
HELD_BYTES = 24_000_000
"""What of it the worker may hold, with all that one busy stream makes an allocator keep."""
CANCEL_S = 0.1
STREAMS = 200
FAR = {"receive_buffer": 4_096, "segment_bytes": 1_400}
"""What makes the kernel buffer little for a client."""
FIRST = {
    vendor.name: next(index for index, event in enumerate(vendor.events) if b"Hello" in event)
    for vendor in vendors.VENDORS
}
"""The first event of each vendor's stream that holds text."""
PAIRS: list[tuple[Client, Vendor]] = [
    (client_dialects.ANTHROPIC, vendors.OPENAI),
    (client_dialects.RESPONSES, vendors.OPENAI),
    (client_dialects.OLLAMA, vendors.OPENAI),
    (client_dialects.OPENAI, vendors.BEDROCK),
    (client_dialects.BEDROCK, vendors.ANTHROPIC),
    (client_dialects.GOOGLE, vendors.ANTHROPIC),
    (client_dialects.OPENAI, vendors.GEMINI),
]
each_pair = pytest.mark.parametrize(
    ("client", "vendor"), PAIRS, ids=[f"{client.dialect}-{vendor.name}" for client, vendor in PAIRS]
)


@pytest.fixture(scope="module")
def provider() -> Iterator[ScriptedUpstream]:
    """A server that plays every provider, with small buffers, so that a pause reaches it soon."""
    with ScriptedUpstream(send_buffer=32_768) as running:
        yield running


def _config(provider: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    root = provider.url.removesuffix("/v1")
    names = [vendor.name for vendor in vendors.VENDORS]
    return build_config(
        {
            vendor.name: {"type": vendor.name, "url": f"{root}/{vendor.name}{vendor.root}", "max_connections": 1_000}
            for vendor in vendors.VENDORS
        },
        {name: {"targets": [{"provider": name, "model": "up"}]} for name in names},
        **more,
    )


@pytest.fixture(scope="module")
def gateway(provider: ScriptedUpstream) -> Iterator[GatewayProcess]:
    with run_gateway(_config(provider)) as running:
        yield running


@pytest.fixture
def upstream(provider: ScriptedUpstream) -> Iterator[ScriptedUpstream]:
    """The provider, healthy, with nothing of the test before."""
    provider.reset()
    provider.always(_play_well)
    yield provider
    assert provider.errors == []


def _vendor_of(request: Received) -> Vendor:
    name = request.target.split("/")[1]
    return next(vendor for vendor in vendors.VENDORS if vendor.name == name)


def _play_well(request: Received) -> tuple[Step, ...]:
    return _vendor_of(request).play(request)


def _begun(vendor: Vendor) -> Send:
    """The beginning of a stream, and its first words."""
    return Send(vendor.head() + b"".join(map(answers.chunk, vendor.events[: FIRST[vendor.name] + 1])))


def _endless(vendor: Vendor, times: int | None = None) -> tuple[Step, ...]:
    return _begun(vendor), Repeat(answers.chunk(vendor.events[FIRST[vendor.name]] * 16), times), Stall()


def _wait_until_still(count: Callable[[], int], for_s: float = 0.3, timeout_s: float = 20.0) -> int:
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


def _carrier(upstream: ScriptedUpstream) -> Connection:
    """The connection that the last request came on."""
    number = upstream.requests[-1].connection
    return next(connection for connection in upstream.connections if connection.number == number)


def _assert_served(gateway: GatewayProcess, client: Client, vendor: Vendor) -> None:
    with gateway.connect() as connection:
        seen = client.read(connection.send(client.render(vendor.name, stream=True)).receive(), stream=True)
    assert (seen.text, seen.error, seen.is_finished) == (vendors.TEXT, None, True)


@each_pair
def test_a_client_that_stops_reading_pauses_its_provider(
    client: Client, vendor: Vendor, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    upstream.next(*_endless(vendor))
    before = _resident(gateway)
    with gateway.connect(receive_buffer=16_384) as connection:
        assert connection.send(client.render(vendor.name, stream=True)).receive_head().status == 200
        carrier = _carrier(upstream)
        held = _wait_until_still(lambda: carrier.sent_bytes)
        assert held < BUFFERED_BYTES
        assert _resident(gateway) - before < HELD_BYTES
        _assert_served(gateway, client, vendor)
        deadline_s = time.monotonic() + 10
        while carrier.sent_bytes <= held:  # what is buffered on the way comes first
            connection.receive_bytes(b"\r\n")
            assert time.monotonic() < deadline_s, "it does not go on though the client reads on"
    upstream.wait_for(lambda: carrier.left_s is not None)


@pytest.mark.parametrize(
    ("client", "vendor"), [PAIRS[0], PAIRS[4]], ids=["anthropic.messages-openai", "bedrock.converse-anthropic"]
)
def test_stalled_clients_do_not_grow_the_gateway(
    client: Client, vendor: Vendor, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    before = _resident(gateway)
    upstream.always(lambda request: _endless(vendor, 400) if b"flood" in request.body else _play_well(request))
    with ExitStack() as stack:
        clients = [stack.enter_context(gateway.connect(timeout_s=20, **FAR)) for _ in range(STALLED)]
        for connection in clients:
            connection.send(client.render(vendor.name, "flood", stream=True))
        for connection in clients:
            assert connection.receive_head().status == 200
        _wait_until_still(lambda: _sent(upstream))
        _assert_served(gateway, client, vendor)
        grown = _resident(gateway) - before
        assert grown < STALLED * STALLED_BYTES, f"{grown / STALLED:.0f} bytes for each stalled client"
    upstream.wait_for(lambda: upstream.open_connections <= 1, 20)


@pytest.mark.parametrize(
    ("client", "vendor"), PAIRS[::2], ids=[f"{client.dialect}-{vendor.name}" for client, vendor in PAIRS[::2]]
)
@pytest.mark.parametrize("kind", ["whole", "stream not begun", "stream held", "stream begun", "stream paused"])
def test_a_client_that_leaves_cancels_its_call(
    kind: str, client: Client, vendor: Vendor, gateway: GatewayProcess, upstream: ScriptedUpstream
) -> None:
    # Held is what says nothing yet: the head, and events that an honest error could still follow.
    held = Send(vendor.head() + b"".join(map(answers.chunk, vendor.events[: vendor.begun_after - 1])))
    scripts: dict[str, tuple[Step, ...]] = {
        "stream held": (held, Stall()),
        "stream begun": (_begun(vendor), Stall()),
        "stream paused": _endless(vendor),
    }
    delays: list[float] = []
    for _ in range(3):
        upstream.reset()
        upstream.next(*scripts.get(kind, (Stall(),)))
        with closing(gateway.connect(receive_buffer=16_384)) as connection:
            connection.send(client.render(vendor.name, stream=kind != "whole"))
            upstream.wait_for(lambda: upstream.requests)
            carrier = _carrier(upstream)
            if kind == "stream begun":
                _receive_word(connection)
            elif kind == "stream held":
                upstream.wait_for(lambda carrier=carrier: carrier.sent_bytes)  # type: ignore[misc]
            elif kind == "stream paused":
                _wait_until_still(lambda carrier=carrier: carrier.sent_bytes, for_s=0.1)  # type: ignore[misc]
            left_s = time.monotonic()
        upstream.wait_for(lambda carrier=carrier: carrier.left_s is not None)  # type: ignore[misc]
        assert carrier.left_s is not None
        delays.append(carrier.left_s - left_s)
    assert statistics.median(delays) < CANCEL_S, delays


def _receive_word(connection: RawClient) -> None:
    connection.receive_head()
    connection.receive_bytes(b"Hello")


def test_a_client_that_left_is_in_the_access_log(gateway: GatewayProcess, upstream: ScriptedUpstream) -> None:
    upstream.next(_begun(vendors.ANTHROPIC), Stall())
    with gateway.connect() as connection:
        connection.send(client_dialects.BEDROCK.render("anthropic", stream=True))
        exchange = connection.receive_head().header("x-request-id")
        connection.receive_bytes(b"Hello")
    gateway.wait_for(lambda: any(line["id"] == exchange for line in gateway.access_log()))
    (line,) = [line for line in gateway.access_log() if line["id"] == exchange]
    assert (line["kind"], line["status"]) == ("disconnected", 200)


def test_translated_streams_survive_a_reload(provider: ScriptedUpstream) -> None:
    gate = threading.Event()

    def play(request: Received) -> tuple[Step, ...]:
        vendor = _vendor_of(request)
        rest = b"".join(map(answers.chunk, vendor.events[FIRST[vendor.name] + 1 :]))
        return _begun(vendor), Pause(gate), Send(rest + answers.LAST_CHUNK)

    provider.reset()
    provider.always(play)
    with ExitStack() as stack:
        gateway = stack.enter_context(run_gateway(_config(provider)))
        stack.callback(gate.set)
        streams: list[tuple[Client, RawClient]] = []
        for index in range(STREAMS):
            client, vendor = PAIRS[index % len(PAIRS)]
            connection = stack.enter_context(gateway.connect(timeout_s=20))
            streams.append((client, connection.send(client.render(vendor.name, stream=True))))
        provider.wait_for(lambda: len(provider.requests) == STREAMS, 20)
        # Another provider stands behind every model now, and what has begun goes on with its own.
        gateway.write_config({**_config(provider, limits={"connections": 900}), "models": _moved()})
        gateway.signal(signal.SIGHUP)
        gateway.wait_for(lambda: msgspec.json.decode(gateway.admin("/readyz")[1])["version"] == 2, 20)
        gate.set()
        for client, connection in streams:
            seen = client.read(connection.receive(), stream=True)
            assert (seen.text, seen.error, seen.is_finished) == (vendors.TEXT, None, True), client.dialect
        client, connection = streams[0]
        moved = client.read(connection.send(client.render("openai_compatible", stream=True)).receive(), stream=True)
        assert moved.text == vendors.TEXT
    assert provider.requests[-1].target.startswith("/bedrock/")


def _moved() -> dict[str, Any]:
    return {vendor.name: {"targets": [{"provider": "bedrock", "model": "moved"}]} for vendor in vendors.VENDORS}
