"""Gateway tokens through a real gateway of two workers: given, checked as a resource server would, revoked, rotated."""

from __future__ import annotations

import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import msgspec
import pytest
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from tests.signing import ISSUER, claims, key_set, public, rsa_key, sign

from gatewright.cli.main import run as run_command
from gatewright.pipeline.gateway_tokens import ACCESS_TOKEN, EXCHANGE, ID_TOKEN, JWT
from gatewright.testing import answers
from gatewright.testing.gateway import GatewayProcess, key_hash
from gatewright.testing.upstream import ScriptedUpstream

PATH: Final = "acme/search/indexer"
KEY: Final = "key-of-the-configuration"
AUDIENCE: Final = "https://gateway.acme.example"
EFFECTIVE_S: Final = 1.0
"""How soon a revocation must count on every worker."""
TRIES: Final = 8
"""New connections, so that either of two workers answers some: all by one of them once in 128 runs."""

pytestmark = pytest.mark.sockets


class _Keys(BaseHTTPRequestHandler):
    """The JWKS of an identity provider."""

    def do_GET(self) -> None:
        body = key_set(public(rsa_key()))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


class TokenGateway:
    """A gateway that issues tokens, as its clients see it."""

    def __init__(self, process: GatewayProcess) -> None:
        self.process = process
        self.root = process.url.removesuffix("/v1")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.root + path, timeout=10) as answer:
            return msgspec.json.decode(answer.read())

    def post(self, path: str, client: str = "", **form: str) -> tuple[int, dict[str, Any]]:
        request = urllib.request.Request(self.root + path, urlencode(form).encode())
        if client:
            name, _, secret = client.partition(":")
            pair = f"{quote_plus(name)}:{quote_plus(secret)}"
            request.add_header("authorization", "Basic " + b64encode(pair.encode()).decode())
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, msgspec.json.decode(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, msgspec.json.decode(refused.read())

    def token(self, client: str = f"{PATH}:{KEY}", **form: str) -> str:
        status, answer = self.post("/oauth/token", client, **({"grant_type": "client_credentials"} | form))
        assert status == 200, answer
        return str(answer["access_token"])

    def exchange(self, subject: str, kind: str = JWT, **form: str) -> tuple[int, dict[str, Any]]:
        named = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": kind}
        return self.post("/oauth/token", **(named | form))

    def call(self, credential: str, model: str = "m") -> int:
        """One call over a new connection; its status."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        headers = {"authorization": f"Bearer {credential}", "content-type": "application/json"}
        request = urllib.request.Request(f"{self.process.url}/chat/completions", msgspec.json.encode(body), headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    def calls(self, credential: str) -> set[int]:
        """The statuses that all workers answer with."""
        return {self.call(credential) for _ in range(TRIES)}

    def wait_until_refused(self, credential: str, since: float) -> None:
        """Every answer from a second on is a refusal."""
        self.process.wait_for(lambda: self.calls(credential) == {401}, timeout_s=EFFECTIVE_S)
        assert time.monotonic() - since < EFFECTIVE_S + 0.5
        assert self.calls(credential) == {401}

    def command(self, *arguments: str) -> None:
        assert run_command([*arguments, "--state", str(self.process.state)]) == 0


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream) -> Iterator[TokenGateway]:
    upstream.always(answers.as_openai)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    target = {"targets": [{"provider": "up"}]}
    config = {
        "providers": {"up": {"type": "openai_compatible", "url": upstream.url}},
        "models": {"m": target, "n": target},
        "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [key_hash(KEY)]}}}}}},
        "access": [
            {"name": "own", "consumers": [PATH], "issuers": []},
            {"name": "people", "consumers": ["acme/people/*"], "when": "'research' in jwt.groups"},
        ],
        "log": {"access": "json"},
        "identity": {
            "issuers": {
                "corp": {
                    "issuer": ISSUER,
                    "audience": [AUDIENCE],
                    "jwks_url": f"http://127.0.0.1:{server.server_port}/keys",
                    "consumer": "acme/people/${sub}",
                }
            },
            "tokens": {"issuer": "http://localhost:8080", "claims": ["groups"]},
        },
    }
    try:
        with GatewayProcess(config, arguments=["--workers", "2"]) as process:
            yield TokenGateway(process)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def login(**changes: Any) -> str:
    now = int(time.time())
    return sign(claims(**({"sub": "ada", "groups": ["research"], "iat": now, "exp": now + 600} | changes))).decode()


@pytest.fixture
def key(gateway: TokenGateway, capsys: pytest.CaptureFixture[str]) -> str:
    """A managed key, which every worker knows."""
    gateway.command("keys", "create", PATH, "--models", "m")
    made = capsys.readouterr().out.strip()
    gateway.process.wait_for(lambda: gateway.calls(made) == {200})
    return made


def test_a_token_of_one_worker_is_accepted_by_the_other(gateway: TokenGateway) -> None:
    tokens = [gateway.token(scope="model:m surface:chat_completions") for _ in range(TRIES)]
    for token in tokens:
        assert gateway.calls(token) == {200}
        assert gateway.call(token, "n") == 403
    assert gateway.calls(tokens[0][:-6]) == {401}


def test_a_resource_server_finds_all_it_needs(gateway: TokenGateway) -> None:
    metadata = gateway.get("/.well-known/oauth-authorization-server")
    assert metadata["token_endpoint"] == metadata["issuer"] + "/oauth/token"
    ring = KeySet.import_key_set(gateway.get(metadata["jwks_uri"].removeprefix(metadata["issuer"])))
    found = jose.decode(gateway.token(), ring, algorithms=["ES256"])
    assert found.header["typ"] == "at+jwt"
    here: Any = {"essential": True, "value": metadata["issuer"]}
    options: Any = {name: {"essential": True} for name in ("exp", "iat", "sub", "client_id", "jti")}
    jose.JWTClaimsRegistry(iss=here, aud=here, **options).validate(found.claims)
    assert found.claims["sub"] == PATH


def test_a_login_for_a_token(gateway: TokenGateway) -> None:
    status, answer = gateway.exchange(login(nonce="n"), ID_TOKEN, scope="model:m")
    assert status == 200, answer
    assert gateway.calls(answer["access_token"]) == {200}, "and the rule reads the claim that was kept"
    assert gateway.call(answer["access_token"], "n") == 403
    status, answer = gateway.exchange(login(groups=["sales"]))
    assert gateway.call(answer["access_token"]) == 403

    def logged() -> list[dict[str, Any]]:
        return [line for line in gateway.process.access_log() if line.get("surface") == "oauth_token"]

    gateway.process.wait_for(logged)
    assert all(line["consumer"] for line in logged())


@pytest.mark.parametrize(
    "changes", [{"aud": "https://mail.example"}, {"exp": 1}, {"iss": "https://evil.example"}, {"sub": "a/b"}]
)
def test_a_login_that_is_refused(gateway: TokenGateway, changes: dict[str, Any]) -> None:
    status, answer = gateway.exchange(login(**changes))
    assert (status, answer["error"]) == (400, "invalid_request")


def test_a_revocation(gateway: TokenGateway) -> None:
    token = gateway.token()
    child = str(gateway.exchange(token, ACCESS_TOKEN)[1]["access_token"])
    assert gateway.calls(token) == gateway.calls(child) == {200}
    began = time.monotonic()
    assert gateway.post("/oauth/revoke", f"{PATH}:{KEY}", token=token)[0] == 200
    gateway.wait_until_refused(token, began)
    gateway.wait_until_refused(child, began)
    assert gateway.exchange(token, ACCESS_TOKEN)[0] == 400


def test_a_revocation_by_command(gateway: TokenGateway) -> None:
    token = gateway.token()
    began = time.monotonic()
    gateway.command("tokens", "revoke", token)
    gateway.wait_until_refused(token, began)


def test_revocations_that_are_replaced_by_a_copy(gateway: TokenGateway, tmp_path: Path) -> None:
    token, revoked = gateway.token(), gateway.token()
    gateway.command("tokens", "revoke", revoked)
    directory = gateway.process.state / "revoked.lmdb"
    shutil.copytree(directory, tmp_path / "copy")
    directory.rename(tmp_path / "away")
    gateway.process.wait_for(lambda: gateway.calls(token) == {503})
    assert "revoked.lmdb is gone" in gateway.process.stderr()
    (tmp_path / "copy").rename(directory)
    gateway.process.wait_for(lambda: gateway.calls(token) == {200})
    assert gateway.calls(revoked) == {401}
    began = time.monotonic()
    gateway.command("tokens", "revoke", token)
    gateway.wait_until_refused(token, began)


@pytest.mark.parametrize("verb", ["suspend", "revoke"])
def test_a_key_takes_its_tokens_with_it(gateway: TokenGateway, key: str, verb: str) -> None:
    token = gateway.token(f"{PATH}:{key}", scope="model:*")
    assert gateway.calls(token) == {200}
    assert gateway.call(token, "n") == 403
    gateway.command("keys", verb, key[3:13])
    gateway.wait_until_refused(token, time.monotonic())
    status, answer = gateway.post("/oauth/token", f"{PATH}:{key}", grant_type="client_credentials")
    assert (status, answer["error"]) == (401, "invalid_client")


def test_a_rotation_of_the_signing_keys(gateway: TokenGateway) -> None:
    old = gateway.token()
    gateway.command("tokens", "rotate")
    assert gateway.calls(old) == {200}
    gateway.process.wait_for(lambda: gateway.token().split(".")[0] != old.split(".")[0])
    for _ in range(TRIES):
        assert gateway.calls(gateway.token()) == {200}
    gateway.command("tokens", "rotate", "--withdraw")
    gateway.wait_until_refused(old, time.monotonic())
    assert gateway.calls(gateway.token()) == {200}


def test_wrong_secrets_until_it_is_enough(gateway: TokenGateway) -> None:
    def guess() -> tuple[int, str]:
        status, answer = gateway.post("/oauth/token", "acme/search/guessed:wrong", grant_type="client_credentials")
        return status, str(answer["error"])

    # Each worker counts for itself.
    seen = [guess() for _ in range(60)]
    assert seen[0] == (401, "invalid_client")
    assert seen[-1] == (429, "temporarily_unavailable")
    assert gateway.token(), "others go on"


def test_a_token_outlives_its_gateway_but_not_its_configuration(upstream: ScriptedUpstream) -> None:
    config = {
        "providers": {"up": {"type": "openai_compatible", "url": upstream.url}},
        "models": {"m": {"targets": [{"provider": "up"}]}},
        "consumers": {"acme": {"teams": {"search": {"apps": {"indexer": {"keys": [key_hash(KEY)]}}}}}},
        "identity": {"tokens": {"issuer": "http://localhost:8080"}},
    }
    with GatewayProcess(config) as process:
        gateway = TokenGateway(process)
        token, revoked = gateway.token(), gateway.token()
        assert gateway.post("/oauth/revoke", f"{PATH}:{KEY}", token=revoked)[0] == 200
        process.stop()
        process.start()
        assert gateway.call(token) == 200
        assert gateway.call(revoked) == 401
        process.write_config({name: config[name] for name in ("providers", "models", "consumers")})
        process.signal(signal.SIGHUP)
        process.wait_for(lambda: gateway.call(token) == 401)
        assert gateway.post("/oauth/token", f"{PATH}:{KEY}", grant_type="client_credentials")[0] == 404
        process.write_config(config)
        process.signal(signal.SIGHUP)
        process.wait_for(lambda: gateway.call(token) == 200)
        assert gateway.call(revoked) == 401
