"""The documents of the `identity` section."""

from __future__ import annotations

import typing

import msgspec
import pytest

from gatewright.config.check import convert
from gatewright.config.field_docs import field_docs, summary
from gatewright.config.identity import Certificates, EndUser, Identity, Introspection, Issuer

STRUCTS = (Certificates, EndUser, Identity, Introspection, Issuer)


@pytest.mark.parametrize("struct", STRUCTS)
def test_every_section_says_what_it_is_and_refuses_unknown_keys(struct: type[msgspec.Struct]) -> None:
    assert summary(struct)
    docs = field_docs(struct)
    assert set(docs) == set(struct.__struct_fields__)
    assert all(doc.endswith((".", ")", "`")) for doc in docs.values()), docs
    assert struct.__struct_config__.forbid_unknown_fields
    assert struct.__struct_config__.frozen
    assert typing.get_type_hints(struct).keys() == set(struct.__struct_fields__)


def test_an_empty_section_trusts_nobody() -> None:
    assert Identity() == Identity(issuers={}, introspection=None, certificates=None, end_user=EndUser())
    assert EndUser().header == "x-gatewright-user"


def test_who_is_told_apart() -> None:
    assert not Identity().recognises_callers
    assert not Identity(end_user=EndUser(header="x-user")).recognises_callers
    assert Identity(certificates=Certificates(consumer="a/b/c")).recognises_callers


GOOD = {"issuer": "https://a/", "audience": ["x"], "consumer": "a/b/c"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"issuer": "a"}, "identity.issuers.corp.issuer"),
        ({"issuer": "ftp://a"}, "identity.issuers.corp.issuer"),
        ({"audience": []}, "identity.issuers.corp.audience"),
        ({"algorithms": ["none"]}, "identity.issuers.corp.algorithms[0]"),
        ({"algorithms": ["HS256"]}, "identity.issuers.corp.algorithms[0]"),
        ({"leeway_s": 3600}, "identity.issuers.corp.leeway_s"),
        ({"jwks_url": "https://a b"}, "identity.issuers.corp.jwks_url"),
        ({"jwks": "https://a"}, "identity.issuers.corp.jwks"),
    ],
)
def test_what_is_refused(changes: dict[str, object], path: str) -> None:
    document, errors = convert({"issuers": {"corp": GOOD | changes}}, Identity, "identity")
    assert document is None
    assert [error.path for error in errors] == [path]
    assert convert({"issuers": {"corp": GOOD}}, Identity)[1] == []


def test_the_password_of_the_gateway_must_be_a_reference() -> None:
    plain = {"url": "https://a", "client_id": "gw", "client_secret": "hunter2", "consumer": "a/b/c"}
    _, errors = convert({"introspection": plain}, Identity, "identity")
    assert [error.path for error in errors] == ["identity.introspection.client_secret"]
