"""Client certificates as credentials: a machine calls without a key, and what else it shows counts before."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from gatewright.testing import answers
from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess, key_hash
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

BODY = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'
KEY = "a-key-of-the-configuration"
AUTHORITY = trustme.CA()


def certificate(name: str, unit: str) -> trustme.LeafCert:
    return AUTHORITY.issue_cert(f"{name}.acme.example", common_name=name, organization_unit_name=unit)


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    upstream.always(answers.as_openai)
    folder: Path = tmp_path_factory.mktemp("tls")
    own = AUTHORITY.issue_cert("localhost")
    own.private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
    AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    config: dict[str, Any] = {
        "providers": {"up": {"type": "openai_compatible", "url": upstream.url}},
        "models": {"m": {"targets": [{"provider": "up"}]}},
        "log": {"access": "json"},
        "consumers": {"acme": {"teams": {"keys": {"apps": {"one": {"keys": [key_hash(KEY)]}}}}}},
        "tls": {
            "certificate": str(folder / "own.pem"),
            "key": str(folder / "own.pem"),
            "client_ca": str(folder / "ca.pem"),
        },
        "identity": {"certificates": {"consumer": "acme/${subject.OU}/${subject.CN}"}},
    }
    with GatewayProcess(config) as running:
        yield running


def call(gateway: GatewayProcess, shown: trustme.LeafCert, headers: bytes = b"", times: int = 1) -> list[Answer]:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    shown.configure_cert(context)
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n%bcontent-length: %d\r\n\r\n%b"
    with gateway.connect(tls=context, server_name="localhost") as client:
        return [client.send(request % (headers, len(BODY), BODY)).receive() for _ in range(times)]


def consumers(gateway: GatewayProcess, given: list[Answer]) -> list[str]:
    """Who each answer was for, by the access log."""
    ids = [answer.header("x-request-id") for answer in given]
    gateway.wait_for(lambda: set(ids) <= {line["id"] for line in gateway.access_log()})
    by_id = {line["id"]: line.get("consumer") for line in gateway.access_log()}
    return [by_id[each] for each in ids]


def test_each_machine_is_its_consumer(gateway: GatewayProcess) -> None:
    for name, unit in (("indexer", "search"), ("crawler", "search"), ("indexer", "web")):
        given = call(gateway, certificate(name, unit), times=3)
        assert [answer.status for answer in given] == [200, 200, 200]
        assert consumers(gateway, given) == [f"acme/{unit}/{name}"] * 3


def test_a_key_counts_before_the_certificate(gateway: GatewayProcess) -> None:
    given = call(gateway, certificate("indexer", "search"), b"authorization: Bearer %b\r\n" % KEY.encode())
    assert given[0].status == 200
    assert consumers(gateway, given) == ["acme/keys/one"]


def test_a_wrong_key_is_not_mended_by_the_certificate(gateway: GatewayProcess) -> None:
    [answer] = call(gateway, certificate("indexer", "search"), b"authorization: Bearer wrong\r\n")
    assert answer.status == 401


@pytest.mark.parametrize("name", ["a/b", "..", "a b"])
def test_a_name_that_is_no_consumers(gateway: GatewayProcess, name: str) -> None:
    shown = AUTHORITY.issue_cert("x.acme.example", common_name=name, organization_unit_name="search")
    [answer] = call(gateway, shown)
    assert answer.status == 403, answer
