"""Providers behind an egress proxy: by their own setting, by the environment, and proxies that do not do it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from suite import check_error

from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets


class ConnectProxy:
    """Tunnels every CONNECT to one port, whatever name was asked for; or refuses; or says nothing."""

    def __init__(self, target: int, mode: str = "tunnel") -> None:
        self.target, self.mode = target, mode
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = client.recv(4096)
            if not piece:
                return
            head += piece
        self.asked.append(head.split(b"\r\n")[0].decode())
        if self.mode == "silent":
            return
        if self.mode == "refuse":
            client.sendall(b"HTTP/1.1 403 Forbidden by policy\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        upstream = socket.create_connection(("127.0.0.1", self.target))
        self._open.append(upstream)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pump, args=(upstream, client), daemon=True).start()
        _pump(client, upstream)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._open:
            each.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> Iterator[ScriptedUpstream]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("models.test", "inside.test").configure_cert(context)
    with ScriptedUpstream(tls=context) as running:
        yield running


def proxy_fixture(mode: str) -> Any:
    @pytest.fixture(scope="module")
    def running(secure: ScriptedUpstream) -> Iterator[ConnectProxy]:
        proxy = ConnectProxy(secure.port, mode)
        yield proxy
        proxy.close()

    return running


proxy = proxy_fixture("tunnel")
environment_proxy = proxy_fixture("tunnel")
refusing = proxy_fixture("refuse")
silent = proxy_fixture("silent")


@pytest.fixture(scope="module")
def gateway(
    authority: trustme.CA,
    proxy: ConnectProxy,
    environment_proxy: ConnectProxy,
    refusing: ConnectProxy,
    silent: ConnectProxy,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayProcess]:
    ca: Path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    own: dict[str, dict[str, Any]] = {
        "configured": {"proxy": f"http://{proxy.address}"},
        "environment": {},
        "never": {"proxy": "none"},
        "excepted": {"url": "https://inside.test/v1"},
        "refused": {"proxy": f"http://{refusing.address}"},
        "silent": {"proxy": f"http://{silent.address}", "timeouts": {"connect_s": 0.5}},
        "gone": {"proxy": "http://127.0.0.1:1"},
    }
    config = {
        "providers": {
            name: {"type": "openai_compatible", "url": "https://models.test/v1", "tls": {"ca": str(ca)}, **members}
            for name, members in own.items()
        },
        "models": {name: {"targets": [{"provider": name}]} for name in own}
        | {"saved": {"targets": [{"provider": "refused"}], "fallback": [{"provider": "configured"}]}},
    }
    environment = {"HTTPS_PROXY": f"http://{environment_proxy.address}", "NO_PROXY": "inside.test,10.0.0.0/8"}
    with GatewayProcess(config, environment=environment) as running:
        yield running


def ask(gateway: GatewayProcess, model: str) -> Any:
    body = b'{"model": "%b", "messages": []}' % model.encode()
    with gateway.connect() as client:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        return client.send(head + body).receive()


def test_a_providers_own_proxy_carries_its_calls(
    gateway: GatewayProcess, proxy: ConnectProxy, secure: ScriptedUpstream
) -> None:
    proxy.asked.clear()
    for _ in range(3):
        assert ask(gateway, "configured").status == 200
    assert proxy.asked == ["CONNECT models.test:443 HTTP/1.1"], "one tunnel, used again"
    assert secure.requests[-1].header("host") == "models.test"


def test_the_environments_proxy_carries_the_others(gateway: GatewayProcess, environment_proxy: ConnectProxy) -> None:
    environment_proxy.asked.clear()
    assert ask(gateway, "environment").status == 200
    assert environment_proxy.asked == ["CONNECT models.test:443 HTTP/1.1"]


@pytest.mark.parametrize("model", ["never", "excepted"])
def test_none_and_no_proxy_go_straight(gateway: GatewayProcess, environment_proxy: ConnectProxy, model: str) -> None:
    environment_proxy.asked.clear()
    answer = ask(gateway, model)
    assert answer.status in (502, 504), "such a name does not exist"
    assert check_error(answer)["code"] in ("upstream_connect_failed", "upstream_timeout")
    assert environment_proxy.asked == []


@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("refused", 502, "upstream_connect_failed"),
        ("silent", 504, "upstream_timeout"),
        ("gone", 502, "upstream_connect_failed"),
    ],
)
def test_a_proxy_that_does_not_do_it(gateway: GatewayProcess, model: str, status: int, code: str) -> None:
    answer = ask(gateway, model)
    assert answer.status == status
    error = check_error(answer)
    assert error["code"] == code
    if model == "refused":
        assert "403 Forbidden by policy" in error["message"]


def test_a_refused_tunnel_is_tried_elsewhere(gateway: GatewayProcess) -> None:
    assert ask(gateway, "saved").status == 200


def test_nothing_unexpected_was_said(gateway: GatewayProcess) -> None:
    assert "Traceback" not in gateway.stderr()
