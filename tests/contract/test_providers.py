"""What every provider type must do with its configuration."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.config.check import convert
from gatewright.config.documents import Gateway, Model, ProviderConfig, Target
from gatewright.core.ports import Ports
from gatewright.core.secret import Secret
from gatewright.dialects import DIALECTS
from gatewright.filters import FILTERS
from gatewright.pipeline.build import build_snapshot
from gatewright.pipeline.provider import AnyProviderType, Upstream
from gatewright.providers import PROVIDERS
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock

KEY = "sk-very-secret"
URL = "https://host.example:8443/v1"
every_provider = pytest.mark.parametrize("provider", PROVIDERS, ids=[provider.name for provider in PROVIDERS])


def configured(provider: AnyProviderType, **fields: Any) -> ProviderConfig:
    config, errors = convert({"type": provider.name, **fields}, provider.config)
    assert not errors
    assert isinstance(config, ProviderConfig)
    return config


def build(provider: AnyProviderType, **fields: Any) -> Upstream:
    return provider.build("here", configured(provider, **{"key": Secret(KEY), "url": URL} | fields))


def uses_keys(provider: AnyProviderType) -> bool:
    return KEY.encode() in build(provider).head


def test_names_are_unique() -> None:
    assert len({provider.name for provider in PROVIDERS}) == len(PROVIDERS)


@every_provider
def test_it_describes_itself(provider: AnyProviderType) -> None:
    assert provider.summary.endswith(".")
    assert provider.config.__doc__
    assert bool(provider.environment) == bool(provider.default_models) == bool(provider.example_model)


@every_provider
def test_a_minimal_configuration_builds(provider: AnyProviderType) -> None:
    upstream = build(provider)
    assert (upstream.name, upstream.type) == ("here", provider.name)
    assert (upstream.origin.tls, upstream.origin.host, upstream.origin.port) == (True, "host.example", 8443)
    assert upstream.paths.keys() <= {dialect.name for dialect in DIALECTS}
    assert all(path.startswith("/v1/") for path in upstream.paths.values())
    head = upstream.head.split(b"\r\n")
    assert head[0] == b"host: host.example:8443"
    assert head[-1] == b""
    names = [line.partition(b":")[0] for line in head[:-1]]
    assert len(set(names)) == len(names)


@every_provider
def test_equal_origins_share_their_connections(provider: AnyProviderType) -> None:
    assert build(provider).pool_key == build(provider, url=URL + "/other", key=Secret("another")).pool_key
    others = [{"url": "http://host.example:8443"}, {"max_connections": 1}, {"tls": {"server_name": "a"}}]
    others += [{"proxy": "http://proxy:3128"}, {"timeouts": {"connect_s": 1.0}}]
    keys = {build(provider, **fields).pool_key for fields in [{}, *others]}
    assert len(keys) == len(others) + 1


@every_provider
@pytest.mark.parametrize(
    "url",
    [
        "host.example",
        "ftp://host.example",
        "https://",
        "https:///v1",
        "https://:443/v1",
        "https://host.example:0/v1",
        "https://host.example:65536/v1",
        "https://host.example:http/v1",
        "https://[::1/v1",
        "https://host.example/v1?key=x",
        "https://host.example/v1#top",
        "https://host.example/v 1",
        "https://host.example/v1\r\nx-injected: 1",
        "https://host .example/v1",
        "https://hôte.example/v1",
        "https://host.example/v1\0",
    ],
)
def test_bad_urls_are_refused(provider: AnyProviderType, url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        build(provider, url=url)


@every_provider
@pytest.mark.parametrize("url", ["https://me:{}@host.example/v1", "https://{}@host.example", "ftp://me:{}@h", "{}@h"])
def test_a_credential_in_the_url_is_refused_and_not_shown(provider: AnyProviderType, url: str) -> None:
    with pytest.raises(ValueError, match="`url` must") as refused:
        build(provider, url=url.format(KEY))
    assert KEY not in str(refused.value)


@every_provider
@pytest.mark.parametrize(
    "proxy", ["https://proxy:1", "proxy", "http://me:{}@proxy:1", "http://proxy:1/path", "socks5://a:1"]
)
def test_bad_proxies_are_refused(provider: AnyProviderType, proxy: str) -> None:
    with pytest.raises(ValueError, match="`proxy` must") as refused:
        build(provider, proxy=proxy.format(KEY))
    assert KEY not in str(refused.value)


@every_provider
@pytest.mark.parametrize("value", [KEY + "\r\nx-injected: 1", KEY + "\nx", KEY + "\0", KEY + "😀"])
def test_line_breaks_cannot_enter_the_head(provider: AnyProviderType, value: str) -> None:
    with pytest.raises(ValueError, match="line break or control character") as refused:
        build(provider, headers={"x-extra": Secret(value)})
    assert KEY not in str(refused.value)
    if uses_keys(provider):
        with pytest.raises(ValueError, match="line break or control character") as refused:
            build(provider, key=Secret(value))
        assert KEY not in str(refused.value)


@every_provider
@pytest.mark.parametrize(
    "name", ["Host", "content-length", "Transfer-Encoding", "connection", "x y", "x:y", "x\r\ny", ""]
)
def test_headers_that_are_the_gateways_own_are_refused(provider: AnyProviderType, name: str) -> None:
    with pytest.raises(ValueError, match="may not set"):
        build(provider, headers={name: Secret("x")})


@every_provider
def test_credentials_never_print(provider: AnyProviderType) -> None:
    config = configured(provider, url=URL, key=Secret(KEY), headers={"x-extra": Secret(KEY)})
    assert KEY not in repr(config)
    assert KEY not in str(config)
    upstream = provider.build("here", config)
    assert KEY.encode() in upstream.head
    assert KEY not in repr(upstream)
    assert KEY not in str(upstream)
    assert KEY not in upstream.pool_key


@every_provider
def test_credentials_never_print_from_a_snapshot(provider: AnyProviderType) -> None:
    document = Gateway(
        providers={
            "here": {"type": provider.name, "url": URL, "key": Secret(KEY), "headers": {"x-extra": Secret(KEY)}}
        },
        models={"m": Model(targets=[Target(provider="here")])},
    )
    ports = Ports(counters=MemoryCounters(FakeClock()), now=FakeClock(), random=lambda: 0.5)
    snapshot = build_snapshot(document, version=1, providers=PROVIDERS, filters=FILTERS, ports=ports)
    model = snapshot.models.find("m")
    assert model is not None
    assert KEY not in repr(model)
    assert KEY not in repr(snapshot)
    assert KEY not in repr(snapshot.document)


@every_provider
def test_a_key_of_nothing_is_as_good_as_none(provider: AnyProviderType) -> None:
    for key in ("", " "):
        try:
            upstream = build(provider, key=Secret(key))
        except ValueError as refused:
            assert "`key`" in str(refused)  # noqa: PT017 - a type may also do without one
        else:
            assert b"authorization: Bearer\r\n" not in upstream.head


@every_provider
@pytest.mark.parametrize(
    "fields", [{"kee": "x"}, {"max_connections": 0}, {"timeouts": {"connect_s": 0}}, {"key": "text"}]
)
def test_wrong_configuration_is_told_with_its_path(provider: AnyProviderType, fields: dict[str, Any]) -> None:
    config, errors = convert({"type": provider.name, **fields}, provider.config, "providers.here")
    assert config is None
    assert [error.path.startswith("providers.here.") for error in errors] == [True]
