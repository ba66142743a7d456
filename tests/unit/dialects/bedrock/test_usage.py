"""Converse's counts: what is read from the cache stands beside the input, and comes back as it was said."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Extension
from gatewright.core.errors import Kind
from gatewright.core.usage import Usage
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.usage import read_answer, read_usage, take_account, write_account, write_usage
from gatewright.wire.json_object import JsonObject

REPORTS: list[Any] = [
    pytest.param(
        {"inputTokens": 9, "outputTokens": 4, "totalTokens": 13}, Usage(input_total=9, output_total=4), id="plain"
    ),
    pytest.param(
        {
            "inputTokens": 3,
            "outputTokens": 5,
            "totalTokens": 78,
            "cacheReadInputTokens": 40,
            "cacheWriteInputTokens": 30,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 10}, {"ttl": "5m", "inputTokens": 20}],
        },
        Usage(input_total=73, input_cached_read=40, input_cache_write=30, input_cache_write_1h=10, output_total=5),
        id="cache",
    ),
    pytest.param(
        {
            "inputTokens": 1,
            "outputTokens": 1,
            "totalTokens": 2,
            "cacheReadInputTokens": 0,
            "cacheReadInputTokenCount": 0,
            "serverToolUsage": {},
        },
        Usage(input_total=1, output_total=1),
        id="members the reference does not know",
    ),
    pytest.param(
        {"inputTokens": 1, "outputTokens": 1, "totalTokens": 7}, Usage(input_total=1, output_total=1), id="odd total"
    ),
]


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


@pytest.mark.parametrize(("reported", "usage"), REPORTS)
def test_counts_come_back(reported: dict[str, Any], usage: Usage) -> None:
    read, kept = read_usage(raw(reported))
    assert read == usage
    assert json.loads(msgspec.json.encode(write_usage(usage, kept))) == reported


@pytest.mark.parametrize(("reported", "usage"), REPORTS)
def test_the_usage_of_an_answer(reported: dict[str, Any], usage: Usage) -> None:
    assert read_answer(json.dumps({"output": {}, "usage": reported}).encode()) == (None, usage)


@pytest.mark.parametrize(
    "usage", [None, {}, {"inputTokens": -1}, {"inputTokens": "5"}, {"totalTokens": 3}, {"inputTokens": 10**15}, []]
)
def test_counts_that_make_no_sense_are_none(usage: Any) -> None:
    assert read_answer(json.dumps({"usage": usage}).encode()) == (None, None)
    assert read_usage(raw(usage))[0] is None


def test_what_is_no_answer_raises() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"[]")
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"{")


def test_counts_of_another_vendor() -> None:
    usage = Usage(input_total=100, input_cached_read=60, input_cache_write=30, input_cache_write_1h=30, output_total=7)
    assert write_account(usage, None) == {
        "usage": {
            "inputTokens": 10,
            "outputTokens": 7,
            "totalTokens": 107,
            "cacheReadInputTokens": 60,
            "cacheWriteInputTokens": 30,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 30}],
        },
        "metrics": {"latencyMs": 0},
    }
    assert write_usage(Usage(input_total=1, input_cached_read=5), {})["inputTokens"] == 0


def test_the_account_beside_the_counts() -> None:
    said = {
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "serverToolUsage": {}},
        "metrics": {"latencyMs": 12},
        "serviceTier": {"type": "flex"},
        "trace": {"guardrail": {}},
    }
    usage, members = take_account(JsonObject.parse(json.dumps(said).encode()))
    assert json.loads(msgspec.json.encode(write_account(usage, Extension(NAME, members)))) == said
    assert write_account(None, None) == {}


@pytest.mark.parametrize(
    ("tier", "service"),
    [(b'{"type":"flex"}', "flex"), (b'{"type":"default"}', "prices"), (b'{"type":"reserved"}', ""), (b"null", "")],
)
def test_the_answer_tells_which_service_gave_it(tier: bytes, service: str) -> None:
    body = b'{"usage":{"inputTokens":3,"outputTokens":1},"serviceTier":%b}' % tier
    assert read_answer(body)[1] == Usage(input_total=3, output_total=1, service=service)
    usage, _ = take_account(JsonObject.parse(body, kind=Kind.UPSTREAM_BAD_RESPONSE))
    assert usage == Usage(input_total=3, output_total=1, service=service)
