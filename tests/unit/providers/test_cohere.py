"""Cohere: version 2 of its own API."""

import pytest

from gatewright.core.secret import Secret
from gatewright.providers.cohere import Config, build


def test_it_goes_to_cohere_with_its_key() -> None:
    upstream = build("cohere", Config(key=Secret("co-1")))
    assert (upstream.origin.tls, upstream.origin.host) == (True, "api.cohere.com")
    assert upstream.paths["cohere.chat"] == "/v2/chat"
    assert b"authorization: Bearer co-1\r\n" in upstream.head


def test_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="`key` is missing"):
        build("cohere", Config())
