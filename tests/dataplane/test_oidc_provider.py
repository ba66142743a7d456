"""A real OpenID provider: its JWTs, a rotation of its keys, its opaque credentials and their revocation."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec
import pytest
from tests.signing import claims, sign

from gatewright.config.identity import Identity, Introspection, Issuer
from gatewright.config.problems import ConfigError
from gatewright.core.consumer import Consumer
from gatewright.core.errors import GatewayError
from gatewright.core.secret import Secret
from gatewright.net.deadlines import Deadlines
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.identities import build_identities
from gatewright.server import issuers
from gatewright.server.federation import Federation, build_pools
from gatewright.server.fetch import Fetcher
from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

SCRIPT: Final = Path(__file__).parents[1] / "node" / "oidc_provider.mjs"

BODY: Final = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'
CALL: Final = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
)

pytestmark = [pytest.mark.sockets, pytest.mark.node]


class OidcProvider:
    """The provider, in a process of its own."""

    def __init__(self, node: str) -> None:
        self._process = subprocess.Popen(
            [node, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def tell(self, command: str) -> None:
        """Change its keys."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        self._read()

    def token(self, client: str, **form: str) -> bytes:
        """What it gives an application."""
        return str(self.post("/token", client, grant_type="client_credentials", **form)["access_token"]).encode()

    def jwt(self, client: str = "indexer", audience: str | None = None) -> bytes:
        return self.token(client, resource=audience or self.audience, scope="ai.use")

    def post(self, path: str, client: str, **form: str) -> Any:
        pair = f"{quote_plus(client)}:{quote_plus(f'secret of {client}')}"
        request = urllib.request.Request(
            self.issuer + path,
            urlencode(form).encode(),
            {"authorization": "Basic " + b64encode(pair.encode()).decode()},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return msgspec.json.decode(body) if body else None

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the provider did not start"
        told = msgspec.json.decode(line)
        self.issuer: str = told["issuer"]
        self.audience: str = told["audience"]


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    node = shutil.which("node")
    if node is None or not (SCRIPT.parent / "node_modules/oidc-provider").is_dir():
        pytest.skip("NO OPENID PROVIDER IS TESTED: install what apt.txt names, then run `make test`")
    running = OidcProvider(node)
    yield running
    running.close()


class Caller:
    """Whom the gateway takes the bearer of a credential for."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation

    async def find(self, credential: bytes) -> Consumer:
        consumer = self.federation.known(credential)
        if consumer is None:
            pending = self.federation.find(credential)
            assert pending is not None
            consumer = await pending
        return consumer

    async def refusal(self, credential: bytes) -> GatewayError:
        with pytest.raises(GatewayError) as refusal:
            await self.find(credential)
        return refusal.value


def run(identity: Identity, test: Callable[[Caller], Awaitable[None]]) -> list[str]:
    """Run `test` beside a federation over real connections; what the operator would read."""
    errors: list[ConfigError] = []
    identities = build_identities(identity, errors)
    assert not errors
    reports: list[str] = []

    async def inside() -> None:
        loop = asyncio.get_running_loop()
        deadlines = Deadlines(loop)
        deadlines.start()
        failures: list[BaseException] = []
        tasks = TaskGroup(loop, lambda _, error: failures.append(error), lambda error: isinstance(error, GatewayError))
        pools = build_pools(loop, deadlines, tasks)
        federation = Federation(loop, Fetcher(pools.send), tasks, time.time, reports.append)
        federation.use(identities)
        try:
            await test(Caller(federation))
        finally:
            federation.close()
            pools.close_idle()
            deadlines.stop()
            while pools.count()[0]:
                await asyncio.sleep(0)
        assert not failures

    asyncio.run(inside())
    return reports


def identity(provider: OidcProvider, **changes: Any) -> Identity:
    config = Issuer(
        issuer=provider.issuer,
        audience=[provider.audience],
        consumer="acme/${groups[0]}/${client_id}",
        required={"scope": "ai.use"},
    )
    return Identity(issuers={"corp": msgspec.structs.replace(config, **changes)})


@pytest.mark.parametrize("client", ["indexer", "curved", "edwards"])
def test_its_jwts_by_discovery(provider: OidcProvider, client: str) -> None:
    """Signed by RSA, by an elliptic curve, and by EdDSA."""

    async def test(caller: Caller) -> None:
        consumer = await caller.find(provider.jwt(client))
        assert (consumer.path, consumer.key_id) == (f"acme/search/{client}", "jwt:corp")
        assert consumer.claims["client_id"] == client

    assert run(identity(provider), test) == []


def test_a_jwt_for_another_service_of_the_same_provider(provider: OidcProvider) -> None:
    async def test(caller: Caller) -> None:
        error = await caller.refusal(provider.jwt(audience="urn:mail"))
        assert "another audience (`urn:mail`)" in error.message

    run(identity(provider), test)


def test_a_rotation_of_its_keys(provider: OidcProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuers, "REFRESH_GAP_S", 0.0)

    async def test(caller: Caller) -> None:
        old = provider.jwt()
        first = await caller.find(old)
        await asyncio.to_thread(provider.tell, "keep")
        # The new key signs from now on; the old one is still published.
        assert (await caller.find(provider.jwt())).path == first.path
        assert caller.federation.known(old) is first
        await asyncio.to_thread(provider.tell, "rotate")
        assert (await caller.find(provider.jwt())).path == first.path
        # Nobody vouches for what the withdrawn key signed, though it was accepted before.
        monkeypatch.setattr(issuers, "REFRESH_GAP_S", 10.0)
        assert "no key that it could be signed with" in (await caller.refusal(old)).message

    assert run(identity(provider), test) == []


def test_the_keys_by_their_own_address(provider: OidcProvider) -> None:
    async def test(caller: Caller) -> None:
        assert await caller.find(provider.jwt())

    assert run(identity(provider, jwks_url=f"{provider.issuer}/jwks"), test) == []


def test_its_discovery_under_another_name(provider: OidcProvider) -> None:
    """What is configured must be what the provider calls itself, or one could speak for another."""
    name = provider.issuer.replace("127.0.0.1", "localhost")

    async def test(caller: Caller) -> None:
        assert "is not one that this gateway trusts" in (await caller.refusal(provider.jwt())).message
        assert (await caller.refusal(sign(claims(iss=name)))).status == 503

    [report] = run(identity(provider, issuer=name), test)
    assert f"its discovery document is not one of the issuer '{name}'" in report


def test_its_opaque_credentials_and_their_revocation(provider: OidcProvider) -> None:
    asked = Introspection(
        url=f"{provider.issuer}/token/introspection",
        client_id="gateway",
        client_secret=Secret("secret of gateway"),
        consumer="acme/opaque/${client_id}",
        required={"scope": "ai.use"},
        cache_s=0.0,
    )

    async def test(caller: Caller) -> None:
        opaque = provider.token("indexer", scope="ai.use")
        assert (await caller.find(opaque)).path == "acme/opaque/indexer"
        assert "not valid (any more)" in (await caller.refusal(b"made-up")).message
        await asyncio.to_thread(provider.post, "/token/revocation", "indexer", token=opaque.decode())
        assert "not valid (any more)" in (await caller.refusal(opaque)).message

    run(Identity(introspection=asked), test)


def test_a_wrong_password_of_the_gateway_is_no_fault_of_the_caller(provider: OidcProvider) -> None:
    asked = Introspection(
        url=f"{provider.issuer}/token/introspection",
        client_id="gateway",
        client_secret=Secret("wrong"),
        consumer="acme/opaque/${client_id}",
    )

    async def test(caller: Caller) -> None:
        error = await caller.refusal(b"opaque")
        assert error.status == 503
        assert "status 401" in str(error.cause)

    run(Identity(introspection=asked), test)


def test_a_gateway_that_trusts_it(provider: OidcProvider, upstream: ScriptedUpstream) -> None:
    """From the configuration file to the access log, through two workers that have fetched nothing before."""
    upstream.always(answers.as_openai)
    config = {
        "providers": {"up": {"type": "openai_compatible", "url": upstream.url}},
        "models": {"m": {"targets": [{"provider": "up"}]}},
        "log": {"access": "json"},
        "identity": {
            "issuers": {
                "corp": {
                    "issuer": provider.issuer,
                    "audience": [provider.audience],
                    "consumer": "acme/${groups[0]}/${client_id}",
                }
            }
        },
    }
    good, bad = provider.jwt(), provider.jwt(audience="urn:mail")
    with GatewayProcess(config, arguments=["--workers", "2"]) as gateway:
        for credential, status in ((good, 200), (bad, 401), (b"gw-nothing", 401), (good, 200), (good[:-9], 401)):
            for _ in range(4):
                with gateway.connect() as client:
                    client.send(CALL % (credential, len(BODY), BODY))
                    answer = client.receive()
                assert answer.status == status, answer
        gateway.wait_for(lambda: len(gateway.access_log()) == 20)
        assert {line.get("consumer") for line in gateway.access_log() if line["status"] == 200} == {
            "acme/search/indexer"
        }
