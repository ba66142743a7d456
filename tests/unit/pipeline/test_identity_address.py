"""Addresses of identity providers: which may be asked, and how they are reached."""

from __future__ import annotations

import pytest

from gatewright.core.secret import Secret
from gatewright.pipeline.identity_address import TARGET, Way, build_target


@pytest.mark.parametrize(
    ("url", "way"),
    [
        ("https://a.example/", Way()),
        ("http://127.0.0.1:9/x", Way()),
        ("http://127.8.8.8/x", Way()),
        ("http://[::1]:9/x", Way()),
        ("http://localhost/x", Way()),
        ("http://10.0.0.1/x", Way(allow_http=True)),
    ],
)
def test_addresses_that_may_be_asked(url: str, way: Way) -> None:
    assert build_target(url, way)


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/x",
        "http://login.example/x",
        "http://localhost.evil.example/x",
        "http://127.0.0.1.evil.example/",
        "ftp://localhost/x",
        "file:///etc/passwd",
        "https://user:pw@login.example/",
        "https://login.example/#x",
        "https://login.example/a b",
        "https://login.example/\r\nx: y",
        "https://login.example/ä",
        "https:///x",
        "https://[::1/x",
        "/keys",
        "",
    ],
)
def test_addresses_that_are_not_asked(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        build_target(url, Way())


def test_a_password_in_an_address_is_told_in_words_that_fit() -> None:
    with pytest.raises(ValueError, match="holds a user or a password") as refused:
        build_target("https://user:hunter2@login.example/", Way())
    assert "hunter2" not in str(refused.value)
    assert "`key`" not in str(refused.value), "there is none to put it into"


def test_how_it_is_reached() -> None:
    way = Way(ca="/ca.pem", proxy="http://proxy:3128")
    upstream = build_target("https://login.example:8443/keys?p=1", way, Secret("Basic x"))
    origin = upstream.origin
    assert (origin.tls, origin.host, origin.port, origin.proxy) == (True, "login.example", 8443, "proxy:3128")
    assert origin.verify.ca == "/ca.pem"
    assert upstream.paths == {TARGET: "/keys?p=1"}
    assert b"authorization: Basic x\r\n" in upstream.head
