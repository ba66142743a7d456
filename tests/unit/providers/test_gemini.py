"""Gemini: the key never stands in the URL, and the model stands in the path."""

import pytest

from gatewright.core.secret import Secret
from gatewright.providers.gemini import Config, build


def test_it_goes_to_google_with_its_key_in_a_header() -> None:
    upstream = build("gemini", Config(key=Secret("g-1")))
    assert (upstream.origin.tls, upstream.origin.host) == (True, "generativelanguage.googleapis.com")
    assert b"x-goog-api-key: g-1\r\n" in upstream.head
    assert not any("g-1" in path for path in upstream.paths.values())
    assert upstream.paths["google.generate_content"].startswith("/v1beta/models/{model}:")


def test_no_key_is_refused() -> None:
    with pytest.raises(ValueError, match="`key` is missing"):
        build("gemini", Config(key=Secret(" ")))
