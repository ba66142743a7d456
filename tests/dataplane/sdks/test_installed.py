"""Fails where a vendor's SDK is missing, since then nothing of this folder is tested."""

from __future__ import annotations

import importlib

import pytest

pytestmark = [pytest.mark.sockets, pytest.mark.sdks]


@pytest.mark.parametrize("name", ["anthropic", "boto3", "cohere", "google.genai", "ollama", "openai"])
def test_the_sdk_is_here(name: str) -> None:
    """`make test` installs it (requirements/sdks.txt)."""
    assert importlib.import_module(name)
