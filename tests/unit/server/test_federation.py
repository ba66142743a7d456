"""Which credential goes where, and what is loaded only when it is needed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from tests.signing import NOW, key_set, public, rsa_key, sign
from tests.unit.server.issuing import JWKS_URL, FakeLoop, FakeProvider, compiled, issuer, task_group

from gatewright.config.identity import Certificates, Introspection
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.secret import Secret
from gatewright.net.deadlines import Deadlines
from gatewright.pipeline.identities import Identities
from gatewright.server.federation import Federation, build_pools
from gatewright.testing.clock import FakeClock

OPAQUE_URL = "https://as.example/introspect"
INTROSPECTION = Introspection(
    url=OPAQUE_URL, client_id="gateway", client_secret=Secret("x"), consumer="acme/opaque/${client_id}"
)


class World:
    def __init__(self) -> None:
        self.provider = FakeProvider()
        self.provider.documents[JWKS_URL] = key_set(public(rsa_key()))
        self.provider.documents[OPAQUE_URL] = {"active": True, "client_id": "tool"}
        self.wall = FakeClock(NOW)
        self.loop = FakeLoop()
        self.federation = Federation(
            self.loop,  # type: ignore[arg-type]
            self.provider,  # type: ignore[arg-type]
            task_group([]),
            self.wall,
            lambda _: None,
        )

    async def path(self, credential: bytes) -> str | None:
        """As a data plane asks: at once, and otherwise by waiting."""
        consumer = self.federation.known(credential)
        if consumer is None:
            pending = self.federation.find(credential)
            if pending is None:
                return None
            consumer = await pending
        return consumer.path


def run(test: Callable[[World], Awaitable[None]]) -> None:
    async def inside() -> None:
        await test(World())

    asyncio.run(inside())


def test_without_configuration_nobody_is_known() -> None:
    async def inside(w: World) -> None:
        for credential in (sign(), b"opaque", b"gw-key", b""):
            assert await w.path(credential) is None
        assert w.federation.of_certificate(b"x") is None

    run(inside)


@pytest.mark.parametrize(
    ("sections", "jwt", "opaque"),
    [
        ({"issuers": {"corp": issuer()}}, "acme/search/indexer", None),
        ({"introspection": INTROSPECTION}, "acme/opaque/tool", "acme/opaque/tool"),
        ({"issuers": {"corp": issuer()}, "introspection": INTROSPECTION}, "acme/search/indexer", "acme/opaque/tool"),
    ],
)
def test_who_is_asked(sections: dict[str, Any], jwt: str | None, opaque: str | None) -> None:
    async def inside(w: World) -> None:
        w.federation.use(compiled(**sections))
        assert await w.path(sign()) == jwt
        assert await w.path(b"opaque") == opaque

    run(inside)


def test_the_gateways_own_keys_are_told_to_nobody() -> None:
    async def inside(w: World) -> None:
        w.federation.use(compiled(introspection=INTROSPECTION))
        assert await w.path(b"gw-abc") is None
        assert w.provider.forms == []

    run(inside)


def test_a_new_configuration_counts_at_once() -> None:
    async def inside(w: World) -> None:
        w.federation.use(compiled(issuers={"corp": issuer()}, introspection=INTROSPECTION))
        assert await w.path(sign())
        w.federation.use(compiled(issuers={"corp": issuer(consumer="acme/x/${azp}")}))
        assert await w.path(sign()) == "acme/x/indexer"
        assert w.provider.asked == [JWKS_URL]
        assert await w.path(b"opaque") is None
        w.federation.close()
        assert await w.path(sign()) is None
        assert w.loop.timers == []

    run(inside)


def test_certificates() -> None:
    issued = trustme.CA().issue_cert("indexer.acme.example", common_name="indexer", organization_unit_name="search")
    certificate = load_pem_x509_certificate(issued.cert_chain_pems[0].bytes())
    der = certificate.public_bytes(Encoding.DER)

    async def inside(w: World) -> None:
        w.federation.use(compiled(certificates=Certificates(consumer="acme/${subject.OU}/${subject.CN}")))
        consumer = w.federation.of_certificate(der)
        assert consumer is not None
        assert consumer.path == "acme/search/indexer"
        assert w.federation.of_certificate(der) is consumer
        w.wall.advance(certificate.not_valid_after_utc.timestamp())
        with pytest.raises(GatewayError, match="has expired") as refusal:
            w.federation.of_certificate(der)
        assert refusal.value.kind is Kind.UNAUTHENTICATED
        w.federation.use(compiled(certificates=Certificates(consumer="acme/${subject.L}/${subject.CN}")))
        with pytest.raises(GatewayError, match=r"does not say `subject\.L`"):
            w.federation.of_certificate(der)
        w.federation.use(Identities())
        assert w.federation.of_certificate(der) is None

    run(inside)


def test_a_gateway_with_keys_alone_loads_no_cryptography() -> None:
    script = (
        "import sys, gatewright.server.federation; sys.exit(any(m in sys.modules for m in ('joserfc', 'cryptography')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_its_pools_read_no_more_than_a_document() -> None:
    async def inside() -> None:
        loop = asyncio.get_running_loop()
        assert build_pools(loop, Deadlines(loop), task_group([])).max_response_bytes == 1 << 20

    asyncio.run(inside())
