"""A provider's configuration becomes an origin, paths and a head; what cannot work is said without its secrets."""

from __future__ import annotations

import pytest

from gatewright.config.documents import ProviderConfig, UpstreamTls
from gatewright.core.secret import Secret
from gatewright.pipeline.provider import Upstream, build_upstream

PATHS = {"openai.chat": "/chat/completions"}


def compiled(url: str = "https://api.test/v1", credential: Secret | None = None, **members: object) -> Upstream:
    config = ProviderConfig(type="host", **members)  # type: ignore[arg-type]
    given = None if credential is None else ("authorization", credential)
    return build_upstream("up", config, url=url, paths=PATHS, credential=given)


@pytest.mark.parametrize(
    ("url", "tls", "host", "port", "path"),
    [
        ("https://api.test/v1", True, "api.test", 443, "/v1/chat/completions"),
        ("http://api.test", False, "api.test", 80, "/chat/completions"),
        ("http://API.test:8000/", False, "api.test", 8000, "/chat/completions"),
        ("https://[::1]:8443/a/b/", True, "::1", 8443, "/a/b/chat/completions"),
    ],
)
def test_where_a_url_leads(url: str, tls: bool, host: str, port: int, path: str) -> None:
    upstream = compiled(url)
    assert (upstream.origin.tls, upstream.origin.host, upstream.origin.port) == (tls, host, port)
    assert upstream.paths == {"openai.chat": path}


@pytest.mark.parametrize(
    "url",
    [
        "api.test/v1",
        "ftp://api.test",
        "https://",
        "https://u:p4ss@api.test",
        "https://api.test/v1?key=p4ss",
        "https://api.test/v1#p4ss",
        "https://api.test:0/",
        "https://api.test:99999/",
        "https://api.test/v1 ",
        "https://api.test/\r\nx: y",
    ],
)
def test_what_is_no_base_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        compiled(url)
    assert "p4ss" not in str(refused.value)


@pytest.mark.parametrize(
    ("proxy", "compiled_to"),
    [
        ("http://proxy:3128", "proxy:3128"),
        ("proxy:3128", "proxy:3128"),
        ("http://proxy:3128/", "proxy:3128"),
        ("none", None),
        (None, None),
    ],
)
def test_a_proxy_is_an_address(proxy: str | None, compiled_to: str | None) -> None:
    assert compiled(proxy=proxy).origin.proxy == compiled_to


@pytest.mark.parametrize("proxy", ["https://proxy:3128", "http://u:p4ss@proxy:3128", "proxy", "http://proxy:3128/path"])
def test_any_other_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="must look like http://host:port") as refused:
        compiled(proxy=proxy)
    assert "p4ss" not in str(refused.value)


def test_the_head_is_complete_and_a_providers_own_headers_win() -> None:
    head = compiled(
        credential=Secret("Bearer a"), headers={"X-Own": Secret(" v "), "Authorization": Secret("Basic b")}
    ).head
    lines = head.decode().split("\r\n")
    assert lines[0] == "host: api.test"
    assert lines[-1] == ""
    assert [line for line in lines if line.startswith("authorization")] == ["authorization: Basic b"]
    assert "x-own: v" in lines
    assert "accept-encoding: identity" in lines


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "x"),
        ("Content-Length", "5"),
        ("a b", "x"),
        ("", "x"),
        ("x-a", "a\r\nx-b: c"),
        ("x-a", "a\0"),
        ("x-a", "€"),
    ],
)
def test_headers_that_would_break_the_request_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"header|headers"):
        compiled(headers={name: Secret(value)})


def test_a_key_with_a_line_break_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="line break") as refused:
        compiled(credential=Secret("Bearer p4ss\r\nx: y"))
    assert "p4ss" not in str(refused.value)


def test_equal_origins_share_connections_and_different_ones_do_not() -> None:
    plain = compiled()
    assert plain.pool_key == compiled(credential=Secret("Bearer other")).pool_key
    others = [
        compiled("https://api.test:444/v1"),
        compiled(proxy="http://p:1"),
        compiled(max_connections=5),
        compiled(tls=UpstreamTls(server_name="x")),
    ]
    assert len({plain.pool_key, *(other.pool_key for other in others)}) == 5


def test_it_prints_without_its_credential() -> None:
    assert "p4ss" not in repr(compiled(credential=Secret("Bearer p4ss")))
