"""TLS on both sides: the listener's certificate and its renewal, mutual TLS, and providers with their own authority."""

from __future__ import annotations

import signal
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from suite import check_error

from gatewright.testing.client import PeerClosed, RawClient
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

BODY = b'{"model": "m", "messages": []}'
CALL = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)


def call_for(model: str) -> bytes:
    body = b'{"model": "%b", "messages": []}' % model.encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def write(certificate: trustme.LeafCert, folder: Path, name: str) -> dict[str, str]:
    """The files of a certificate, each replaced in one step."""
    files = {"certificate": folder / f"{name}.pem", "key": folder / f"{name}.key"}
    for path, blob in (
        (files["key"], certificate.private_key_pem.bytes()),
        (files["certificate"], b"".join(pem.bytes() for pem in certificate.cert_chain_pems)),
    ):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(blob)
        fresh.replace(path)
    return {part: str(path) for part, path in files.items()}


def trusting(authority: trustme.CA, certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if certificate is not None:
        certificate.configure_cert(context)
    return context


def config(upstream: ScriptedUpstream, **more: Any) -> dict[str, Any]:
    return {
        "providers": {"up": {"type": "openai_compatible", "url": upstream.url}},
        "models": {"m": {"targets": [{"provider": "up"}]}},
        "log": {"access": "json"},
        **more,
    }


def serial(client: RawClient) -> str:
    shown: Any = client.socket.getpeercert()  # type: ignore[attr-defined]
    return str(shown["serialNumber"])


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_a_renewed_certificate_is_served_and_open_connections_stay(
    upstream: ScriptedUpstream, authority: trustme.CA, tmp_path: Path
) -> None:
    tls = write(authority.issue_cert("localhost"), tmp_path, "listener")
    context = trusting(authority)
    with GatewayProcess(config(upstream, tls=tls)) as gateway:
        assert gateway.url.startswith("https://")

        def connect() -> RawClient:
            return gateway.connect(tls=context, server_name="localhost")

        with connect() as old:
            before = serial(old)
            assert old.send(CALL).receive().status == 200
            write(authority.issue_cert("localhost"), tmp_path, "listener")

            def is_renewed() -> bool:
                with connect() as client:
                    return serial(client) != before

            gateway.wait_for(is_renewed, timeout_s=20)
            assert old.send(CALL).receive().status == 200
            assert serial(old) == before
        with connect() as new:
            assert new.send(CALL).receive().status == 200
        with pytest.raises((PeerClosed, OSError)), gateway.connect() as plain:
            plain.send(CALL).receive()


def test_an_idle_client_that_ignores_the_end_of_tls_does_not_hold_up_the_end(
    upstream: ScriptedUpstream, authority: trustme.CA, tmp_path: Path
) -> None:
    tls = write(authority.issue_cert("localhost"), tmp_path, "listener")
    # Shorter than the drain, and than the half minute an event loop waits for the client's close_notify by itself.
    gateway = GatewayProcess(config(upstream, tls=tls), stop_s=10)
    with gateway, gateway.connect(tls=trusting(authority), server_name="localhost") as idle:
        assert idle.send(CALL).receive().status == 200
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.stderr()


def test_mutual_tls_admits_only_certificates_of_the_configured_authority(
    upstream: ScriptedUpstream, authority: trustme.CA, tmp_path: Path
) -> None:
    stranger = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls = write(authority.issue_cert("localhost"), tmp_path, "listener") | {"client_ca": str(tmp_path / "ca.pem")}
    with GatewayProcess(config(upstream, tls=tls)) as gateway:
        known = trusting(authority, authority.issue_cert("client.test"))
        with gateway.connect(tls=known, server_name="localhost") as client:
            assert client.send(CALL).receive().status == 200
        for certificate in (None, stranger.issue_cert("client.test")):
            context = trusting(authority, certificate)
            # TLS 1.3 tells the client with the first read.
            with pytest.raises((PeerClosed, OSError)), gateway.connect(tls=context, server_name="localhost") as client:
                client.send(CALL).receive()


def test_who_signs_client_certificates_stays_until_the_gateway_is_started_again(
    upstream: ScriptedUpstream, authority: trustme.CA, tmp_path: Path
) -> None:
    later = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    later.cert_pem.write_to_path(tmp_path / "later.pem")
    tls = write(authority.issue_cert("localhost"), tmp_path, "listener")
    with GatewayProcess(config(upstream, tls={**tls, "client_ca": str(tmp_path / "ca.pem")})) as gateway:
        gateway.write_config(config(upstream, tls={**tls, "client_ca": str(tmp_path / "later.pem")}))
        gateway.signal(signal.SIGHUP)
        gateway.wait_for(lambda: b"tls.client_ca" in gateway.admin("/readyz")[1], timeout_s=20)
        context = trusting(authority, authority.issue_cert("client.test"))
        with gateway.connect(tls=context, server_name="localhost") as client:
            assert client.send(CALL).receive().status == 200
        context = trusting(authority, later.issue_cert("client.test"))
        with pytest.raises((PeerClosed, OSError)), gateway.connect(tls=context, server_name="localhost") as client:
            client.send(CALL).receive()


@pytest.fixture(scope="module")
def secure(authority: trustme.CA) -> Iterator[ScriptedUpstream]:
    """A provider that shows a certificate of a private authority and asks for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "models.test").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with ScriptedUpstream(tls=context) as running:
        yield running


def test_providers_are_checked_as_configured(secure: ScriptedUpstream, authority: trustme.CA, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca = {"ca": str(tmp_path / "ca.pem")}
    own = write(authority.issue_cert("gateway.test"), tmp_path, "client")
    variants: dict[str, dict[str, str]] = {
        "good": {**ca, **own},
        "named": {**ca, **own, "server_name": "models.test"},
        "misnamed": {**ca, **own, "server_name": "other.test"},
        "untrusted": {**own},
        "without": {**ca},
    }
    given = {
        "providers": {
            name: {"type": "openai_compatible", "url": secure.url, "tls": tls} for name, tls in variants.items()
        },
        "models": {name: {"targets": [{"provider": name}]} for name in variants},
    }
    with GatewayProcess(given) as gateway, gateway.connect() as client:
        found = {}
        for name in variants:
            answer = client.send(call_for(name)).receive()
            found[name] = answer.status
            if answer.status != 200:
                message = check_error(answer)["message"]
                if name in ("untrusted", "misnamed"):
                    assert "certificate" in message
        assert found == {"good": 200, "named": 200, "misnamed": 502, "untrusted": 502, "without": 502}
        assert "Traceback" not in gateway.stderr()
