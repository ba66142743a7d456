"""The `identity` section, compiled: what is wrong with it, and whom claims stand for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.config.identity import Certificates, Identity, Introspection, Issuer
from gatewright.config.problems import ConfigError
from gatewright.core.consumer import Consumer, Scopes
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.secret import Secret
from gatewright.pipeline.identities import ALGORITHMS, ClaimRules, build_identities

ISSUER = Issuer(issuer="https://login.example/", audience=["gw"], consumer="acme/${team}/${azp}")
CLAIMS: dict[str, Any] = {"team": "search", "azp": "indexer", "scope": "ai.use profile", "verified": True, "level": 2}


def build(config: Identity) -> tuple[Any, list[ConfigError]]:
    errors: list[ConfigError] = []
    return build_identities(config, errors), errors


def claim_rules(**changes: Any) -> ClaimRules:
    built, errors = build(Identity(issuers={"corp": msgspec.structs.replace(ISSUER, **changes)}))
    assert not errors
    rules: ClaimRules = built.issuers["https://login.example/"].claims
    return rules


def consumer(claims: dict[str, Any], **changes: Any) -> Consumer:
    return claim_rules(**changes).consumer_of(claims, "jwt:corp", "corp", 7.0)


def test_an_issuer() -> None:
    built, errors = build(Identity(issuers={"corp": ISSUER}))
    assert not errors
    rules = built.issuers["https://login.example/"].rules
    assert (rules.name, rules.audience, rules.algorithms) == ("corp", {"gw"}, set(ALGORITHMS))
    assert consumer(CLAIMS) == Consumer("acme/search/indexer", "jwt:corp", "corp", None, CLAIMS, 7.0)


def test_nobody_can_configure_what_a_public_key_can_sign() -> None:
    assert not {name for name in ALGORITHMS if name.startswith("HS") or name.lower() == "none"}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"issuer": "https://a", "audience": ["b"], "algorithms": ["HS256"]}, Issuer)


def test_an_expression() -> None:
    expression = '"acme/" + jwt.team + "/" + (has(jwt.azp) ? jwt.azp : "app")'
    assert consumer(CLAIMS, consumer=None, consumer_expression=expression).path == "acme/search/indexer"
    assert consumer({"team": "x"}, consumer=None, consumer_expression=expression).path == "acme/x/app"
    for claims in ({}, {"team": "a/b"}, {"team": 1}, {"team": "x", "azp": "a/b"}, {"team": ".."}):
        with pytest.raises(GatewayError) as refusal:
            consumer(claims, consumer=None, consumer_expression=expression)
        assert refusal.value.kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("required", "holds"),
    [
        ({"team": "search"}, True),
        ({"team": ["web", "search"]}, True),
        ({"team": "web"}, False),
        ({"scope": "ai.use"}, True),
        ({"scope": "ai"}, False),
        ({"verified": True}, True),
        ({"verified": 1}, False),
        ({"verified": "true"}, False),
        ({"level": [1, 2]}, True),
        ({"level": True}, False),
        ({"absent": "x"}, False),
        ({"team": "search", "absent": "x"}, False),
        ({"roles.list": "admin"}, True),
        ({"roles.list": ["user", "nobody"]}, True),
        ({"roles.list": ["nobody"]}, False),
    ],
)
def test_required_claims(required: dict[str, Any], holds: bool) -> None:
    claims = CLAIMS | {"roles": {"list": ["admin", "user"]}}
    if holds:
        assert consumer(claims, required=required).path == "acme/search/indexer"
    else:
        with pytest.raises(GatewayError, match="is not one that may call this gateway") as refusal:
            consumer(claims, required=required)
        assert refusal.value.kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["gpt-*", "assistant"], ("gpt-*", "assistant")),
        ("gpt-4 assistant", ("gpt-4", "assistant")),
        ([], None),
        ("", None),
        ([1], None),
        ({}, None),
        (None, None),
        (["x"] * 1001, None),
    ],
)
def test_a_claim_that_lists_models(models: Any, names: tuple[str, ...] | None) -> None:
    claims = CLAIMS | {"models": models}
    if names is None:
        with pytest.raises(GatewayError):
            consumer(claims, models_claim="models")
    else:
        assert consumer(claims, models_claim="models").scopes == Scopes(models=names)


def test_everything_wrong_is_told_at_once() -> None:
    config = Identity(
        issuers={
            "a": ISSUER,
            "b": ISSUER,
            "c": msgspec.structs.replace(ISSUER, issuer="https://c", consumer="acme"),
            "d": msgspec.structs.replace(ISSUER, issuer="https://d", consumer=None),
            "e": msgspec.structs.replace(ISSUER, issuer="https://e", consumer_expression="jwt.x"),
            "f": msgspec.structs.replace(ISSUER, issuer="https://f", consumer=None, consumer_expression="request.x"),
            "g": msgspec.structs.replace(ISSUER, issuer="https://g", required={"a b": "x", "c": [], "d": {}}),
            "i": msgspec.structs.replace(ISSUER, issuer="http://i.example"),
            "j": msgspec.structs.replace(ISSUER, issuer="http://j.example", jwks_url="https://j.example/keys"),
            "k": msgspec.structs.replace(ISSUER, issuer="https://k", jwks_url="http://k.example/keys", proxy="x"),
            "h": msgspec.structs.replace(ISSUER, issuer="https://h", models_claim="a b"),
        },
        introspection=Introspection(url="https://a", client_id="x", client_secret=Secret("x"), consumer="$"),
        certificates=Certificates(consumer_expression="jwt.x"),
    )
    built, errors = build(config)
    assert [error.path for error in errors] == [
        "identity.issuers.b.issuer",
        "identity.issuers.c.consumer",
        "identity.issuers.d",
        "identity.issuers.e",
        "identity.issuers.f.consumer_expression",
        "identity.issuers.g.required.a b",
        "identity.issuers.g.required.c",
        "identity.issuers.g.required.d",
        "identity.issuers.i.issuer",
        "identity.issuers.k.jwks_url",
        "identity.issuers.h.models_claim",
        "identity.introspection.consumer",
        "identity.certificates.consumer_expression",
    ]
    assert {ISSUER.issuer, "http://j.example"} <= built.issuers.keys()
    assert (built.introspection, built.certificates) == (None, None)


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (Certificates(consumer="acme/${subject.OU}/${subject.CN}"), "acme/search/indexer"),
        (Certificates(consumer="acme/dns/${san.dns[1]}"), "acme/dns/b.example"),
        (
            Certificates(consumer_expression='"acme/" + san.uri[0].split("/")[3] + "/" + subject.CN[0]'),
            "acme/team/indexer",
        ),
    ],
)
def test_certificates(config: Certificates, path: str) -> None:
    built, errors = build(Identity(certificates=config))
    assert not errors
    facts = {
        "subject": {"OU": ["search"], "CN": ["indexer"]},
        "issuer": {},
        "san": {"dns": ["a.example", "b.example"], "uri": ["spiffe://acme.example/team/x"]},
        "serial": "1",
        "fingerprint": "2",
    }
    assert built.certificates.consumer_of(facts, 9.0) == Consumer(path, "certificate", "", None, facts, 9.0)
