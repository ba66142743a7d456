"""Whom a request speaks for: the credential it shows, and the end user it names."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.pipeline.identify import read_credential, read_user


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({}, None),
        ({b"authorization": b"Bearer sk-1"}, b"sk-1"),
        ({b"authorization": b"bearer  sk-1 "}, b"sk-1"),
        ({b"authorization": b"Bearer "}, b""),
        ({b"x-api-key": b"sk-1"}, b"sk-1"),
        ({b"api-key": b"sk-1"}, b"sk-1"),
        ({b"x-goog-api-key": b"sk-1"}, b"sk-1"),
        ({b"authorization": b"Bearer sk-1", b"x-api-key": b"sk-2"}, b"sk-1"),
    ],
)
def test_credentials(headers: dict[bytes, bytes], credential: bytes | None) -> None:
    assert read_credential(headers) == credential


@pytest.mark.parametrize("value", [b"Basic dTpw", b"sk-1", b"Bearer", b""])
def test_other_kinds_of_authorization_are_refused(value: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        read_credential({b"authorization": value})
    assert refused.value.kind is Kind.UNAUTHENTICATED


def user(body: str = "{}", headers: dict[bytes, bytes] | None = None) -> str:
    x = Exchange("req_1", None, headers or {}, body.encode(), 0.0)
    x.fields = msgspec.json.decode(body.encode(), type=dict[str, msgspec.Raw])
    return read_user(x, b"x-user")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("{}", ""),
        ('{"user":"anna"}', "anna"),
        ('{"safety_identifier":"anna"}', "anna"),
        ('{"user":"anna","safety_identifier":"bert"}', "anna"),
        ('{"metadata":{"user_id":"anna"}}', "anna"),
        ('{"user":"anna","metadata":{"user_id":"bert"}}', "anna"),
        ('{"metadata":{}}', ""),
        ('{"metadata":[1]}', ""),
        ('{"metadata":null}', ""),
        ('{"metadata":{"user_id":7}}', ""),
        ('{"user":7}', ""),
        ('{"user":null}', ""),
        ('{"user":{"id":"anna"}}', ""),
        ('{"user":"\\u00fcnal"}', "ünal"),
        ('{"user":"' + "x" * 300 + '"}', "x" * 256),
    ],
)
def test_the_user_as_the_application_names_it(body: str, name: str) -> None:
    assert user(body) == name


@pytest.mark.parametrize(("sent", "name"), [(b"anna", "anna"), (b"\xff", "\ufffd"), (b"x" * 300, "x" * 256), (b"", "")])
def test_the_header_comes_first(sent: bytes, name: str) -> None:
    assert user('{"user":"bert"}', {b"x-user": sent}) == name
