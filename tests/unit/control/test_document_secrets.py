"""Plain secrets in a document are found where they are refused, and hidden where the document is shown."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.control.document_secrets import MAX_DEPTH_OF_SETTINGS, depth_of, find_plain_secrets, without_secrets


@pytest.mark.parametrize(
    ("document", "places"),
    [
        ("providers: {up: {headers: {authorization: Bearer abc}}}", ["providers.up.headers.authorization"]),
        ("providers: {up: {headers: {X-Api-Key: abc}}}", ["providers.up.headers.X-Api-Key"]),
        ("providers: {up: {headers: {cookie: a=b, x-team: search}}}", ["providers.up.headers.cookie"]),
        ("providers: {up: {url: 'http://user:pass@host/v1'}}", ["providers.up.url"]),
        ("policies: [{config: {webhook: 'https://u:p@h/x'}}]", ["policies[0].config.webhook"]),
        ("providers: {up: {headers: {authorization: 'Bearer ${env:KEY}'}}}", []),
        ("providers: {up: {headers: {authorization: '$${env:KEY}'}}}", ["providers.up.headers.authorization"]),
        ("providers: {up: {headers: {anthropic-version: '2023-06-01'}}}", []),
        ("providers: {up: {url: 'http://host:80/v1', key: '${env:KEY}'}}", []),
        ("providers: {up: {url: 'http://host/a:b@c'}}", []),
        ("policies: [{config: {max_output_tokens: '5'}}]", []),
        ("providers: {up: {key: hunter2}}", ["providers.up.key"]),
        ("providers: {up: {key: 3, tls: {key: /etc/key.pem}}}", []),
        ("identity: {introspection: {client_secret: abc}}", ["identity.introspection.client_secret"]),
        ("not: [valid", []),
        ("- a list", []),
        ("", []),
    ],
)
def test_plain_secrets_are_found_with_their_place(document: str, places: list[str]) -> None:
    found = find_plain_secrets([("document", document.encode())])
    assert [error.path for error in found] == places
    for error in found:
        assert error.line == 1
        assert "reference" in error.message
        assert not any(hidden in str(error) for hidden in ("abc", "pass", "u:p", "hunter2"))


def test_what_is_shown_holds_references_and_no_secret() -> None:
    files = [
        ("a.yaml", b"providers: {up: {type: openai, key: hunter2, headers: {x-team: search, authorization: tiger}}}"),
        ("b.json", b'{"providers": {"two": {"key": "${env:KEY}", "url": "http://u:lion@h/v1"}}}'),
        ("c.yaml", b"consumers: {acme: {teams: {t: {apps: {a: {keys: ['sha256:00']}}}}}}"),
    ]
    shown = without_secrets(files)
    assert not any(hidden in shown for hidden in ("hunter2", "tiger", "lion"))
    document = msgspec.json.decode(shown)
    assert document["providers"]["up"] == {
        "type": "openai",
        "key": "***",
        "headers": {"x-team": "search", "authorization": "***"},
    }
    assert document["providers"]["two"]["key"] == "${env:KEY}"
    assert document["consumers"]["acme"]["teams"]["t"]["apps"]["a"]["keys"] == ["sha256:00"]


@pytest.mark.parametrize(("value", "depth"), [(1, 1), ({}, 1), ({"a": 1}, 2), ({"a": [1, {"b": 2}]}, 4), ([], 1)])
def test_depth_counts_levels(value: object, depth: int) -> None:
    assert depth_of(value) == depth


def test_depth_counts_no_further_than_matters() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert depth_of(deep) == MAX_DEPTH_OF_SETTINGS + 1
    while deep:  # taken apart by hand, since freeing it recurses
        deep = deep[0]  # type: ignore[assignment]
