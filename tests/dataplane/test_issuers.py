"""Issuers as a gateway meets them: behind TLS of a private authority, slow, broken, hostile, and away for a while."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from tests.signing import AUDIENCE, claims, key_set, public, rsa_key, sign

from gatewright.testing import answers
from gatewright.testing.client import Answer
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.received import Received
from gatewright.testing.steps import Reset, Stall, Step
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = pytest.mark.sockets

BODY = b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}'
AUTHORITY = trustme.CA()
KINDS = ("good", "untrusted", "redirects", "stalls", "resets", "html", "huge", "streams")


def issuer_of(kind: str) -> str:
    return f"https://{kind}.example/"


def answer(request: Received) -> tuple[Step, ...]:
    """Keys, at the path of their issuer; each but one fails in its way."""
    keys = key_set(public(rsa_key()))
    match request.path.rpartition("/")[2]:
        case "redirects":
            return answers.reply(302, b"", headers=[("location", "/good"), ("content-type", "text/html")])
        case "stalls":
            return (Stall(),)
        case "resets":
            return (Reset(),)
        case "html":
            return answers.reply(200, b"<html>please log in</html>", headers=[("content-type", "text/html")])
        case "huge":
            return answers.reply(200, b'{"padding":"' + b"x" * (2 << 20) + b'",' + keys[1:])
        case "streams":
            return answers.reply(200, keys, headers=[("content-type", "text/event-stream")])
    return answers.reply(200, keys)


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    upstream.always(answers.as_openai)
    authority = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    with ScriptedUpstream(tls=context) as provider:
        provider.always(answer)
        config: dict[str, Any] = {
            "providers": {"up": {"type": "openai_compatible", "url": upstream.url}},
            "models": {"m": {"targets": [{"provider": "up"}]}},
            "identity": {"issuers": {kind: issuer(kind, provider.url, authority) for kind in KINDS}},
        }
        with GatewayProcess(config) as running:
            yield running


def issuer(kind: str, url: str, authority: Path) -> dict[str, Any]:
    trust = {} if kind == "untrusted" else {"ca": str(authority)}
    return {
        "issuer": issuer_of(kind),
        "audience": [AUDIENCE],
        "jwks_url": f"{url}/{kind}",
        "consumer": "acme/${groups[0]}/${azp}",
        **trust,
    }


def jwt(kind: str, **changes: Any) -> bytes:
    now = int(time.time())
    return sign(claims(**({"iss": issuer_of(kind), "iat": now, "exp": now + 300} | changes)))


def call(gateway: GatewayProcess, *credentials: bytes) -> list[Answer]:
    """Calls on one connection."""
    request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n%b"
    with gateway.connect(timeout_s=20.0) as client:
        return [client.send(request % (each, len(BODY), BODY)).receive() for each in credentials]


def test_one_that_works(gateway: GatewayProcess) -> None:
    assert [answer.status for answer in call(gateway, jwt("good"), jwt("good", jti="2"))] == [200, 200]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "good"])
def test_those_that_do_not(gateway: GatewayProcess, kind: str) -> None:
    """Their callers are told to come again; callers of another issuer notice nothing."""
    good, away, again = call(gateway, jwt("good"), jwt(kind), jwt("good"))
    assert (good.status, away.status, again.status) == (200, 503, 200)
    assert away.header("retry-after") == "10"
    error = msgspec.json.decode(away.body)["error"]
    assert error["message"].startswith(f"The identity provider `{kind}` cannot be reached")
    assert "127.0.0.1" not in error["message"]
    assert f"`{kind}` could not be fetched" in gateway.stderr()


def test_a_refusal_names_its_reason_and_its_scheme(gateway: GatewayProcess) -> None:
    for credential, message in (
        (jwt("good", exp=1), "expired at 1970-01-01T00:00:01Z"),
        (jwt("good", aud="urn:mail"), "another audience"),
        (jwt("evil"), "is not one that this gateway trusts"),
        (jwt("good")[:-6] + b"AAAAAA", "signature is not valid"),
        (b"eyJ" + b"A" * 40_000 + b".e30.AA", "larger than 16384 bytes"),
    ):
        [answer] = call(gateway, credential)
        assert answer.status == 401
        assert message in msgspec.json.decode(answer.body)["error"]["message"]
        assert answer.header("www-authenticate") == 'Bearer error="invalid_token"'
    # What was refused on a connection says nothing about what comes next on it.
    assert [each.status for each in call(gateway, jwt("evil"), jwt("good"), b"x", jwt("good"))] == [401, 200, 401, 200]
