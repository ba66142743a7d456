"""What the section accepts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.config.gateway_tokens import GatewayTokens


@pytest.mark.parametrize(
    ("changes", "is_good"),
    [
        ({}, True),
        ({"issuer": "http://localhost:8080/gw"}, True),
        ({"lifetime_s": 30}, True),
        ({"lifetime_s": 86_400}, True),
        ({"lifetime_s": 29}, False),
        ({"lifetime_s": 86_401}, False),
        ({"issuer": "ai.acme.example"}, False),
        ({"issuer": "https://ai.acme.example/?x=1"}, False),
        ({"issuer": "https://ai.acme.example/#x"}, False),
        ({"issuer": "https://ai.acme.example/a b"}, False),
        ({"audience": ""}, False),
        ({"claims": ["groups", "https://acme.example/team"]}, True),
        ({"claims": [""]}, False),
        ({"life": 30}, False),
    ],
)
def test_the_section(changes: dict[str, Any], is_good: bool) -> None:
    section = {"issuer": "https://ai.acme.example"} | changes
    if is_good:
        assert msgspec.convert(section, GatewayTokens).issuer == section["issuer"]
    else:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(section, GatewayTokens)
