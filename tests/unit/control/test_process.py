"""The control process over real sockets: the channel, the telemetry and the admin listener together."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import Awaitable, Callable, Hashable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gatewright.config.documents import Gateway
from gatewright.config.documents import Log as LogSection
from gatewright.config.load import Loaded, load
from gatewright.config.transport import encode
from gatewright.control import process as module
from gatewright.control.access_log import AccessLog
from gatewright.control.process import ControlProcess, resident_bytes
from gatewright.control.reading import Reading
from gatewright.core.messages import (
    Apply,
    Configure,
    FrameParser,
    Message,
    Ready,
    Rejected,
    Reload,
    Roll,
    Status,
    render_frame,
)
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import Batch, Cell, Gauges, Labels

pytestmark = pytest.mark.sockets

LABELS = Labels("chat_completions", "m", "up", "x", 200, "", False)
STATUS = Status(1, 1, 1, [("worker-1", "ready", 10, 0)])


class World:
    """Both ends of everything the control process has."""

    def __init__(self, reading: Reading) -> None:
        self.channel, theirs = socket.socketpair()
        self.telemetry, telemetry = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        admin = socket.create_server(("127.0.0.1", 0))
        self.address = admin.getsockname()
        self.stdout, self._out = os.pipe()
        self.log = io.StringIO()
        self.process = ControlProcess(
            channel=theirs,
            telemetry=telemetry,
            admin=admin,
            reading=reading,
            access_log=AccessLog(self._out, is_terminal=False),
            log=Log("control", stream=self.log),
        )

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection(sock=self.channel)
        self._frames, self._heard = FrameParser(), list[Message]()

    def say(self, message: Message) -> None:
        self.writer.write(render_frame(message))

    async def hear(self) -> Message:
        while not self._heard:
            self._heard += self._frames.feed(await self.reader.read(65_536))
        return self._heard.pop(0)

    async def get(self, path: str) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body

    def report(self, exchanges: int, lines: bytes = b"") -> None:
        self.telemetry.send(msgspec.msgpack.encode(Batch(1, 10, Gauges(3), [Cell(LABELS, exchanges=exchanges)], lines)))

    def close(self) -> None:
        self.telemetry.close()
        os.close(self._out)
        self.printed = os.read(self.stdout, 65_536)
        os.close(self.stdout)


class OneFile:
    """A source whose file is a member."""

    def __init__(self) -> None:
        self.data = b"anonymous: true\n"

    def fingerprint(self) -> Hashable:
        return self.data

    def load(self) -> Loaded:
        return load([("g.yaml", self.data)], lambda scheme, name: None)


def reading_of(source: OneFile) -> Reading:
    return Reading(source, lambda document: document, Log("control", stream=io.StringIO()))


def with_world(body: Callable[[World], Awaitable[None]], source: OneFile | None = None) -> World:
    """Run a test beside a control process, then close the channel and wait for the process to end by itself."""

    async def run() -> World:
        world = World(reading_of(source or OneFile()))
        await world.open()
        running = asyncio.ensure_future(world.process.run())
        assert await world.hear() == Ready(0)
        await body(world)
        world.writer.close()
        await asyncio.wait_for(running, 10)
        world.close()
        return world

    return asyncio.run(run())


def test_it_reports_ready_and_answers_with_the_last_status() -> None:
    async def body(world: World) -> None:
        assert (await world.get("/readyz"))[0] == 503
        world.say(STATUS)
        while (await world.get("/readyz"))[0] != 200:
            pass

    with_world(body)


def test_telemetry_becomes_metrics_and_the_access_log() -> None:
    async def body(world: World) -> None:
        world.report(2, b'{"id": 1}\n')
        world.report(3, b'{"id": 2}\n')
        while b',upstream_model="x"} 5.0' not in (await world.get("/metrics"))[1]:
            pass
        assert b'gatewright_worker_connections{worker="1"} 3.0' in (await world.get("/metrics"))[1]
        world.say(Status(1, 1, 1, [("worker-1", "ready", 11, 1)]))
        while b'gatewright_worker_connections{worker="1"}' in (await world.get("/metrics"))[1]:
            pass

    assert with_world(body).printed == b'{"id": 1}\n{"id": 2}\n'


def test_what_was_reported_last_is_not_lost_at_the_end() -> None:
    async def body(world: World) -> None:
        for number in range(200):
            world.report(1, b'{"id": %d}\n' % number)

    assert with_world(body).printed.count(b"\n") == 200


def test_damaged_telemetry_harms_nothing() -> None:
    async def body(world: World) -> None:
        world.telemetry.send(b"\xc1 no message")
        world.report(1)
        while b"gatewright_exchanges_total{" not in (await world.get("/metrics"))[1]:
            pass

    assert "telemetry that cannot be read" in with_world(body).log.getvalue()


def test_the_served_document_sets_the_mode_of_the_log() -> None:
    async def body(world: World) -> None:
        world.say(Configure(1, encode(Gateway(log=LogSection(access="off")))))
        world.say(STATUS)
        while (await world.get("/readyz"))[0] != 200:
            pass
        world.report(1, b'{"id": 1}\n')

    assert with_world(body).printed == b""


def test_a_reload_is_read_at_once_and_answered() -> None:
    source = OneFile()

    async def body(world: World) -> None:
        world.say(Reload())
        assert await world.hear() == Apply(encode(Gateway(anonymous=True)), 30.0)
        source.data = b"anonymous: maybe\n"
        world.say(Reload())
        answer = await world.hear()
        assert isinstance(answer, Rejected)
        assert answer.errors[0].startswith("g.yaml:1: anonymous: ")

    with_world(body, source)


def test_an_old_refusal_does_not_count_for_what_is_awaited() -> None:
    source = OneFile()

    async def body(world: World) -> None:
        world.say(Status(1, 2, 2, [("worker-1", "ready", 10, 0)], "an earlier document was wrong"))
        while b"earlier" not in (await world.get("/readyz"))[1]:
            pass
        waiting = asyncio.ensure_future(world.process._read_and_wait())
        answer = await world.hear()
        assert isinstance(answer, Apply)
        world.say(Status(1, 2, 1, [("worker-1", "starting", 11, 1)], "an earlier document was wrong"))
        world.say(Configure(2, answer.document))
        assert await waiting == []
        source.data = b"anonymous: false\n"
        waiting = asyncio.ensure_future(world.process._read_and_wait())
        assert isinstance(await world.hear(), Apply)
        world.say(Status(1, 2, 1, [("worker-1", "starting", 11, 1)], "this one is wrong"))
        assert await waiting == ["this one is wrong"]

    with_world(body, source)


def test_a_changed_file_is_read_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.01)
    source = OneFile()

    async def body(world: World) -> None:
        first: Any = await world.hear()
        assert first == Apply(encode(Gateway(anonymous=True)), 30.0), "what changed while nobody watched"
        source.data = b"timeouts: {drain_s: 7}\n"
        second: Any = await world.hear()
        assert second.drain_s == 7.0

    with_world(body, source)


def test_a_message_for_somebody_else_is_pointed_out() -> None:
    async def body(world: World) -> None:
        world.say(Roll())

    assert "unexpected message" in with_world(body).log.getvalue()


def test_strangers_are_not_told_why_there_is_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = 'connection to "db.internal" failed for user "gateway"'
    unopened = SimpleNamespace(admin=None, problem=reason, engine=None, ledger_status=lambda: None, stop=lambda: None)

    async def body(world: World) -> None:
        assert b"the gateway is starting" in (await world.get("/admin/v1/keys"))[1]
        monkeypatch.setattr(world.process, "_administration", unopened)
        status, answer = await world.get("/admin/v1/keys")
        assert status == 503
        assert b"log says why" in answer
        assert b"db.internal" not in answer

    with_world(body)


def test_resident_memory_is_known() -> None:
    assert resident_bytes() > 1_000_000
