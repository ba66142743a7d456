"""JWTs: what is accepted, and the classic attacks, none of which is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import RSAKey
from tests.signing import (
    AUDIENCE,
    ISSUER,
    NOW,
    b64,
    b64_json,
    claims,
    ec_key,
    ed_key,
    key_set,
    public,
    rsa_key,
    sign,
)

from gatewright.core.errors import GatewayError, Kind
from gatewright.pipeline.identities import Rules
from gatewright.pipeline.jwt import MAX_BYTES, KeyRing, check_algorithm, parse, parse_keys, refused, verify

RULES = Rules(name="acme", issuer=ISSUER, audience=frozenset((AUDIENCE, "other")))


def ring() -> KeyRing:
    return parse_keys(
        key_set(
            public(rsa_key(), alg="RS256"),
            public(rsa_key(1)),
            public(ec_key()),
            public(ec_key("P-384")),
            public(ec_key("P-521")),
            public(ed_key()),
        )
    )


def check(token: bytes, rules: Rules = RULES, keys: KeyRing | None = None, now: float = NOW) -> dict[str, Any]:
    """What the gateway does with a JWT; its claims when they are believed."""
    jwt = parse(token)
    if jwt.issuer != rules.issuer:
        raise refused("another issuer")
    check_algorithm(jwt, rules)
    key = (keys or ring()).find(jwt.kid, jwt.algorithm)
    if key is None:
        raise refused("no key of this name")
    verify(jwt, rules, key, now)
    return jwt.claims


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (rsa_key, "RS256"),
        (lambda: rsa_key(1), "RS384"),
        (lambda: rsa_key(1), "RS512"),
        (lambda: rsa_key(1), "PS256"),
        (lambda: rsa_key(1), "PS384"),
        (lambda: rsa_key(1), "PS512"),
        (ec_key, "ES256"),
        (lambda: ec_key("P-384"), "ES384"),
        (lambda: ec_key("P-521"), "ES512"),
        (ed_key, "EdDSA"),
        (ed_key, "Ed25519"),
    ],
)
def test_each_algorithm_is_accepted(key: Callable[[], Any], alg: str) -> None:
    assert check(sign(key=key(), alg=alg)) == claims()


@pytest.mark.parametrize(
    "body",
    [
        claims(aud=["x", AUDIENCE]),
        claims(aud="other"),
        claims(exp=int(NOW) - 29),
        claims(nbf=int(NOW) + 29),
        claims(iat=int(NOW) + 29),
        claims(iat=None),
        claims(exp=NOW + 0.5),
    ],
)
def test_good_claims(body: dict[str, Any]) -> None:
    assert check(sign(body)) == body


@pytest.mark.parametrize(
    "typ", [None, "JWT", "jwt", "at+jwt", "application/at+jwt", "application/okta-internal-at+jwt"]
)
def test_types_of_access_tokens(typ: str | None) -> None:
    assert check(sign(header={"typ": typ}))


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (lambda: sign(claims(exp=int(NOW) - 31)), "expired at 2027-01-15T07:59:29Z"),
        (lambda: sign(claims(exp=None)), "has no end"),
        (lambda: sign(claims(nbf=int(NOW) + 31)), "may not be used before 2027-01-15T08:00:31Z"),
        (lambda: sign(claims(iat=int(NOW) + 31)), "issued in the future"),
        (lambda: sign(claims(aud="elsewhere")), "another audience \\(`elsewhere`\\)"),
        (lambda: sign(claims(aud=None)), "does not say for whom"),
        (lambda: sign(claims(aud=[])), "another audience"),
        (lambda: sign(claims(aud={"a": 1})), "does not say for whom"),
        (lambda: sign(claims(aud=[["x"]])), "does not say for whom"),
        (lambda: sign(claims(iss=None)), "who issued it"),
        (lambda: sign(claims(iss=[ISSUER])), "who issued it"),
        (lambda: sign(claims(iss=ISSUER.rstrip("/"))), "another issuer"),
        (lambda: sign(claims(iss=ISSUER.upper())), "another issuer"),
        *[
            (lambda value=value: sign(claims(exp=value)), "not a date")
            for value in ("9999999999", True, 1e300, 10**19, 10**30, -1, [], {"": 1})
        ],
        (lambda: sign(claims(nbf="0")), "`nbf` is not a date"),
        (lambda: sign(claims(iat=False)), "`iat` is not a date"),
        (lambda: sign(b"[]"), "claims are not a JSON object"),
        (lambda: sign(b'"text"'), "claims are not a JSON object"),
        (lambda: sign(b"null"), "claims are not a JSON object"),
        (lambda: sign(b"{}{}"), "claims are not a JSON object"),
        (lambda: sign(b"{} x"), "claims are not a JSON object"),
        (lambda: sign(b'{"a":NaN}'), "claims are not a JSON object"),
        (lambda: sign(b'{"a":1e999}'), "claims are not a JSON object"),
        (lambda: sign(b'{"a":' + b"9" * 6000 + b"}"), "claims are not a JSON object"),
        (lambda: sign(b'{"iss":"\xff"}'), "claims are not a JSON object"),
        (lambda: sign(b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"), "claims are not a JSON object"),
        (lambda: sign(b'{"exp":1,' + msgspec.json.encode(claims())[1:]), "the same name twice"),
        (lambda: sign(header=b'{"alg":"none","alg":"RS256","kid":"rsa-0"}'), "header hold the same name twice"),
        (lambda: sign(header={"typ": "logout+jwt"}), "not for calling a service"),
        (lambda: sign(header={"typ": "dpop+jwt"}), "not for calling a service"),
        (lambda: sign(header={"typ": 1}), "not for calling a service"),
        (lambda: sign(header={"crit": ["exp"], "exp": 1}), "does not know"),
        (lambda: sign(header={"crit": []}), "does not know"),
        (lambda: sign(header={"crit": ["b64"], "b64": False}), "does not know"),
        (lambda: sign(header={"b64": False}), "does not know"),
        (lambda: sign(header={"alg": ["RS256"]}), "names no algorithm"),
        (lambda: sign(header=b'{"kid":"rsa-0"}'), "names no algorithm"),
        (lambda: sign(header={"kid": 7}), "`kid` in the JWT's header is not text"),
        (lambda: sign(claims(padding="x" * MAX_BYTES)), "larger than 16384 bytes"),
    ],
)
def test_what_an_issuer_signed_and_is_refused_all_the_same(token: Callable[[], bytes], message: str) -> None:
    with pytest.raises(GatewayError, match=message) as refusal:
        check(token())
    assert refusal.value.kind is Kind.UNAUTHENTICATED


def forged(header: dict[str, Any], signature: str = "", body: dict[str, Any] | None = None) -> bytes:
    return f"{b64_json(header)}.{b64_json(claims() if body is None else body)}.{signature}".encode()


def hs256(secret: bytes, **header: Any) -> bytes:
    """Signed by HMAC with something everybody knows."""
    text = f"{b64_json({'alg': 'HS256', 'kid': 'rsa-0'} | header)}.{b64_json(claims())}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}".encode()


def pem() -> bytes:
    return rsa_key().as_pem(private=False)


def with_own_key(**header: Any) -> bytes:
    """Signed by a key of the attacker's, which the header presents."""
    return sign(key=rsa_key(9), header={"kid": "rsa-0"} | header)


def stripped() -> bytes:
    return sign().rpartition(b".")[0] + b"."


def swapped() -> bytes:
    """Another body under a genuine signature."""
    header, _, signature = sign().split(b".")
    return b".".join((header, b64_json(claims(azp="admin")).encode(), signature))


def psychic(byte: bytes, size: int = 64, alg: str = "ES256", kid: str = "ec-P-256") -> bytes:
    """CVE-2022-21449: r and s that make the equation of ECDSA trivial."""
    return forged({"alg": alg, "kid": kid}, b64(byte * size))


ATTACKS: dict[str, Callable[[], bytes]] = {
    **{
        f"alg {alg}": lambda alg=alg: forged({"alg": alg, "kid": "rsa-0"}, "AA")
        for alg in ("none", "None", "NONE", "nOnE", "none ", "", "HS256", "HS384", "HS512", "RS1", "rs256", "A128KW")
    },
    "none without a signature": lambda: forged({"alg": "none"}),
    "none under a genuine signature": lambda: forged({"alg": "none"}, sign().split(b".")[2].decode()),
    "no signature": stripped,
    "two parts": lambda: sign().rpartition(b".")[0],
    "another body": swapped,
    "HMAC with the public key as PEM": lambda: hs256(pem()),
    "HMAC with the PEM less its line end": lambda: hs256(pem().strip()),
    "HMAC with the public key as JWK": lambda: hs256(msgspec.json.encode(public(rsa_key()))),
    "HMAC with the modulus": lambda: hs256(str(public(rsa_key())["n"]).encode()),
    "HMAC with nothing": lambda: hs256(b""),
    "HMAC with nothing, by a path": lambda: hs256(b"", kid="/dev/null"),
    "HMAC under the name RS256": lambda: hs256(pem(), alg="RS256"),
    "a key of one's own": with_own_key,
    "a key of one's own, embedded": lambda: with_own_key(jwk=public(rsa_key(9))),
    "a key of one's own at an address": lambda: with_own_key(jku="https://evil.example/keys", kid="rsa-9"),
    "a certificate of one's own at an address": lambda: with_own_key(x5u="https://evil.example/cert"),
    "a certificate of one's own": lambda: with_own_key(x5c=["MIIB"]),
    **{
        f"kid {kid!r}": lambda kid=kid: sign(key=rsa_key(9), header={"kid": kid})
        for kid in (
            "../../../../dev/null",
            "/dev/null",
            "https://evil.example/key",
            "rsa-0' OR '1'='1",
            "x' UNION SELECT 'key';--",
            "rsa-0\x00",
            "| curl evil.example",
            "",
            "rsa-0 ",
            "RSA-0",
        )
    },
    "the key of another type": lambda: sign(key=ec_key(), alg="ES256", header={"kid": "rsa-0"}),
    "RS256 with the name of an EC key": lambda: sign(header={"kid": "ec-P-256"}),
    "PS256 with a key for RS256": lambda: sign(alg="PS256"),
    "a curve for another algorithm": lambda: sign(key=ec_key("P-384"), alg="ES384", header={"alg": "ES256"}),
    "psychic zeros": lambda: psychic(b"\0"),
    "psychic ones": lambda: psychic(b"\xff"),
    "psychic zeros, P-384": lambda: psychic(b"\0", 96, "ES384", "ec-P-384"),
    "psychic zeros, P-521": lambda: psychic(b"\0", 132, "ES512", "ec-P-521"),
    "a signature in DER": lambda: forged({"alg": "ES256", "kid": "ec-P-256"}, b64(b"\x30\x06\x02\x01\x00\x02\x01\x00")),
    "Ed25519 zeros": lambda: forged({"alg": "EdDSA", "kid": "ed-Ed25519"}, b64(b"\0" * 64)),
    "no kid among several keys": lambda: sign(key=rsa_key(9), header={"kid": None}),
    "cut": lambda: sign()[:-1],
    "cut in the middle": lambda: sign()[:100],
    "a part too many": lambda: sign() + b".e30",
    "encrypted": lambda: sign() + b".e30.e30",
    "a dot too many": lambda: sign() + b".",
    "space before": lambda: b" " + sign(),
    "space behind": lambda: sign() + b" ",
    "a line break within": lambda: sign()[:50] + b"\n" + sign()[50:],
    "padding": lambda: sign() + b"==",
    "not UTF-8": lambda: b"eyJ\xff\xfe." + sign(),
    "not ASCII": lambda: sign().replace(b".", "․".encode(), 1),
    "plain base64": lambda: sign().replace(b"-", b"+").replace(b"_", b"/") + b"/",
    "nothing": lambda: b"",
    "dots": lambda: b"..",
    "JSON": lambda: msgspec.json.encode({"payload": "e30", "signatures": []}),
    "a header that is no object": lambda: f"{b64(b'[]')}.e30.AA".encode(),
    "a megabyte": lambda: b"eyJ" + b"A" * (1 << 20) + b".e30.AA",
    "a million dots": lambda: b"eyJ" + b"." * (1 << 20),
    "deep": lambda: f"{b64(b'[' * 6000)}.e30.AA".encode(),
}


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_attacks(attack: str) -> None:
    with pytest.raises(GatewayError) as refusal:
        check(ATTACKS[attack]())
    assert refusal.value.kind is Kind.UNAUTHENTICATED
    assert refusal.value.headers == ((b"www-authenticate", b'Bearer error="invalid_token"'),)


def test_addresses_and_keys_in_the_header_are_not_looked_at() -> None:
    """Some providers send them with each genuine JWT."""
    header = {"jku": "not an address", "x5u": 1, "jwk": [], "x5c": "x", "x5t": None, "nonce": "n"}
    assert check(sign(header=header))


def test_a_jwt_without_kid_needs_an_issuer_with_one_key() -> None:
    one = parse_keys(key_set(public(rsa_key(), kid=None), public(ec_key())))
    assert check(sign(header={"kid": None}), keys=one)
    assert one.find("rsa-0", "RS256") is None


def test_an_algorithm_that_is_not_configured_is_refused() -> None:
    rules = msgspec.structs.replace(RULES, algorithms=frozenset(("ES256",)))
    with pytest.raises(GatewayError, match="signed by `RS256`, which is not accepted"):
        check(sign(), rules)
    assert check(sign(key=ec_key(), alg="ES256"), rules)


@pytest.mark.parametrize(
    ("issued", "now", "message"),
    [
        (int(NOW), NOW + 129, None),
        (int(NOW), NOW + 130, "may be used for 100 s here"),
        (None, NOW, "does not say when it was issued"),
    ],
)
def test_greatest_age(issued: int | None, now: float, message: str | None) -> None:
    rules = msgspec.structs.replace(RULES, max_age_s=100.0)
    token = sign(claims(iat=issued))
    if message is None:
        jwt = parse(token)
        assert verify(jwt, rules, rsa_key(), now) == NOW + 130
    else:
        with pytest.raises(GatewayError, match=message):
            check(token, rules, now=now)


def test_another_spelling_of_the_same_bytes_is_not_the_same_jwt() -> None:
    token = sign(key=ec_key(), alg="ES256")  # 64 bytes of signature: the last character holds two bits only
    assert check(token)
    spellings = {token[:-1] + bytes([last]) for last in b"AQgwBRhx0123"} - {token}
    for spelling in spellings:
        with pytest.raises(GatewayError):
            parse(spelling) if spelling[-1:] not in b"AQgw" else check(spelling)


def test_until_when_it_counts() -> None:
    assert verify(parse(sign()), RULES, rsa_key(), NOW) == NOW + 630


VALID = sign()
VALID_RING = ring()


@settings(max_examples=300)
@given(st.data())
def test_no_change_of_a_genuine_jwt_is_accepted(data: st.DataObject) -> None:
    token = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(token) - 1))
        match data.draw(st.sampled_from(("replace", "insert", "delete", "cut", "swap"))):
            case "replace":
                token[place] = data.draw(st.sampled_from(b"ABCabc019-_.=+/ \n\xff"))
            case "insert":
                token.insert(place, data.draw(st.sampled_from(b"AQgw-_.= ")))
            case "delete":
                del token[place]
            case "cut":
                del token[place:]
            case "swap":
                token[place], token[-1 - place] = token[-1 - place], token[place]
        if not token:
            break
    if bytes(token) == VALID:
        return
    with pytest.raises(GatewayError):
        check(bytes(token), keys=VALID_RING)


@given(st.binary(max_size=200))
def test_rubbish_is_refused_in_one_way(rubbish: bytes) -> None:
    with pytest.raises(GatewayError):
        check(b"eyJ" + rubbish, keys=VALID_RING)


def weak() -> dict[str, Any]:
    return public(rsa_key()) | {"n": b64(b"\0" * 128 + b"\xff" * 128)}


@pytest.mark.parametrize(
    "jwk",
    [
        lambda: public(rsa_key(), use="enc"),
        lambda: public(rsa_key(), key_ops=["sign"]),
        lambda: public(rsa_key(), key_ops="verify"),
        lambda: public(rsa_key(), alg="RSA-OAEP"),
        lambda: public(rsa_key(), alg="ES256"),
        lambda: public(rsa_key(), alg=["RS256"]),
        lambda: public(rsa_key(), kid=1),
        lambda: public(rsa_key(), kty=["RSA"]),
        lambda: public(rsa_key(), e=b64(b"\1")),
        lambda: public(rsa_key(), e=b64(b"\1" * 200)),
        lambda: public(rsa_key(), n="*"),
        lambda: public(rsa_key(), n=b64(b"\xff" * 2000)),
        weak,
        lambda: public(ec_key(), x=b64(b"\1" * 32)),
        lambda: public(ec_key(), crv="P-999"),
        lambda: public(ed_key(), x="AA"),
        lambda: {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
        lambda: {"kty": "AKP", "kid": "x"},
        lambda: "rsa",
        lambda: None,
    ],
)
def test_keys_that_are_left_out(jwk: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="holds no public key"):
        parse_keys(key_set(jwk()))
    assert parse_keys(key_set(jwk(), public(ec_key()))).find("ec-P-256", "ES256")


def test_a_private_key_that_was_published_is_not_taken_in() -> None:
    private = {**RSAKey.as_dict(rsa_key(), private=True), "kid": "rsa-0"}
    key = parse_keys(key_set(private)).find("rsa-0", "RS256")
    assert key is not None
    assert not key.is_private


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "no JWK Set"),
        (b'{"keys":{}}', "no JWK Set"),
        (b'{"keys":[]}', "holds no public key"),
    ],
)
def test_what_is_no_set_of_keys(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_keys(body)


def test_the_names_of_a_ring_tell_a_key_that_was_replaced() -> None:
    before = parse_keys(key_set(public(rsa_key(), kid="k")))
    after = parse_keys(key_set(public(rsa_key(1), kid="k")))
    assert not before.names <= after.names
    assert before.names <= parse_keys(key_set(public(rsa_key(), kid="k"), public(rsa_key(1)))).names
