import msgspec
import pytest

from gatewright.cli.egress import apply_egress_proxy, is_bypassed
from gatewright.config.documents import Gateway
from gatewright.config.identity import Identity, Introspection, Issuer
from gatewright.config.problems import InvalidConfig
from gatewright.core.secret import Secret

DOCUMENT = Gateway(
    providers={
        "openai": {"type": "openai", "key": Secret("sk-x")},
        "own": {"type": "openai", "key": Secret("sk-x"), "proxy": "none"},
        "host": {"type": "openai_compatible", "url": "https://models.example.com/v1"},
        "inside": {"type": "openai_compatible", "url": "http://vllm.svc:8000/v1"},
        "near": {"type": "openai_compatible", "url": "https://127.0.0.1:8443/v1"},
        "laptop": {"type": "local"},
    }
)


def proxies(environment: dict[str, str]) -> dict[str, str | None]:
    document = apply_egress_proxy(DOCUMENT, environment)
    return {name: raw.get("proxy") for name, raw in document.providers.items() if "proxy" in raw}


def test_without_the_variable_nothing_changes() -> None:
    assert apply_egress_proxy(DOCUMENT, {"HTTP_PROXY": "http://proxy:3128"}) is DOCUMENT


def test_https_providers_go_through_the_proxy_of_the_environment() -> None:
    there = "http://proxy.corp:3128"
    assert proxies({"HTTPS_PROXY": there}) == {"openai": there, "own": "none", "host": there}
    assert proxies({"https_proxy": there, "HTTPS_PROXY": "http://other:1"})["openai"] == there


def test_identity_providers_go_through_it_too() -> None:
    issuer = Issuer(issuer="https://login.example.com/", audience=["gw"], consumer="a/b/${azp}")
    change = msgspec.structs.replace
    inside = "https://keys.inside.example/keys"
    given = Gateway(
        identity=Identity(
            issuers={
                "outside": issuer,
                "own": change(issuer, proxy="none"),
                "inside": change(issuer, jwks_url=inside),
                "near": change(issuer, issuer="https://localhost/"),
                "plain": change(issuer, issuer="http://login.svc/", allow_http=True),
            },
            introspection=Introspection(
                url="https://as.example.com/x", client_id="x", client_secret=Secret("x"), consumer="a/b/${azp}"
            ),
        )
    )
    there = "http://p:1"
    identity = apply_egress_proxy(given, {"HTTPS_PROXY": there, "NO_PROXY": "inside.example"}).identity
    assert {name: one.proxy for name, one in identity.issuers.items() if one.proxy} == {"outside": there, "own": "none"}
    assert identity.introspection is not None
    assert identity.introspection.proxy == there


def test_no_proxy_excepts_hosts() -> None:
    assert proxies({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}) == {"openai": "http://p:1", "own": "none"}
    assert apply_egress_proxy(DOCUMENT, {"HTTPS_PROXY": "http://p:1", "no_proxy": "*"}) is DOCUMENT


@pytest.mark.parametrize("value", ["http://user:secret@proxy:3128", "https://proxy:3128", "proxy"])
def test_a_proxy_that_cannot_be_used_is_refused_without_being_quoted(value: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        apply_egress_proxy(DOCUMENT, {"HTTPS_PROXY": value})
    assert "HTTPS_PROXY must look like http://host:port" in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("host", "no_proxy", "bypassed"),
    [
        ("api.example.com", "example.com", True),
        ("api.example.com", ".example.com", True),
        ("api.example.com", "*.example.com", True),
        ("example.com", ".example.com", True),
        ("API.example.com", "localhost, Example.Com:443", True),
        ("badexample.com", "example.com", False),
        ("api.example.com", "", False),
        ("api.example.com", ",", False),
        ("api.example.com", "*", True),
    ],
)
def test_entries_of_no_proxy(host: str, no_proxy: str, bypassed: bool) -> None:
    assert is_bypassed(host, no_proxy) is bypassed
