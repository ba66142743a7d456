"""Gateway tokens: only genuine ones are recognised, and only while what they were given for holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from joserfc.jwk import ECKey, OctKey
from joserfc.jws import JWSRegistry
from tests.signing import b64, b64_json
from tests.unit.server.token_world import CONFIGURED, NARROW, NOW, PATH, URL, TokenWorld, snapshot

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.config.problems import InvalidConfig
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.gateway_tokens import MAX_TOKEN_BYTES, RANDOM_BYTES, Origin, encode_token, make_id
from gatewright.pipeline.oauth import OAuthError
from gatewright.server.issued_tokens import Issued, open_tokens
from gatewright.server.signing_keys import HEADER_CHARACTERS, SigningKeys

FAR = float("inf")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TokenWorld]:
    made = TokenWorld(tmp_path)
    yield made
    made.close()


def issue(world: TokenWorld, key: str = CONFIGURED, scopes: Scopes | None = None, **changes: Any) -> Issued:
    holder = world.tokens.find_key(key.encode())
    assert holder is not None
    origin = Origin(consumer=holder.consumer.path, key=holder.handle)
    origin = msgspec.structs.replace(origin, **changes)
    return world.tokens.issue(origin, scopes, holder.consumer.expires_at, sub=PATH, client_id="c")


def refusal(world: TokenWorld, text: bytes) -> GatewayError:
    with pytest.raises(GatewayError) as refused:
        world.tokens.known(text)
    return refused.value


# -- who it stands for ------------------------------------------------------------------------------------------------


def test_a_token_for_a_key_of_the_configuration(world: TokenWorld) -> None:
    issued = issue(world, scopes=Scopes(models=("m",)))
    consumer = world.tokens.known(issued.text)
    assert consumer is not None
    assert (consumer.path, consumer.key_id, consumer.issuer) == (PATH, "", "")
    assert consumer.scopes == Scopes(models=("m",))
    assert consumer.expires_at == NOW + 900
    assert consumer.claims["sub"] == PATH
    assert world.tokens.known(issued.text) is consumer


def test_a_token_counts_as_its_key(world: TokenWorld) -> None:
    key = world.settings.add(scopes=NARROW)
    world.refresh()
    consumer = world.tokens.known(issue(world, key, Scopes(surfaces=("embeddings",))).text)
    assert consumer is not None
    assert consumer.key_id == key[3:13]
    assert consumer.scopes == Scopes(("gpt-*",), ("embeddings",), ("192.0.2.0/24",))


def test_a_token_for_a_jwt(world: TokenWorld) -> None:
    origin = Origin(consumer="acme/a/b", issuer="corp", claims={"groups": ["x"]})
    issued = world.tokens.issue(origin, None, NOW + 60, sub="u", client_id="c", act={"sub": "bot"})
    consumer = world.tokens.known(issued.text)
    assert consumer is not None
    assert (consumer.path, consumer.key_id, consumer.issuer, consumer.scopes) == ("acme/a/b", "jwt:corp", "corp", None)
    assert (consumer.claims["groups"], consumer.claims["act"]) == (["x"], {"sub": "bot"})
    assert consumer.expires_at == NOW + 60
    world.tokens.use(world.config, snapshot(issuers=()))
    assert "no longer trusted" in refusal(world, issued.text).message


@pytest.mark.parametrize("text", [b"", b"gw-x", b"eyJ.x.y", b"a.b.c", b"x" * (MAX_TOKEN_BYTES + 1)])
def test_what_is_none_of_our_business(world: TokenWorld, text: bytes) -> None:
    assert world.tokens.known(text) is None


def test_names_do_not_repeat(world: TokenWorld) -> None:
    assert issue(world).token.jti != issue(world).token.jti


# -- how long ---------------------------------------------------------------------------------------------------------


def test_it_ends(world: TokenWorld) -> None:
    issued = issue(world)
    world.clock.advance(899)
    assert world.tokens.known(issued.text)
    world.clock.advance(1)
    assert "expired" in refusal(world, issued.text).message


def test_it_ends_with_its_key(world: TokenWorld) -> None:
    key = world.settings.add(expires_at=int(NOW) + 100)
    world.refresh()
    assert issue(world, key).token.exp == NOW + 100
    world.settings.change(key, expires_at=int(NOW) + 50)
    world.refresh()
    consumer = world.tokens.known(issue(world, key).text)
    assert consumer is not None
    assert consumer.expires_at == NOW + 50


def test_nothing_is_given_for_what_ends_now(world: TokenWorld) -> None:
    with pytest.raises(OAuthError, match="ends this second") as refused:
        world.tokens.issue(Origin(consumer=PATH, issuer="corp"), None, NOW + 0.5, sub="s", client_id="c")
    assert refused.value.code == "invalid_grant"


# -- while its key holds ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"is_revoked": True}, "was revoked"),
        ({"is_suspended": True}, "is suspended"),
        ({"expires_at": int(NOW) - 1}, "has expired"),
        ({"consumer": "acme/other/app"}, "is gone"),
        ({"scopes": Scopes(models=("claude-*",))}, "nothing of its scope"),
    ],
)
def test_a_key_takes_its_tokens_with_it(world: TokenWorld, changes: dict[str, Any], told: str) -> None:
    key = world.settings.add()
    world.refresh()
    issued = issue(world, key, Scopes(models=("gpt-*",)))
    assert world.tokens.known(issued.text)
    world.settings.change(key, **changes)
    world.refresh()
    assert told in refusal(world, issued.text).message


def test_a_key_that_holds_again_brings_its_tokens_back(world: TokenWorld) -> None:
    key = world.settings.add(is_suspended=False)
    world.refresh()
    issued = issue(world, key)
    world.settings.change(key, is_suspended=True)
    world.refresh()
    assert "suspended" in refusal(world, issued.text).message
    world.settings.change(key, is_suspended=False)
    world.refresh()
    assert world.tokens.known(issued.text)


def test_a_key_that_is_narrowed_narrows_its_tokens(world: TokenWorld) -> None:
    key = world.settings.add()
    world.refresh()
    issued = issue(world, key, Scopes(models=("gpt-*",)))
    assert world.tokens.known(issued.text)
    world.settings.change(key, scopes=Scopes(models=("gpt-4*",)))
    world.refresh()
    consumer = world.tokens.known(issued.text)
    assert consumer is not None
    assert consumer.scopes == Scopes(models=("gpt-4*",))


def test_keys_that_are_gone(world: TokenWorld) -> None:
    key = world.settings.add()
    world.refresh()
    managed, configured = issue(world, key), issue(world)
    world.settings.delete(key)
    world.refresh()
    assert "is gone" in refusal(world, managed.text).message
    world.tokens.use(world.config, snapshot(keys=()))
    assert "is gone" in refusal(world, configured.text).message


def test_a_token_tells_nothing_about_its_key(world: TokenWorld) -> None:
    text = msgspec.json.encode(issue(world).token)
    assert CONFIGURED.encode() not in text
    for digest in world.tokens._snapshot.configured_keys:  # type: ignore[union-attr]
        assert b64(digest).encode() not in text


# -- revocation -------------------------------------------------------------------------------------------------------


def test_a_revoked_token(world: TokenWorld) -> None:
    issued, other = issue(world), issue(world)
    found = world.tokens.recognise(issued.text)
    assert found is not None
    assert world.tokens.known(issued.text)
    asyncio.run(world.tokens.revoke(found.names[0]))
    assert "was revoked" in refusal(world, issued.text).message
    assert "was revoked" in refusal(world, issued.text).message
    assert world.tokens.known(other.text)


def test_what_it_was_exchanged_for_goes_with_its_parent(world: TokenWorld) -> None:
    parent = issue(world)
    child = issue(world, parents=(parent.token.jti,))
    found = world.tokens.recognise(parent.text)
    assert found is not None
    asyncio.run(world.tokens.revoke(found.names[0]))
    assert "was revoked" in refusal(world, child.text).message


def test_when_nobody_can_tell_it_is_refused(world: TokenWorld) -> None:
    issued = issue(world)
    assert world.tokens.known(issued.text)
    world.tokens._revoked.close()
    error = refusal(world, issued.text)
    assert (error.kind, error.status) == (Kind.OVERLOADED, 503)


# -- forgeries --------------------------------------------------------------------------------------------------------


def parts(text: bytes) -> list[bytes]:
    return text.split(b".")


def with_header(text: bytes, **changes: Any) -> bytes:
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "x"} | changes
    return b".".join([b64_json(header).encode(), *parts(text)[1:]])


def test_another_header_is_never_ours(world: TokenWorld) -> None:
    """So `alg`, `typ`, `jku`, `jwk` and `crit` cannot be played with: one header per key, and it is compared."""
    text = issue(world).text
    kid = world.tokens.signing.current(NOW).kid
    for header in (
        {"alg": "none", "kid": kid},
        {"alg": "HS256", "kid": kid},
        {"alg": "ES384", "kid": kid},
        {"typ": "JWT", "kid": kid},
        {"typ": "at+JWT", "kid": kid},
        {"typ": "logout+jwt", "kid": kid},
        {"kid": kid, "jku": "https://evil.example/keys"},
        {"kid": kid, "crit": ["x"]},
        {"kid": "../" + kid},
    ):
        forged = with_header(text, **header)
        if len(parts(forged)[0]) == HEADER_CHARACTERS:
            assert "not in use here" in refusal(world, forged).message
        else:
            assert world.tokens.known(forged) is None, header
    assert world.tokens.known(with_header(text, kid=kid)) is not None
    assert "not in use here" in refusal(world, with_header(text, kid="x" * len(kid))).message


def test_a_signature_by_the_published_key_as_a_secret(world: TokenWorld) -> None:
    payload = parts(issue(world).text)[1]
    key = OctKey.import_key(world.tokens.signing.jwks(NOW))
    header = parts(issue(world).text)[0]
    signed = header + b"." + payload
    forged = signed + b"." + b64(JWSRegistry.algorithms["HS256"].sign(signed, key)).encode()
    assert "signature" in refusal(world, forged).message


def test_changed_claims(world: TokenWorld) -> None:
    header, payload, signature = parts(issue(world, scopes=Scopes(models=("a",))).text)
    wider = b64(msgspec.json.encode(issue(world).token)).encode()
    for forged in (
        b".".join([header, wider, signature]),
        b".".join([header, payload, signature[:-2]]),
        b".".join([header, payload, b""]),
        b".".join([header, payload]),
        b".".join([header, payload, signature, b"x"]),
        b".".join([header, b"", signature]),
    ):
        assert "signature is not valid" in refusal(world, forged).message
        assert "signature is not valid" in refusal(world, forged).message, "remembered, and told the same"


def test_a_token_of_another_gateway(world: TokenWorld, tmp_path: Path) -> None:
    """Under the address of this one it is refused; under its own it is for whoever trusts that gateway."""
    other = TokenWorld(tmp_path / "other")
    impostor = issue(other).text
    other.tokens.use(GatewayTokens(issuer="https://other.example"), snapshot())
    stranger = issue(other).text
    other.close()
    assert "not in use here" in refusal(world, impostor).message
    assert world.tokens.known(stranger) is None
    header = parts(stranger)[0]
    for rest in (b"", b"x", b"!!.x", b"e30.x", b"W10.x", b"\xff.x"):
        assert world.tokens.known(header + b"." + rest) is None


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"issuer": "https://other.example"}, "under another address"),
        ({"issuer": URL, "audience": "other"}, "another audience"),
    ],
)
def test_a_token_of_another_configuration(world: TokenWorld, config: dict[str, Any], told: str) -> None:
    text = issue(world).text
    assert world.tokens.known(text)
    world.tokens.use(GatewayTokens(**config), snapshot())
    assert told in refusal(world, text).message


@pytest.mark.parametrize(
    "payload",
    [
        b"no json",
        b"{}",
        b'{"iss":"https://ai.acme.example"}',
        b"\xff",
        b'{"iss":"https://ai.acme.example","sub":"s","aud":"https://ai.acme.example","client_id":"c","jti":"short","iat":1,'
        b'"exp":2000000000,"gatewright":{"consumer":"acme/a/b","issuer":"corp"}}',
    ],
)
def test_what_we_signed_but_do_not_understand(world: TokenWorld, payload: bytes) -> None:
    refusal(world, world.tokens.signing.current(NOW).sign(payload))


def test_a_token_that_would_not_fit_into_a_header(world: TokenWorld) -> None:
    scopes = Scopes(models=tuple(f"model-{number:04d}-with-a-long-name" for number in range(175)))
    with pytest.raises(OAuthError, match="larger than"):
        issue(world, scopes=scopes)


# -- keys to sign with ------------------------------------------------------------------------------------------------


def test_rotation_and_withdrawal(world: TokenWorld) -> None:
    first = issue(world)
    world.tokens.signing.rotate(NOW)
    second = issue(world)
    assert parts(first.text)[0] != parts(second.text)[0]
    assert world.tokens.known(first.text)
    assert world.tokens.known(second.text)
    world.tokens.signing.rotate(NOW, withdraw=True)
    world.tokens._known.clear()
    assert "not in use here" in refusal(world, first.text).message


def test_a_key_that_was_rotated_out_vouches_for_nothing_later(world: TokenWorld) -> None:
    """Though somebody may have its private part still, of a backup."""
    stolen = world.tokens.signing.current(NOW)
    token = issue(world).token
    world.tokens.signing.rotate(NOW)
    retired = world.tokens.signing.find(stolen.header)
    assert retired is not None
    assert retired.until is not None
    until = retired.until

    def forge(iat: float, exp: float) -> bytes:
        jti = make_id(int(exp), bytes(RANDOM_BYTES))
        forged = msgspec.structs.replace(token, jti=jti, iat=int(iat), exp=int(exp))
        return stolen.sign(encode_token(forged))

    longest = forge(NOW, until)
    assert world.tokens.known(longest), "as one signed before by a gateway that was not told of the rotation yet"
    assert "not in use here" in refusal(world, forge(NOW - 1, until + 1)).message
    world.clock.advance(until - NOW)
    assert "expired" in refusal(world, longest).message
    assert "not in use here" in refusal(world, forge(until, until + 600)).message
    assert "not in use here" in refusal(world, forge(NOW - 1, until + 10 * 365 * 86_400)).message


def test_what_a_key_vouched_for_before_its_rotation_is_asked_again(world: TokenWorld) -> None:
    key = world.tokens.signing.current(NOW)
    token = msgspec.structs.replace(issue(world).token, exp=int(NOW) + 30 * 86_400)
    text = key.sign(encode_token(token))
    assert world.tokens.known(text)
    SigningKeys(world.state).rotate(NOW)
    world.refresh()
    assert "not in use here" in refusal(world, text).message


def test_a_withdrawal_by_somebody_else_is_noticed(world: TokenWorld) -> None:
    issued = issue(world)
    assert world.tokens.known(issued.text)
    (world.state / "signing").rename(world.state / "gone")
    world.refresh()
    assert "not in use here" in refusal(world, issued.text).message


def test_keys_are_found_by_their_text(world: TokenWorld) -> None:
    key = world.settings.add(is_suspended=True)
    world.refresh()
    holder = world.tokens.find_key(CONFIGURED.encode())
    assert holder is not None
    assert holder.consumer == Consumer(PATH)
    assert world.tokens.find_key(b"wrong") is None
    with pytest.raises(GatewayError, match="is suspended"):
        world.tokens.find_key(key.encode())


def test_being_ready_makes_a_key(world: TokenWorld) -> None:
    assert not world.tokens.signing.is_ready
    asyncio.run(world.tokens.ready())
    assert world.tokens.signing.is_ready


def test_a_state_that_cannot_be_used_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "signing").write_bytes(b"")
    with pytest.raises(InvalidConfig) as refused:
        open_tokens(tmp_path, None, b"", lambda: NOW)
    assert refused.value.errors[0].path == "identity.tokens"


def test_a_damaged_signing_key_is_told(world: TokenWorld) -> None:
    stranger = ECKey.generate_key("P-256")
    header = b64_json({"alg": "ES256", "typ": "at+jwt", "kid": stranger.thumbprint()}).encode()
    path = world.tokens.signing.current(NOW).path
    path.with_name("0.jwk").write_bytes(b"damaged")
    world.tokens.tick()
    assert refusal(world, header + b".e30.x").status == 503
