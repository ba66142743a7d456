"""Usage: the cache is counted apart here, and within the total in normal form."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.usage import Usage
from gatewright.dialects.anthropic.usage import overlay, read_answer, read_extra, read_usage, render_usage

FULL = (
    b'{"input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":7,'
    b'"cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":40},'
    b'"output_tokens_details":{"thinking_tokens":3},"service_tier":"standard","server_tool_use":{"web_search_requests":2}}'
)
NORMAL = Usage(
    input_total=1110,
    input_cached_read=1000,
    input_cache_write=100,
    input_cache_write_1h=40,
    output_total=7,
    output_reasoning=3,
    web_searches=2,
    service="prices",
)


@pytest.mark.parametrize(
    ("spelled", "usage"),
    [
        (FULL, NORMAL),
        (b'{"input_tokens":5,"output_tokens":1}', Usage(input_total=5, output_total=1)),
        (
            b'{"input_tokens":5,"output_tokens":1,"cache_read_input_tokens":null,"cache_creation":null}',
            Usage(input_total=5, output_total=1),
        ),
        (b"null", None),
        (b"{}", None),
        (b'{"input_tokens":-1,"output_tokens":1}', None),
        (b'{"input_tokens":"5"}', None),
        (b"[", None),
    ],
)
def test_usage_is_read(spelled: bytes, usage: Usage | None) -> None:
    assert read_usage(spelled) == usage


def test_usage_is_written_with_its_own_numbers() -> None:
    extra = read_extra(FULL)
    assert extra is not None
    assert set(extra.members) == {"service_tier", "server_tool_use"}
    assert msgspec.json.decode(msgspec.json.encode(render_usage(NORMAL, extra))) == msgspec.json.decode(FULL)


def test_unknown_usage_is_zeros() -> None:
    assert render_usage(None, None) == {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 0,
    }


def test_foreign_members_are_not_written() -> None:
    assert "x" not in render_usage(Usage(), Extension("openai.chat", {"x": Raw(b"1")}))
    assert read_extra(b"7") is None
    assert read_extra(b'{"input_tokens":1}') is None


def test_later_numbers_replace_and_absent_ones_stay() -> None:
    merged = overlay(b'{"input_tokens":9,"output_tokens":1}', b'{"output_tokens":5,"input_tokens":null}')
    assert read_usage(merged) == Usage(input_total=9, output_total=5)
    assert overlay(b'{"a":1}', b"7") == b'{"a":1}'


def test_answers_are_read_on_the_side() -> None:
    model, usage = read_answer(b'{"model":"claude","usage":' + FULL + b',"content":[]}')
    assert (bytes(model or b""), usage) == (b'"claude"', NORMAL)
    assert read_answer(b"{}") == (None, None)
    model, usage = read_answer(b'{"model":"claude","usage":{"input_tokens":"x"}}')
    assert (bytes(model or b""), usage) == (b'"claude"', None)
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"[]")


@pytest.mark.parametrize(
    ("members", "searches", "service"),
    [
        (b'"server_tool_use":{"web_search_requests":3,"web_fetch_requests":2}', 3, ""),
        (b'"server_tool_use":{"web_search_requests":-1}', 0, ""),
        (b'"server_tool_use":{"web_search_requests":true}', 0, ""),
        (b'"server_tool_use":{"web_search_requests":"3"},"service_tier":5', 0, ""),
        (b'"server_tool_use":null,"service_tier":"priority"', 0, "priority"),
        (b'"server_tool_use":[],"service_tier":"batch"', 0, "batch"),
    ],
)
def test_hosted_tools_and_the_tier_that_answered(members: bytes, searches: int, service: str) -> None:
    usage = read_usage(b'{"input_tokens":5,"output_tokens":1,' + members + b"}")
    assert usage == Usage(input_total=5, output_total=1, web_searches=searches, service=service)


def test_a_stream_tells_its_searches_at_the_end() -> None:
    started = b'{"input_tokens":5,"output_tokens":1,"service_tier":"standard"}'
    ended = b'{"output_tokens":9,"server_tool_use":{"web_search_requests":2}}'
    assert read_usage(overlay(started, ended)) == Usage(input_total=5, output_total=9, web_searches=2, service="prices")
