"""The token endpoint: who gets what, and who is refused how."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec
import pytest
from joserfc import jwt as jose
from joserfc.jwk import KeySet
from tests.signing import b64_json, claims, key_set, public, rsa_key, sign
from tests.unit.server.issuing import JWKS_URL, FakeLoop, FakeProvider, compiled, issuer, task_group
from tests.unit.server.token_world import CONFIGURED, NARROW, NOW, PATH, URL, TokenWorld, snapshot

from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import Kind
from gatewright.core.exchange import Exchange
from gatewright.core.reply import Reply
from gatewright.pipeline.gateway_tokens import ACCESS_TOKEN, EXCHANGE, ID_TOKEN, JWT
from gatewright.pipeline.guesses import PER_ADDRESS, PER_CLIENT, Guesses
from gatewright.server.federation import Federation
from gatewright.server.token_endpoint import TokenEndpoints
from gatewright.wire.request import Request

CREDENTIALS = {"grant_type": "client_credentials"}
FORM = b"application/x-www-form-urlencoded"


class Answered:
    """An answer, read."""

    def __init__(self, reply: Reply, x: Exchange) -> None:
        self.status, self.headers, self.x = reply.status, dict(reply.headers), x
        self.body = msgspec.json.decode(reply.body)

    @property
    def text(self) -> bytes:
        assert self.status == 200, self.body
        return str(self.body["access_token"]).encode()

    @property
    def error(self) -> str:
        assert self.x.error is not None
        assert self.x.error.status == self.status
        assert self.headers[b"cache-control"] == b"no-store"
        return str(self.body["error"])

    @property
    def told(self) -> str:
        return str(self.body["error_description"])


class World(TokenWorld):
    def __init__(self, state: Path, **config: Any) -> None:
        super().__init__(state, **({"claims": ["groups"]} | config))
        self.provider = FakeProvider()
        self.provider.documents[JWKS_URL] = key_set(public(rsa_key()))
        self.federation = Federation(
            FakeLoop(),  # type: ignore[arg-type]
            self.provider,  # type: ignore[arg-type]
            task_group([]),
            self.clock,
            lambda _: None,
        )
        self.federation.use(compiled(issuers={"corp": issuer(models_claim="models")}))
        self.endpoints = TokenEndpoints(self.config, self.tokens, self.federation, Guesses(), self.clock)

    async def call(
        self,
        path: str,
        form: dict[str, Any] | None = None,
        *,
        basic: str = "",
        address: str = "192.0.2.1",
        method: str = "POST",
        **more: bytes,
    ) -> Answered:
        headers = {b"content-type": FORM}
        if basic:
            headers[b"authorization"] = b"Basic " + b64encode(basic.encode())
        body = urlencode(form or {}, doseq=True).encode()
        request = Request(method.encode(), path.encode(), more.get("query", b""), headers, body, True, False)
        x = Exchange("req_1", snapshot(), headers, body, 0.0)
        endpoint = self.endpoints.find(path.encode())
        assert endpoint is not None
        return Answered(await self.endpoints.answer(endpoint, request, x, address), x)

    async def token(self, form: dict[str, Any] | None = None, *, basic: str = "", **options: Any) -> Answered:
        return await self.call("/oauth/token", form, basic=basic, **options)

    async def exchange(self, subject: bytes, kind: str = JWT, **form: Any) -> Answered:
        named = {"grant_type": EXCHANGE, "subject_token": subject.decode(), "subject_token_type": kind}
        return await self.token({name: value for name, value in (named | form).items() if value is not None})

    def who(self, text: bytes) -> Consumer:
        consumer = self.tokens.known(text)
        assert consumer is not None
        return consumer


def run(state: Path, test: Callable[[World], Awaitable[None]], **config: Any) -> None:
    async def inside() -> None:
        world = World(state, **config)
        try:
            await test(world)
        finally:
            world.federation.close()
            world.close()

    asyncio.run(inside())


# -- client credentials -----------------------------------------------------------------------------------------------


def test_client_credentials(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        key = w.settings.add(scopes=NARROW)
        w.refresh()
        for basic, more in (
            (f"{key[3:13]}:{key}", {}),
            (f"gw-{key[3:13]}:{key}", {}),
            (f"acme%2Fsearch%2Findexer:{key}", {}),
            ("", {"client_id": PATH, "client_secret": key}),
            (f"{PATH}:{CONFIGURED}", {}),
        ):
            answer = await w.token(CREDENTIALS | more, basic=basic)
            assert answer.status == 200, answer.body
            assert answer.headers == {b"cache-control": b"no-store", b"pragma": b"no-cache"}
            assert (answer.body["token_type"], answer.body["expires_in"]) == ("Bearer", 900)
            assert answer.x.consumer.path == PATH
            assert answer.x.error is None
            assert w.who(answer.text).path == PATH

    run(tmp_path, inside)


@pytest.mark.parametrize("secret", ["a+b/c==", "50%", "50%25", "p%C3%A9"])
def test_a_secret_as_curl_sends_it_and_as_it_should_be(tmp_path: Path, secret: str) -> None:
    async def inside(w: World) -> None:
        w.tokens.use(w.config, snapshot(keys=(secret,)))
        for sent in (secret, quote_plus(secret)):
            assert (await w.token(CREDENTIALS, basic=f"{PATH}:{sent}")).status == 200

    run(tmp_path, inside)


def test_a_resource_server_can_check_it(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        answer = await w.token(CREDENTIALS | {"scope": "model:m"}, basic=f"{PATH}:{CONFIGURED}")
        published = await w.call("/.well-known/jwks.json", method="GET")
        ring = KeySet.import_key_set(published.body)
        found = jose.decode(answer.text.decode(), ring, algorithms=["ES256"])
        assert found.header["typ"] == "at+jwt"
        assert found.claims.pop("gatewright")["consumer"] == PATH
        jti = found.claims.pop("jti")
        assert len(jti) == 32
        assert found.claims == {
            "iss": URL,
            "sub": PATH,
            "aud": URL,
            "client_id": PATH,
            "iat": NOW,
            "exp": NOW + 900,
            "scope": "model:m",
        }

    run(tmp_path, inside)


@pytest.mark.parametrize(
    ("scopes", "asked", "scope"),
    [
        (Scopes(), "", None),
        (Scopes(), "model:gpt-*", "model:gpt-*"),
        (NARROW, "", "model:gpt-*"),
        (NARROW, "model:gpt-4 surface:embeddings", "model:gpt-4 surface:embeddings"),
        (NARROW, "model:*", "model:gpt-*"),
        (NARROW, "model:gpt-4 model:claude-3", "model:gpt-4"),
    ],
)
def test_it_is_never_wider_than_its_key(tmp_path: Path, scopes: Scopes, asked: str, scope: str | None) -> None:
    async def inside(w: World) -> None:
        key = w.settings.add(scopes=scopes)
        w.refresh()
        answer = await w.token(CREDENTIALS | {"scope": asked}, basic=f"{PATH}:{key}")
        assert answer.body.get("scope") == scope

    run(tmp_path, inside)


@pytest.mark.parametrize(
    ("form", "basic", "status", "code"),
    [
        ({}, "", 400, "invalid_request"),
        ({"grant_type": "password"}, f"{PATH}:{CONFIGURED}", 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "", 400, "unsupported_grant_type"),
        (CREDENTIALS, "", 401, "invalid_client"),
        (CREDENTIALS | {"client_id": PATH}, "", 401, "invalid_client"),
        (CREDENTIALS, f"{PATH}:wrong", 401, "invalid_client"),
        (CREDENTIALS, f"acme/search/other:{CONFIGURED}", 401, "invalid_client"),
        (CREDENTIALS, f":{CONFIGURED}", 401, "invalid_client"),
        (CREDENTIALS, f"{PATH}:", 401, "invalid_client"),
        (CREDENTIALS | {"scope": "openid"}, f"{PATH}:{CONFIGURED}", 400, "invalid_scope"),
        (CREDENTIALS | {"resource": "https://mail.example"}, f"{PATH}:{CONFIGURED}", 400, "invalid_target"),
        (CREDENTIALS | {"resource": URL}, f"{PATH}:{CONFIGURED}", 200, ""),
    ],
)
def test_refusals(tmp_path: Path, form: dict[str, str], basic: str, status: int, code: str) -> None:
    async def inside(w: World) -> None:
        answer = await w.token(form, basic=basic)
        assert answer.status == status, answer.body
        if code:
            assert answer.error == code
            assert CONFIGURED not in answer.told
            assert (b"www-authenticate" in answer.headers) is (status == 401)

    run(tmp_path, inside)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"is_revoked": True}, "was revoked"),
        ({"is_suspended": True}, "is suspended"),
        ({"expires_at": int(NOW)}, "has expired"),
        ({"scopes": Scopes(networks=("10.0.0.0/8",))}, "may not be used from"),
    ],
)
def test_a_key_that_does_not_hold(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    async def inside(w: World) -> None:
        key = w.settings.add(**changes)
        w.refresh()
        answer = await w.token(CREDENTIALS, basic=f"{PATH}:{key}")
        assert (answer.status, answer.error) == (401, "invalid_client")
        assert told in answer.told

    run(tmp_path, inside)


def test_guessing(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        for _ in range(PER_CLIENT):
            assert (await w.token(CREDENTIALS, basic=f"{PATH}:wrong")).status == 401
        answer = await w.token(CREDENTIALS, basic=f"{PATH}:wrong")
        assert (answer.status, answer.error) == (429, "temporarily_unavailable")
        assert answer.headers[b"retry-after"] == b"60"
        assert answer.x.error is not None
        assert answer.x.error.kind is Kind.RATE_LIMITED
        assert (await w.token(CREDENTIALS, basic=f"{PATH}:wrong", address="192.0.2.2")).status == 401
        w.clock.advance(60)
        assert (await w.token(CREDENTIALS, basic=f"{PATH}:wrong")).status == 401

    run(tmp_path, inside)


async def guess_a_client(w: World) -> Answered:
    return await w.token(CREDENTIALS, basic=f"{PATH}:wrong")


async def guess_a_secret(w: World) -> Answered:
    return await w.token({"grant_type": EXCHANGE, "client_id": "x", "client_secret": "wrong"})


async def show_rubbish(w: World) -> Answered:
    return await w.exchange(b"x")


async def show_an_old_jwt(w: World) -> Answered:
    return await w.exchange(sign(claims(exp=1, **MODELS)))


@pytest.mark.parametrize("mistake", [guess_a_client, guess_a_secret, show_rubbish, show_an_old_jwt])
def test_nobody_shuts_out_who_is_right(tmp_path: Path, mistake: Callable[[World], Awaitable[Answered]]) -> None:
    async def inside(w: World) -> None:
        statuses = {(await mistake(w)).status for _ in range(PER_ADDRESS + 1)}
        assert 429 in statuses
        given = await w.token(CREDENTIALS, basic=f"{PATH}:{CONFIGURED}")
        assert given.status == 200
        assert (await w.exchange(sign(claims(**MODELS)))).status == 200
        assert (await w.exchange(given.text, ACCESS_TOKEN)).status == 200
        revoked = await w.call("/oauth/revoke", {"token": given.text.decode()}, basic=f"{PATH}:{CONFIGURED}")
        assert revoked.status == 200
        key = w.settings.add(is_suspended=True)
        w.refresh()
        assert "is suspended" in (await w.token(CREDENTIALS, basic=f"{PATH}:{key}")).told

    run(tmp_path, inside)


def test_one_wrong_client_takes_no_explanation_from_who_exchanges_a_jwt(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        for _ in range(PER_CLIENT + 1):
            await guess_a_client(w)
        assert (await show_an_old_jwt(w)).error == "invalid_request"

    run(tmp_path, inside)


# -- token exchange ---------------------------------------------------------------------------------------------------


MODELS = {"models": ["gpt-*"]}


def test_a_jwt_for_a_token(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        subject = sign(claims(**MODELS))
        answer = await w.exchange(subject, scope="model:gpt-4 surface:embeddings")
        assert answer.body["issued_token_type"] == ACCESS_TOKEN
        assert answer.body["expires_in"] == 600, "never longer than the JWT, and without its leeway"
        assert answer.body["scope"] == "model:gpt-4 surface:embeddings"
        consumer = w.who(answer.text)
        assert (consumer.path, consumer.issuer, consumer.key_id) == (PATH, "corp", "jwt:corp")
        assert {name: consumer.claims[name] for name in ("sub", "client_id", "groups")} == {
            "sub": "user-1",
            "client_id": "indexer",
            "groups": ["search"],
        }
        assert answer.x.consumer.path == PATH

    run(tmp_path, inside)


@pytest.mark.parametrize(
    ("models", "told"),
    [([f"m{number}" for number in range(501)], "more than 500 words"), (["gpt-4", "a\u200bb"], "printable")],
)
def test_no_token_is_given_that_would_not_be_taken(tmp_path: Path, models: list[str], told: str) -> None:
    async def inside(w: World) -> None:
        subject = sign(claims(models=models))
        answer = await w.exchange(subject)
        assert answer.error == "invalid_scope"
        assert told in answer.told
        narrowed = await w.exchange(subject, scope=f"model:{models[0]}")
        assert w.who(narrowed.text).scopes == Scopes(models=(models[0],))

    run(tmp_path, inside)


def test_an_id_token_for_a_token(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        subject = sign(claims(nonce="n", **MODELS))
        assert (await w.exchange(subject, ID_TOKEN)).status == 200
        answer = await w.exchange(subject, ACCESS_TOKEN)
        assert answer.error == "invalid_request"
        assert "is an ID token" in answer.told

    run(tmp_path, inside)


def test_actors(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        subject, bot = sign(claims(**MODELS)), sign(claims(sub="bot", **MODELS))
        options = {"actor_token": bot.decode(), "actor_token_type": JWT}
        answer = await w.exchange(subject, **options)
        act = {"iss": claims()["iss"], "sub": "bot"}
        assert w.who(answer.text).claims["act"] == act
        own = (await w.token(CREDENTIALS, basic=f"{PATH}:{CONFIGURED}")).text
        further = await w.exchange(answer.text, ACCESS_TOKEN, actor_token=own.decode(), actor_token_type=ACCESS_TOKEN)
        assert w.who(further.text).claims["act"] == {"iss": URL, "sub": PATH, "act": act}
        assert w.who(further.text).claims["sub"] == "user-1"
        picky = sign(claims(may_act={"sub": "another"}, **MODELS))
        assert (await w.exchange(picky, **options)).error == "invalid_request"
        assert (await w.exchange(subject, actor_token_type=JWT)).error == "invalid_request"
        assert (await w.exchange(subject, actor_token="eyJ.x.y", actor_token_type=JWT)).error == "invalid_request"

    run(tmp_path, inside)


def test_a_client_that_exchanges(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        form = {"grant_type": EXCHANGE, "subject_token": sign(claims(**MODELS)).decode(), "subject_token_type": JWT}
        answer = await w.token(form, basic=f"{PATH}:{CONFIGURED}")
        assert w.who(answer.text).claims["client_id"] == PATH
        assert (await w.token(form, basic=f"{PATH}:wrong")).error == "invalid_client"

    run(tmp_path, inside)


def forged_none() -> bytes:
    return f"{b64_json({'alg': 'none', 'typ': 'at+jwt'})}.{b64_json(claims(**MODELS))}.".encode()


@pytest.mark.parametrize(
    ("subject", "kind", "told"),
    [
        (lambda: CONFIGURED.encode(), ACCESS_TOKEN, "must be a JWT"),
        (lambda: b"opaque", ACCESS_TOKEN, "must be a JWT"),
        (lambda: sign(claims(**MODELS))[:-9], JWT, "cut or changed"),
        (lambda: forged_none(), JWT, ""),
        (lambda: sign(claims(aud="https://mail.example", **MODELS)), JWT, "another audience"),
        (lambda: sign(claims(iss="https://evil.example/", **MODELS)), JWT, "not one that this gateway trusts"),
        (lambda: sign(claims(exp=NOW - 60, **MODELS)), JWT, "expired"),
        (lambda: sign(claims(**MODELS), header={"typ": "logout+jwt"}), JWT, "not for calling"),
        (lambda: sign(claims(**MODELS), rsa_key(1)), JWT, "no key"),
        (lambda: sign(claims()), JWT, "does not list the models"),
        (lambda: sign(claims(**MODELS)), "urn:ietf:params:oauth:token-type:saml2", "must be"),
    ],
)
def test_subjects_that_are_refused(tmp_path: Path, subject: Callable[[], bytes], kind: str, told: str) -> None:
    async def inside(w: World) -> None:
        answer = await w.exchange(subject(), kind)
        assert (answer.status, answer.error) == (400, "invalid_request")
        assert told in answer.told, answer.told

    run(tmp_path, inside)


def test_what_an_exchange_must_say(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        subject = sign(claims(**MODELS))
        assert (await w.exchange(subject, subject_token=None)).error == "invalid_request"
        assert (await w.exchange(subject, subject_token_type=None)).error == "invalid_request"
        assert (await w.exchange(subject, requested_token_type=ID_TOKEN)).error == "invalid_request"
        assert (await w.exchange(subject, requested_token_type=JWT)).status == 200
        assert (await w.exchange(subject, audience="https://mail.example")).error == "invalid_target"
        assert (await w.exchange(subject, scope="model:claude-3")).error == "invalid_scope"

    run(tmp_path, inside)


def test_an_identity_provider_that_is_away(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        w.provider.documents.clear()
        answer = await w.exchange(sign(claims(**MODELS)))
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
        assert b"retry-after" in answer.headers

    run(tmp_path, inside)


def test_a_token_for_a_narrower_one(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        key = w.settings.add(scopes=NARROW)
        w.refresh()
        parent = await w.token(CREDENTIALS | {"scope": "model:gpt-4*"}, basic=f"{PATH}:{key}")
        w.clock.advance(300)
        child = await w.exchange(parent.text, ACCESS_TOKEN, scope="model:* surface:embeddings")
        assert child.body["scope"] == "model:gpt-4* surface:embeddings", "never wider"
        assert child.body["expires_in"] == 600, "never longer"
        assert w.who(child.text).key_id == key[3:13]
        assert (await w.exchange(parent.text, ACCESS_TOKEN, scope="model:claude-3")).error == "invalid_scope"
        assert (await w.exchange(parent.text, ID_TOKEN)).error == "invalid_request"
        assert (await w.exchange(parent.text[:-9], ACCESS_TOKEN)).error == "invalid_request"
        w.settings.change(key, is_suspended=True)
        w.refresh()
        assert (await w.exchange(parent.text, ACCESS_TOKEN)).error == "invalid_request"

    run(tmp_path, inside)


def test_exchanging_for_ever(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        text = (await w.token(CREDENTIALS, basic=f"{PATH}:{CONFIGURED}")).text
        for _ in range(8):
            text = (await w.exchange(text, ACCESS_TOKEN)).text
        answer = await w.exchange(text, ACCESS_TOKEN)
        assert "exchanged 8 times" in answer.told

    run(tmp_path, inside)


# -- revocation -------------------------------------------------------------------------------------------------------


def test_revocation(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        async def revoke(text: bytes, basic: str = "") -> Answered:
            return await w.call("/oauth/revoke", {"token": text.decode(), "token_type_hint": "x"}, basic=basic)

        me = f"{PATH}:{CONFIGURED}"
        other = w.settings.add(consumer="acme/other/app")
        w.refresh()
        text = (await w.token(CREDENTIALS, basic=me)).text
        child = (await w.exchange(text, ACCESS_TOKEN)).text
        assert (await revoke(text)).error == "invalid_client"
        assert (await revoke(text, f"{PATH}:wrong")).error == "invalid_client"
        assert (await revoke(text, f"acme/other/app:{other}")).error == "unauthorized_client"
        assert w.who(text).path == PATH
        assert (await revoke(text, me)).status == 200
        assert (await revoke(text, me)).status == 200
        for revoked in (text, child):
            assert "was revoked" in (await w.exchange(revoked, ACCESS_TOKEN)).told
        assert (await revoke(b"whatever", me)).status == 200
        assert (await revoke(text[:-5], me)).status == 200
        assert (await revoke(other.encode(), me)).error == "unsupported_token_type"
        assert (await w.call("/oauth/revoke", {}, basic=me)).error == "invalid_request"

    run(tmp_path, inside)


def test_who_shows_a_token_that_no_key_was_needed_for_may_revoke_it(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        text = (await w.exchange(sign(claims(**MODELS)))).text
        assert (await w.call("/oauth/revoke", {"token": text.decode()})).status == 200
        assert "was revoked" in (await w.exchange(text, ACCESS_TOKEN)).told

    run(tmp_path, inside)


# -- telling ----------------------------------------------------------------------------------------------------------


def test_metadata(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        for path in (
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-authorization-server/gw",
        ):
            answer = await w.call(path, method="GET")
            assert answer.body["issuer"] == f"{URL}/gw"
            assert answer.body["jwks_uri"] == f"{URL}/gw/.well-known/jwks.json"
            assert answer.headers[b"cache-control"].startswith(b"public")
        assert w.endpoints.find(b"/oauth/authorize") is None

    run(tmp_path, inside, issuer=f"{URL}/gw")


@pytest.mark.parametrize(
    ("path", "method", "allow"),
    [
        ("/oauth/token", "GET", b"POST"),
        ("/oauth/revoke", "GET", b"POST"),
        ("/.well-known/jwks.json", "POST", b"GET"),
        ("/.well-known/oauth-authorization-server", "DELETE", b"GET"),
    ],
)
def test_other_methods(tmp_path: Path, path: str, method: str, allow: bytes) -> None:
    async def inside(w: World) -> None:
        answer = await w.call(path, method=method)
        assert (answer.status, answer.headers[b"allow"]) == (405, allow)

    run(tmp_path, inside)


def test_secrets_in_a_query(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        answer = await w.token(CREDENTIALS, basic=f"{PATH}:{CONFIGURED}", query=b"client_secret=x")
        assert answer.error == "invalid_request"

    run(tmp_path, inside)


def test_a_state_directory_that_cannot_be_used(tmp_path: Path) -> None:
    async def inside(w: World) -> None:
        (tmp_path / "signing").write_bytes(b"")
        answer = await w.token(CREDENTIALS, basic=f"{PATH}:{CONFIGURED}")
        assert (answer.status, answer.error) == (503, "temporarily_unavailable")
        assert str(tmp_path) not in answer.told

    run(tmp_path, inside)
