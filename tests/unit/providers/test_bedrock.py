"""Bedrock: a region makes the address, and a Bedrock API key is sent as a bearer."""

import pytest

from gatewright.core.secret import Secret
from gatewright.providers.bedrock import Config, build


def test_the_region_makes_the_address() -> None:
    upstream = build("aws", Config(key=Secret("b-1"), region="eu-central-1"))
    assert (upstream.origin.tls, upstream.origin.host) == (True, "bedrock-runtime.eu-central-1.amazonaws.com")
    assert b"authorization: Bearer b-1\r\n" in upstream.head
    assert upstream.paths == {"bedrock.converse": "/model/{model}/{converse|converse-stream}"}


def test_a_url_needs_no_region() -> None:
    upstream = build("aws", Config(key=Secret("b-1"), url="https://vpce-1.bedrock-runtime.example"))
    assert upstream.origin.host == "vpce-1.bedrock-runtime.example"


@pytest.mark.parametrize(
    ("config", "missing"), [(Config(region="eu-central-1"), "`key`"), (Config(key=Secret("b-1")), "`region`")]
)
def test_what_is_missing_is_said(config: Config, missing: str) -> None:
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        build("aws", config)
