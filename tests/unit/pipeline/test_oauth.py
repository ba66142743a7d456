"""Forms, clients and refusals of OAuth 2."""

from __future__ import annotations

from base64 import b64encode

import msgspec
import pytest

from gatewright.core.errors import Kind
from gatewright.pipeline.oauth import (
    MAX_FORM_BYTES,
    MAX_MEMBERS,
    Client,
    OAuthError,
    member,
    parse_form,
    read_client,
    required,
)

TYPE = b"application/x-www-form-urlencoded"


def basic(text: str) -> dict[bytes, bytes]:
    return {b"authorization": b"Basic " + b64encode(text.encode())}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": ["1"], "b": ["2"]}),
        (b"a=x+y%2Bz%20%C3%A9", {"a": ["x y+z é"]}),
        (b"a=b=c", {"a": ["b=c"]}),
        (b"a=&b=1", {"b": ["1"]}),
        (b"resource=1&resource=2&audience=3&audience=4", {"resource": ["1", "2"], "audience": ["3", "4"]}),
    ],
)
def test_a_form(body: bytes, expected: dict[str, list[str]]) -> None:
    assert parse_form({b"content-type": TYPE}, b"", body) == expected
    assert parse_form({b"content-type": TYPE.upper() + b" ; charset=UTF-8"}, b"", body) == expected


@pytest.mark.parametrize(
    ("content_type", "query", "body", "told"),
    [
        (b"application/json", b"", b"{}", "Send a form"),
        (b"", b"", b"a=1", "Send a form"),
        (TYPE, b"grant_type=x", b"a=1", "in the body"),
        (TYPE, b"", b"a=1&a=2", "`a` twice"),
        (TYPE, b"", b"a=1&%61=2", "`a` twice"),
        (TYPE, b"", b"scope=a&scope=b", "`scope` twice"),
        (TYPE, b"", b"a", "name=value"),
        (TYPE, b"", b"a=1&&b=2", "name=value"),
        (TYPE, b"", b"a=%zz", "begins no escape"),
        (TYPE, b"", b"a=%", "begins no escape"),
        (TYPE, b"", b"a=%ff", "not UTF-8"),
        (TYPE, b"", b"a=%00", "NUL"),
        (TYPE, b"", b"a=" + b"x" * MAX_FORM_BYTES, "larger than"),
        (TYPE, b"", b"&".join(b"m%d=1" % n for n in range(MAX_MEMBERS + 1)), "more than"),
    ],
)
def test_what_is_no_form(content_type: bytes, query: bytes, body: bytes, told: str) -> None:
    with pytest.raises(OAuthError, match=told) as refusal:
        parse_form({b"content-type": content_type}, query, body)
    assert refusal.value.code == "invalid_request"


def test_members() -> None:
    form = {"a": ["1"]}
    assert (member(form, "a"), member(form, "b"), required(form, "a")) == ("1", "", "1")
    with pytest.raises(OAuthError, match="`b` is missing"):
        required(form, "b")


@pytest.mark.parametrize(
    ("headers", "form", "expected"),
    [
        ({}, {}, None),
        ({}, {"client_id": ["a"]}, None),
        ({}, {"client_id": ["a"], "client_secret": ["s"]}, Client("a", "s")),
        (basic("a:s"), {}, Client("a", "s")),
        ({b"authorization": b"bAsIc " + b64encode(b"a:s")}, {}, Client("a", "s")),
        (basic("acme%2Fx%2Fy:s%3A%2B+"), {}, Client("acme/x/y", "s:+ ", "s%3A%2B+")),
        (basic("a:s+t"), {}, Client("a", "s t", "s+t")),
        (basic("a:50%"), {}, Client("a", "50%")),
        (basic("a:s:t"), {}, Client("a", "s:t")),
        (basic("a:s"), {"client_id": ["a"]}, Client("a", "s")),
    ],
)
def test_a_client(headers: dict[bytes, bytes], form: dict[str, list[str]], expected: Client | None) -> None:
    assert read_client(headers, form) == expected


@pytest.mark.parametrize(
    ("headers", "form", "code"),
    [
        ({}, {"client_secret": ["s"]}, "invalid_request"),
        (basic("a:s"), {"client_id": ["a"], "client_secret": ["s"]}, "invalid_request"),
        (basic("a:s"), {"client_id": ["b"]}, "invalid_request"),
        ({b"authorization": b"Bearer x"}, {}, "invalid_client"),
        ({b"authorization": b"Basic"}, {}, "invalid_client"),
        ({b"authorization": b"Basic !!"}, {}, "invalid_client"),
        (basic("no colon"), {}, "invalid_client"),
        (basic("%zz:a"), {}, "invalid_request"),
        ({b"authorization": b"Basic " + b64encode(b"a:\xff")}, {}, "invalid_client"),
    ],
)
def test_what_is_no_client(headers: dict[bytes, bytes], form: dict[str, list[str]], code: str) -> None:
    with pytest.raises(OAuthError) as refusal:
        read_client(headers, form)
    assert refusal.value.code == code


def test_a_client_prints_no_secret() -> None:
    assert "hidden" not in repr(Client("a", "hidden"))


def test_a_refusal() -> None:
    reply = OAuthError("invalid_client", 'Not "you"\\ – é').as_reply()
    assert (reply.status, reply.content_type) == (401, b"application/json")
    assert (b"cache-control", b"no-store") in reply.headers
    assert any(name == b"www-authenticate" and value.startswith(b"Basic ") for name, value in reply.headers)
    assert msgspec.json.decode(reply.body) == {"error": "invalid_client", "error_description": "Not 'you'' ' '"}


def test_a_refusal_that_passes() -> None:
    error = OAuthError("temporarily_unavailable", "x", status=429, kind=Kind.RATE_LIMITED, retry_after_s=1.2)
    assert (b"retry-after", b"2") in error.as_reply().headers
    logged = error.as_gateway_error()
    assert (logged.kind, logged.status, logged.message) == (Kind.RATE_LIMITED, 429, "temporarily_unavailable: x")
