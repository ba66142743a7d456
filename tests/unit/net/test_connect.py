"""Opening a connection: every failure is named, and a proxy's tunnel is opened or refused."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from wires import run

from gatewright.config.documents import UpstreamTls
from gatewright.core.errors import GatewayError, Kind
from gatewright.net.connect import build_tls, open_connection
from gatewright.pipeline.provider import Origin


class ScriptedLoop:
    """A loop that connects as it is told; a proxy's answer comes in the given pieces."""

    def __init__(self, failure: BaseException | None = None, proxy_says: list[bytes] | None = None) -> None:
        self.failure = failure
        self.said = b""
        self.says = proxy_says or []
        self.options: dict[str, Any] = {}
        self.where: tuple[Any, ...] = ()

    async def create_connection(self, factory: Any, *where: Any, **options: Any) -> tuple[None, Any]:
        self.where, self.options = where, options
        if isinstance(options.get("sock"), socket.socket):
            options["sock"].close()
        if self.failure is not None:
            raise self.failure
        return None, factory()

    async def getaddrinfo(self, host: str, port: int, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (host, port))]

    async def sock_connect(self, tunnel: socket.socket, address: Any) -> None:
        self.proxy = address

    async def sock_sendall(self, tunnel: socket.socket, data: bytes) -> None:
        self.said += data

    async def sock_recv(self, tunnel: socket.socket, size: int) -> bytes:
        if not self.says:
            await asyncio.Event().wait()
        return self.says.pop(0)


def origin(**members: Any) -> Origin:
    return Origin(**{"tls": False, "host": "up.test", "port": 8443, "connect_s": 5.0, **members})


async def attempt(loop: ScriptedLoop, where: Origin, tls: ssl.SSLContext | None = None) -> Any:
    return await open_connection(loop, where, tls, asyncio.Protocol)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (socket.gaierror(-2, "Name or service not known"), Kind.UPSTREAM_CONNECT_FAILED, "cannot be resolved"),
        (ConnectionRefusedError(111, "refused"), Kind.UPSTREAM_CONNECT_FAILED, "nothing listens"),
        (OSError(113, "No route to host"), Kind.UPSTREAM_CONNECT_FAILED, "No route to host"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), Kind.UPSTREAM_CONNECT_FAILED, "TLS handshake"),
        (ssl.SSLCertVerificationError(1, "self-signed"), Kind.UPSTREAM_CONNECT_FAILED, "not trusted"),
        (ConnectionResetError(104, "reset by peer"), Kind.UPSTREAM_CONNECT_FAILED, "reset by peer"),
        (TimeoutError(), Kind.UPSTREAM_TIMEOUT, "longer than 5 s"),
    ],
)
def test_every_failure_is_named(failure: BaseException, kind: Kind, says: str) -> None:
    async def body() -> None:
        if isinstance(failure, ssl.SSLCertVerificationError):
            failure.verify_message = "self-signed certificate"
        elif isinstance(failure, ssl.SSLError):
            failure.reason = "WRONG_VERSION_NUMBER"  # as OpenSSL's own have it
        with pytest.raises(GatewayError) as failed:
            await attempt(ScriptedLoop(failure), origin())
        assert failed.value.kind is kind
        assert says in failed.value.message

    run(body)


def test_without_a_proxy_it_goes_straight_and_checks_the_expected_name() -> None:
    async def body() -> None:
        loop = ScriptedLoop()
        tls = ssl.create_default_context()
        await attempt(loop, origin(tls=True), tls)
        assert loop.where == ("up.test", 8443)
        assert loop.options == {"ssl": tls, "server_hostname": "up.test"}
        await attempt(loop, origin(tls=True, verify=UpstreamTls(server_name="real.test")), tls)
        assert loop.options["server_hostname"] == "real.test"
        await attempt(loop, origin())
        assert loop.options == {"ssl": None, "server_hostname": None}

    run(body)


def test_a_tunnel_is_asked_for_by_name() -> None:
    async def body() -> None:
        loop = ScriptedLoop(proxy_says=[b"HTTP/1.1 200 Connection est", b"ablished\r\nvia: x\r\n\r", b"\n"])
        await attempt(loop, origin(proxy="proxy.test:3128"))
        assert loop.proxy == ("proxy.test", 3128)
        assert loop.said == b"CONNECT up.test:8443 HTTP/1.1\r\nHost: up.test:8443\r\n\r\n"
        assert loop.where == ()

    run(body)


@pytest.mark.parametrize(
    ("says", "shown"),
    [
        ([b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"], "407 Proxy Authentication Required"),
        ([b"HTTP/1.1 403 Forbidden\r\n", b"\r\n"], "403 Forbidden"),
        ([b"HTTP/1.1 200", b""], "closed the connection"),
        ([b""], "closed the connection"),
        ([b"x" * 4_096] * 5, "closed the connection"),
        ([b"garbage\r\n\r\n"], "garbage"),
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_a_failed_connection(says: list[bytes], shown: str) -> None:
    async def body() -> None:
        with pytest.raises(GatewayError) as failed:
            await attempt(ScriptedLoop(proxy_says=says), origin(proxy="proxy.test:3128"))
        assert failed.value.kind is Kind.UPSTREAM_CONNECT_FAILED
        assert "proxy.test:3128" in failed.value.message
        assert shown in failed.value.message

    run(body)


def test_a_proxy_that_never_answers_is_a_time_out() -> None:
    async def body() -> None:
        with pytest.raises(GatewayError) as failed:
            await attempt(ScriptedLoop(), origin(proxy="proxy.test:3128", connect_s=0.001))
        assert failed.value.kind is Kind.UPSTREAM_TIMEOUT

    run(body)


def test_the_context_checks_certificates_and_reads_its_files(tmp_path: Path) -> None:
    context = build_tls(UpstreamTls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError, match="No such file"):
        build_tls(UpstreamTls(ca=str(tmp_path / "none.pem")))
    with pytest.raises(OSError, match="No such file"):
        build_tls(UpstreamTls(certificate=str(tmp_path / "none.pem")))
