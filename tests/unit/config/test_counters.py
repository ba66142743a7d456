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
        (build("redis://:p%2Fa,b@counters:6379", store="redis"), []),
        (build("redis://[::1]:6379?db=2", store="redis"), []),
        (build("unix://user:pw@/run/valkey.sock?db=2", store="redis"), []),
        (build("redis://counters:six", store="redis"), ["url"]),
        (build("redis://counters:99999", store="redis"), ["url"]),
        (build("redis://[::1:6379", store="redis"), ["url"]),
        (build("redis://counters/main", store="redis"), ["url"]),
        (build("redis://counters?socket_timeout=60", store="redis"), ["url"]),
        (build("redis://counters?db=main", store="redis"), ["url"]),
        (build("unix:///run/valkey.sock?timeout=1", store="redis"), ["url"]),
    ],
)
def test_faults_are_found(document: Counters, fields: list[str]) -> None:
    assert [field for field, _ in find_faults(document)] == fields


def test_no_fault_repeats_the_password() -> None:
    document = build("http://user:hunter2@counters", ca="/etc/ca.pem")
    faults = find_faults(document)
    assert len(faults) == 3
    assert "hunter2" not in repr(faults) + repr(document) + str(document)


@pytest.mark.parametrize("mark", ["/", "#", "?", "[", "/@", "#@"])
@pytest.mark.parametrize("begin", ["hunter", "12"])
def test_a_password_that_is_not_escaped_is_told_without_a_piece_of_it(begin: str, mark: str) -> None:
    faults = find_faults(build(f"redis://:{begin}{mark}secret@counters:6379/0", store="redis"))
    ((field, message),) = faults
    assert field == "url"
    assert "%2F" in message
    assert begin not in message
    assert "secret" not in message


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
