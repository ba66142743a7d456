"""A worker's own small parts; its life is in tests/dataplane."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.config.documents import Gateway, Tls
from gatewright.config.transport import encode
from gatewright.core.messages import Configure, FrameParser, Message, Ready, Refused, render_frame
from gatewright.server.worker import WallClock, Worker, parse_options


def test_the_wall_clock_reads_as_the_systems_does_and_never_back() -> None:
    clock = WallClock()
    now = time.monotonic()
    seen = [clock(now + number * 0.0371) for number in range(200)]
    assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for text in seen)
    assert seen == sorted(seen)
    assert clock(now)[:14] == time.strftime("%Y-%m-%dT%H:", time.gmtime()).encode()


def test_its_options_are_the_supervisors() -> None:
    options = parse_options(
        ["--slot", "2", "--state", "/s", "--listen-fd", "5", "--channel-fd", "6", "--telemetry-fd", "7"]
    )
    assert (options.slot, options.state, options.listen_fd, options.channel_fd, options.telemetry_fd) == (
        2,
        "/s",
        5,
        6,
        7,
    )
    with pytest.raises(SystemExit):
        parse_options([])


class Channel(asyncio.Transport):
    """The supervisor's end: what the worker says is kept."""

    def __init__(self) -> None:
        super().__init__()
        self._frames = FrameParser()
        self.heard: list[Message] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.heard += self._frames.feed(bytes(data))


class Configured:
    """A worker without a listening socket, given one document after the other."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._channel, self._version = worker, Channel(), 0
        worker.connection_made(self._channel)

    async def given(self, document: bytes) -> Message:
        """Its answer to a document."""
        self._version += 1
        self._worker.data_received(render_frame(Configure(self._version, document)))
        for _ in range(200):
            if len(self._channel.heard) == self._version:
                break
            await asyncio.sleep(0)
        return self._channel.heard[-1]

    def report(self, where: str, error: BaseException) -> None:
        """What happens to a failure that nobody awaited."""
        self._worker._report(where, error)


def with_worker(monkeypatch: pytest.MonkeyPatch, body: Callable[[Configured], Any]) -> None:
    async def listen(self: Worker, listener: object, tls: ssl.SSLContext | None) -> None:
        pass

    async def run() -> None:
        ours, theirs = socket.socketpair()
        fds = ["--listen-fd", "0", "--channel-fd", "0", "--telemetry-fd", str(theirs.detach())]
        worker = Worker(asyncio.get_running_loop(), parse_options(["--slot", "1", *fds]))
        with ours, worker._telemetry:
            await body(Configured(worker))

    monkeypatch.setattr(Worker, "_listen", listen)
    asyncio.run(run())


def test_a_defect_is_one_line_of_the_log_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def body(worker: Configured) -> None:
        worker.report("req_1", ValueError("that was not meant"))

    with_worker(monkeypatch, body)
    (line,) = capsys.readouterr().err.splitlines()
    event = msgspec.json.decode(line)
    assert (event["process"], event["level"], event["where"]) == ("worker-1", "error", "req_1")
    assert event["traceback"][-1] == "ValueError: that was not meant"


def test_a_document_is_answered_with_its_version_and_a_bad_one_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    good = encode(Gateway())
    secure = encode(Gateway(tls=Tls(certificate=str(tmp_path / "a.pem"), key=str(tmp_path / "a.key"))))

    async def body(worker: Configured) -> None:
        first = await worker.given(secure)
        assert isinstance(first, Refused)
        assert "a.pem" in first.errors[0]
        assert await worker.given(good) == Ready(2)
        assert await worker.given(secure) == Refused(
            3, ["tls: switching between plain HTTP and TLS needs a restart of the gateway"]
        )
        unreadable = await worker.given(b"\xc1")
        assert isinstance(unreadable, Refused)
        assert "restart the gateway" in unreadable.errors[0]
        assert await worker.given(good) == Ready(5)

    with_worker(monkeypatch, body)
