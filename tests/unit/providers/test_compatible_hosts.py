"""The table of hosts: rows that build, and differences that reach the upstream."""

import pytest

from gatewright.core.secret import Secret
from gatewright.pipeline.provider import Upstream
from gatewright.providers.compatible_hosts import COMPATIBLE_HOSTS, ROWS, Config, HostRow

TYPES = {provider.name: provider for provider in COMPATIBLE_HOSTS}
every_row = pytest.mark.parametrize("row", ROWS, ids=[row.type for row in ROWS])


def build(kind: str, *, key: str | None = "sk-1", url: str | None = None) -> Upstream:
    config = Config(type=kind, key=None if key is None else Secret(key), url=url, share_account=True)
    upstream: Upstream = TYPES[kind].build("here", config)
    return upstream


@every_row
def test_a_row_builds_with_a_key_and_names_its_source(row: HostRow) -> None:
    upstream = build(row.type, url=None if row.url else "http://models.svc:8000/v1")
    assert upstream.type == row.type
    assert set(upstream.paths) == set(row.apis)
    assert upstream.traits == row.traits
    assert "." in row.source
    assert b"authorization: Bearer sk-1\r\n" in upstream.head


@every_row
def test_a_host_that_needs_a_key_says_so(row: HostRow) -> None:
    url = row.url or "http://models.svc:8000/v1"
    if not row.needs_key:
        assert b"authorization" not in build(row.type, key=None, url=url).head
        return
    with pytest.raises(ValueError, match="`key` is missing or empty"):
        build(row.type, key="  ", url=url)


@every_row
def test_software_without_a_home_needs_a_url(row: HostRow) -> None:
    if row.url is None:
        with pytest.raises(ValueError, match="`url` is missing"):
            build(row.type)
    else:
        assert build(row.type).origin.host in row.url


@every_row
def test_no_member_is_both_renamed_and_left_out(row: HostRow) -> None:
    assert not row.traits.unsupported & row.traits.renames.keys()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("groq", "/openai/v1/chat/completions"),
        ("zai", "/api/paas/v4/chat/completions"),
        ("perplexity", "/chat/completions"),
        ("qwen", "/compatible-mode/v1/chat/completions"),
    ],
)
def test_paths_are_the_hosts_own(kind: str, path: str) -> None:
    assert build(kind).paths["openai.chat"] == path
