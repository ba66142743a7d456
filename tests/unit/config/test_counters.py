"""The document of the counters: what is refused, and what is never said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.config.counters import Counters, find_faults
from gatewright.core.secret import Secret


def build(url: str | None = None, **fields: Any) -> Counters:
    return Counters(url=None if url is None else Secret(url), **fields)


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        (build(), []),
        (build("redis://:pw@counters:6379/1", store="redis"), []),
        (build("unix:///run/valkey.sock", store="redis"), []),
        (build("rediss://counters", store="redis", ca="/etc/ca.pem"), []),
        (build("", store="redis", ca="/etc/ca.pem"), []),
        (build(store="redis"), ["url"]),
        (build("redis://counters"), ["store"]),
        (build("http://counters", store="redis"), ["url"]),
        (build("redis://a:1,b:2", store="redis"), ["url"]),
        (build("redis://counters", store="redis", ca="/etc/ca.pem"), ["ca"]),
    ],
)
def test_faults_are_found(document: Counters, fields: list[str]) -> None:
    assert [field for field, _ in find_faults(document)] == fields


def test_no_fault_repeats_the_password() -> None:
    document = build("http://user:hunter2@counters", ca="/etc/ca.pem")
    faults = find_faults(document)
    assert len(faults) == 3
    assert "hunter2" not in repr(faults) + repr(document) + str(document)


@pytest.mark.parametrize(
    "fields",
    [
        {"store": "memcached"},
        {"share": 0},
        {"share": 1.5},
        {"lease": 0.9},
        {"lease": -0.1},
        {"prefix": "a{b}"},
        {"prefix": ""},
        {"timeout_ms": 0},
        {"on_outage": "pray"},
        {"storage": "redis"},
    ],
)
def test_what_the_types_refuse(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(fields, Counters)
