"""What stands in a gateway token, and how narrow it is."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.config.gateway_tokens import GatewayTokens
from gatewright.config.identity import Identity, Issuer
from gatewright.core.consumer import Scopes
from gatewright.pipeline.gateway_tokens import (
    ACCESS_TOKEN,
    ID_TOKEN,
    JWT,
    Origin,
    Token,
    act_for,
    check_subject_type,
    check_target,
    decode_token,
    describe_server,
    encode_token,
    end_of,
    find_token_errors,
    make_id,
    metadata_paths,
    narrow,
    parse_id,
    parse_scope,
    render_scope,
    text_claim,
)
from gatewright.pipeline.identities import build_identities
from gatewright.pipeline.oauth import OAuthError

URL = "https://ai.acme.example"


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("", None),
        ("  ", None),
        ("model:gpt-4.1", Scopes(models=("gpt-4.1",))),
        ("model:gpt-* model:org/m:7b", Scopes(models=("gpt-*", "org/m:7b"))),
        ("model:a surface:embeddings model:b model:a", Scopes(models=("a", "b"), surfaces=("embeddings",))),
        ("model:my%20model%25", Scopes(models=("my model%",))),
        ("model:*", Scopes(models=("*",))),
    ],
)
def test_scopes(text: str, scopes: Scopes | None) -> None:
    assert parse_scope(text) == scopes
    assert parse_scope(render_scope(scopes)) == scopes
    assert all(character in range(0x21, 0x7F) for word in render_scope(scopes).split() for character in word.encode())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("openid", "neither"),
        ("models:a", "neither"),
        ("model:", "missing"),
        ("model:%00", "missing"),
        ("model:a*b", "at the end only"),
        ("surface:chat", "there is no surface"),
        ("surface:chat_completion", "did you mean `chat_completions`"),
        ("model:a " * 501, "more than"),
        ("model:" + "a" * 6_000, "longer than"),
    ],
)
def test_what_is_no_scope(text: str, told: str) -> None:
    with pytest.raises(OAuthError, match=told) as refusal:
        parse_scope(text)
    assert refusal.value.code == "invalid_scope"


NOTHING = "nothing"


@pytest.mark.parametrize(
    ("allowed", "wanted", "expected"),
    [
        ((), (), ()),
        ((), ("a",), ("a",)),
        (("a",), (), ("a",)),
        (("a", "b"), ("b", "c"), ("b",)),
        (("gpt-*",), ("gpt-4*",), ("gpt-4*",)),
        (("gpt-4*",), ("gpt-*",), ("gpt-4*",)),
        (("gpt-4*",), ("*",), ("gpt-4*",)),
        (("gpt-*",), ("gpt-4", "claude"), ("gpt-4",)),
        (("gpt-4",), ("gpt-4*",), ("gpt-4",)),
        (("gpt-4*", "gpt-4.1"), ("gpt-*",), ("gpt-4*", "gpt-4.1")),
        (("a",), ("b",), NOTHING),
        (("gpt-4*",), ("gpt-5*",), NOTHING),
        (("gpt-4",), ("gpt-4o",), NOTHING),
        (("gpt-4*",), ("gpt-",), NOTHING),
    ],
)
def test_narrowing_never_widens(allowed: tuple[str, ...], wanted: tuple[str, ...], expected: Any) -> None:
    for sort in ("models", "surfaces"):
        first, second = Scopes(**{sort: allowed}), Scopes(**{sort: wanted})
        if expected is NOTHING:
            with pytest.raises(OAuthError, match="None of the"):
                narrow(first, second)
        else:
            assert narrow(first, second) == Scopes(**{sort: expected})


def test_narrowing_what_is_not_narrowed() -> None:
    some = Scopes(models=("a",), networks=("10.0.0.0/8",))
    assert narrow(None, None) is None
    assert narrow(some, None) == some
    assert narrow(None, Scopes(models=("b",))) == Scopes(models=("b",))
    assert narrow(some, Scopes(surfaces=("embeddings",))) == Scopes(("a",), ("embeddings",), ("10.0.0.0/8",))


def test_names_say_when_they_end_and_sort_by_it() -> None:
    first, second = make_id(1_800_000_000, b"\xff" * 15), make_id(1_800_000_001, b"\0" * 15)
    parsed = [parse_id(first), parse_id(second)]
    assert parsed[0] is not None
    assert parsed[1] is not None
    assert [end_of(name) for name in parsed if name is not None] == [1_800_000_000, 1_800_000_001]
    assert parsed[0] < parsed[1]


@pytest.mark.parametrize("text", ["", "a", "é" * 32, "1" * 32, "a" * 31, "a" * 40])
def test_what_is_no_name(text: str) -> None:
    assert parse_id(text) is None


def test_a_token_survives_its_encoding() -> None:
    origin = Origin(consumer="acme/a/b", issuer="corp", claims={"groups": ["x"]}, parents=("p",))
    token = Token(iss=URL, sub="u", aud=URL, client_id="c", jti="j", iat=1, exp=2, act={"sub": "s"}, gatewright=origin)
    assert decode_token(encode_token(token)) == token
    assert token.for_conditions() == {
        "iss": URL,
        "sub": "u",
        "aud": URL,
        "client_id": "c",
        "jti": "j",
        "iat": 1,
        "exp": 2,
        "scope": "",
        "act": {"sub": "s"},
        "groups": ["x"],
    }


def test_kept_claims_do_not_pass_for_the_tokens_own() -> None:
    origin = Origin(consumer="acme/a/b", claims={"sub": "root", "scope": "all"})
    token = Token(iss=URL, sub="u", aud=URL, client_id="c", jti="j", iat=1, exp=2, gatewright=origin)
    found = token.for_conditions()
    assert (found["sub"], found["scope"]) == ("u", "")


@pytest.mark.parametrize(
    ("kind", "claims", "is_good"),
    [
        (ACCESS_TOKEN, {}, True),
        (JWT, {"nonce": "x"}, True),
        (ID_TOKEN, {"nonce": "x"}, True),
        (ACCESS_TOKEN, {"nonce": "x"}, False),
        (ACCESS_TOKEN, {"at_hash": "x"}, False),
        ("", {}, False),
        ("urn:ietf:params:oauth:token-type:saml2", {}, False),
    ],
)
def test_types_of_subjects(kind: str, claims: dict[str, Any], is_good: bool) -> None:
    if is_good:
        check_subject_type(kind, claims, "subject_token")
    else:
        with pytest.raises(OAuthError):
            check_subject_type(kind, claims, "subject_token")


BOT = {"iss": URL, "sub": "bot", "aud": "x"}


@pytest.mark.parametrize(
    ("subject", "actor", "act"),
    [
        ({}, None, None),
        ({}, BOT, {"iss": URL, "sub": "bot"}),
        ({"act": {"sub": "first"}}, None, {"sub": "first"}),
        ({"act": {"sub": "first"}}, BOT, {"iss": URL, "sub": "bot", "act": {"sub": "first"}}),
        ({"may_act": {"sub": "bot"}}, BOT, {"iss": URL, "sub": "bot"}),
        ({"may_act": {"sub": "bot", "iss": URL}}, BOT, {"iss": URL, "sub": "bot"}),
    ],
)
def test_actors(subject: dict[str, Any], actor: dict[str, Any] | None, act: dict[str, Any] | None) -> None:
    assert act_for(subject, actor) == act


@pytest.mark.parametrize(
    ("subject", "actor"),
    [
        ({"may_act": {"sub": "another"}}, BOT),
        ({"may_act": {"sub": "bot", "iss": "https://other.example"}}, BOT),
        ({"may_act": {}}, BOT),
        ({"may_act": "bot"}, BOT),
        ({}, {"iss": URL}),
        ({}, {"sub": 7}),
        ({"act": "x"}, None),
        ({"act": {"sub": "1", "act": {"sub": "2", "act": {"sub": "3", "act": {"sub": "4"}}}}}, BOT),
    ],
)
def test_actors_that_may_not(subject: dict[str, Any], actor: dict[str, Any] | None) -> None:
    with pytest.raises(OAuthError) as refusal:
        act_for(subject, actor)
    assert refusal.value.code == "invalid_request"


def test_claims_that_are_text() -> None:
    claims = {"a": 1, "b": "", "c": "x" * 501, "d": "x\n", "e": "good"}
    assert text_claim(claims, "a", "b", "c", "d", "e") == "good"
    assert text_claim(claims, "a", "z") == ""


@pytest.mark.parametrize(
    ("issuer", "told"),
    [
        ("https://ai.acme.example", None),
        ("http://localhost:8080", None),
        ("http://127.0.0.1", None),
        ("http://[::1]:8080", None),
        ("http://ai.acme.example", "https"),
        ("http://localhost.acme.example", "https"),
        ("https:///path", "no host"),
        ("https://login.acme.example/", "identity provider"),
    ],
)
def test_the_address_of_the_gateway(issuer: str, told: str | None) -> None:
    config = GatewayTokens(issuer=issuer)
    errors = find_token_errors(config, ["https://login.acme.example/"])
    assert [error.path for error in errors] == ([] if told is None else ["identity.tokens.issuer"])
    assert told is None or told in errors[0].message


def test_the_section_is_checked_with_identity() -> None:
    corp = Issuer(issuer=URL, audience=["x"], consumer="acme/a/b")
    errors: list[Any] = []
    build_identities(Identity(issuers={"corp": corp}, tokens=GatewayTokens(issuer=URL)), errors)
    assert [error.path for error in errors] == ["identity.tokens.issuer"]


@pytest.mark.parametrize(
    ("issuer", "paths", "endpoint"),
    [
        (URL, ("/.well-known/oauth-authorization-server",), f"{URL}/oauth/token"),
        (f"{URL}/", ("/.well-known/oauth-authorization-server",), f"{URL}/oauth/token"),
        (
            f"{URL}/gw",
            ("/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/gw"),
            f"{URL}/gw/oauth/token",
        ),
    ],
)
def test_metadata(issuer: str, paths: tuple[str, ...], endpoint: str) -> None:
    config = GatewayTokens(issuer=issuer)
    assert metadata_paths(config) == paths
    found = describe_server(config)
    assert found["issuer"] == issuer
    assert found["token_endpoint"] == endpoint


@pytest.mark.parametrize(
    ("targets", "is_good"),
    [([], True), ([URL], True), ([f"{URL}/"], True), (["gw", URL], True), ([URL, "https://mail.example"], False)],
)
def test_targets(targets: list[str], is_good: bool) -> None:
    config = GatewayTokens(issuer=URL, audience="gw")
    if is_good:
        check_target(config, targets)
    else:
        with pytest.raises(OAuthError) as refusal:
            check_target(config, targets)
        assert refusal.value.code == "invalid_target"
