"""A worker's own small parts; its life is in tests/dataplane."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gatewright.config.documents import Gateway, Tls
from gatewright.config.transport import encode
from gatewright.core.messages import Configure, FrameParser, Message, Ready, Refused, render_frame
from gatewright.server.worker import WallClock, Worker, _newest, parse_options


def test_the_wall_clock_reads_as_the_systems_does_and_never_back() -> None:
    clock = WallClock()
    now = time.monotonic()
    seen = [clock(now + number * 0.0371) for number in range(200)]
    assert all(re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) for text in seen)
    assert seen == sorted(seen)
    assert clock(now)[:14] == time.strftime("%Y-%m-%dT%H:", time.gmtime()).encode()


def test_the_newest_of_the_certificates_files_counts(tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    tls = Tls(certificate=str(certificate), key=str(key))
    assert _newest(tls) == 0.0
    for path, at in ((certificate, 100), (key, 200)):
        path.write_text("x")
        os.utime(path, (at, at))
    assert _newest(tls) == 200.0


def test_its_options_are_the_supervisors() -> None:
    options = parse_options(
        ["--slot", "2", "--workers", "4", "--listen-fd", "5", "--channel-fd", "6", "--telemetry-fd", "7"]
    )
    assert (options.slot, options.workers, options.listen_fd, options.channel_fd, options.telemetry_fd) == (
        2,
        4,
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

    async def given(self, tls: Tls | None) -> Message:
        """Its answer to a document with these settings."""
        self._version += 1
        self._worker.data_received(render_frame(Configure(self._version, encode(Gateway(tls=tls)))))
        for _ in range(200):
            if len(self._channel.heard) == self._version:
                break
            await asyncio.sleep(0)
        return self._channel.heard[-1]

    def report(self, where: str, error: BaseException) -> None:
        """What happens to a failure that nobody awaited."""
        self._worker._report(where, error)

    @property
    def context(self) -> ssl.SSLContext:
        """The context of its listener."""
        assert self._worker._tls is not None
        return self._worker._tls[1]


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


class Authority:
    """Issues the files that a configuration names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = trustme.CA()

    def issue(self, name: str) -> Tls:
        """A pair for localhost."""
        made = self.ca.issue_cert("localhost")
        tls = Tls(certificate=str(self._folder / f"{name}.pem"), key=str(self._folder / f"{name}.key"))
        made.cert_chain_pems[0].write_to_path(tls.certificate)
        made.private_key_pem.write_to_path(tls.key)
        return tls

    def clients(self, name: str) -> str:
        """The file of an authority for clients."""
        path = self._folder / f"{name}.pem"
        trustme.CA().cert_pem.write_to_path(path)
        return str(path)

    def shown_by(self, server: ssl.SSLContext) -> str:
        """The serial number that a client sees."""
        trusting = ssl.create_default_context()
        self.ca.configure_trust(trusting)
        (client_in, client_out), (server_in, server_out) = [(ssl.MemoryBIO(), ssl.MemoryBIO()) for _ in range(2)]
        client = trusting.wrap_bio(client_in, client_out, server_hostname="localhost")
        serving = server.wrap_bio(server_in, server_out, server_side=True)
        for _ in range(4):
            for side in (client, serving):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                server_in.write(client_out.read())
                client_in.write(server_out.read())
        certificate: Any = client.getpeercert()
        return str(certificate["serialNumber"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


Settings = Callable[[Authority], Tls | None]


def plain(authority: Authority) -> Tls | None:
    return None


def open_to_all(authority: Authority) -> Tls | None:
    return authority.issue("pair")


def mutual(name: str) -> Settings:
    def settings(authority: Authority) -> Tls | None:
        pair = authority.issue("pair")
        return Tls(certificate=pair.certificate, key=pair.key, client_ca=authority.clients(name))

    return settings


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (mutual("clients"), mutual("others"), "tls.client_ca"),
        (mutual("clients"), open_to_all, "tls.client_ca"),
        (open_to_all, mutual("clients"), "tls.client_ca"),
        (plain, open_to_all, "from plain HTTP to TLS"),
        (open_to_all, plain, "from TLS to plain HTTP"),
    ],
)
def test_a_reload_that_changes_what_the_listener_is_is_refused(
    before: Settings, after: Settings, reason: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(worker: Configured) -> None:
        at_first = before(authority)
        assert await worker.given(at_first) == Ready(1)
        refused = await worker.given(after(authority))
        assert isinstance(refused, Refused)
        assert (refused.version, len(refused.errors)) == (2, 1)
        assert reason in refused.errors[0]
        assert "restart of the gateway" in refused.errors[0]
        assert await worker.given(at_first) == Ready(3), "and it goes on with what it had"

    with_worker(monkeypatch, body)


def test_a_reload_never_adds_to_the_authorities_that_are_trusted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(worker: Configured) -> None:
        assert await worker.given(mutual("clients")(authority)) == Ready(1)
        trusted = worker.context.get_ca_certs()
        assert len(trusted) == 1
        assert await worker.given(mutual("clients")(authority)) == Ready(2), "another authority in the same file"
        assert worker.context.get_ca_certs() == trusted

    with_worker(monkeypatch, body)


def test_another_certificate_comes_into_the_context_that_is_in_use(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(worker: Configured) -> None:
        assert await worker.given(authority.issue("one")) == Ready(1)
        context, shown = worker.context, authority.shown_by(worker.context)
        assert await worker.given(authority.issue("two")) == Ready(2)
        assert worker.context is context
        assert authority.shown_by(context) != shown

    with_worker(monkeypatch, body)


def unfitting_key(authority: Authority, pair: Tls) -> Tls:
    return Tls(certificate=authority.issue("other").certificate, key=pair.key)


def absent_key(authority: Authority, pair: Tls) -> Tls:
    return Tls(certificate=authority.issue("other").certificate, key=pair.key + ".gone")


def encrypted_key(authority: Authority, pair: Tls) -> Tls:
    other = authority.issue("other")
    key = cast(Any, load_pem_private_key(Path(other.key).read_bytes(), None))
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    Path(other.key).write_bytes(sealed)
    return other


@pytest.mark.parametrize("broken", [unfitting_key, absent_key, encrypted_key])
def test_a_pair_that_cannot_be_used_leaves_the_one_before_in_use(
    broken: Callable[[Authority, Tls], Tls], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(worker: Configured) -> None:
        pair = authority.issue("pair")
        assert await worker.given(pair) == Ready(1)
        shown = authority.shown_by(worker.context)
        assert isinstance(await worker.given(broken(authority, pair)), Refused)
        assert authority.shown_by(worker.context) == shown

    with_worker(monkeypatch, body)


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
