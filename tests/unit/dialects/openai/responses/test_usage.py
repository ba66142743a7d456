"""Usage of the Responses API, to the normal form and back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.usage import Usage
from gatewright.dialects.openai.responses.usage import read_answer, read_usage, usage_extension, write_usage

FULL: dict[str, Any] = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 7},
    "output_tokens": 40,
    "output_tokens_details": {"reasoning_tokens": 30},
    "total_tokens": 140,
}


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def test_the_vendors_rule_is_the_normal_forms() -> None:
    assert read_usage(raw(FULL)) == Usage(
        input_total=100, input_cached_read=60, input_cache_write=7, output_total=40, output_reasoning=30
    )


@pytest.mark.parametrize(
    "reported",
    [
        FULL,
        {**FULL, "input_tokens_details": {"cached_tokens": 0}},
        {**FULL, "total_tokens": 999},
        {**FULL, "cost": 0.5, "num_sources_used": 0},
        {**FULL, "output_tokens_details": {"reasoning_tokens": 1, "tool_tokens": 5}},
        {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_tokens_details": {"text_tokens": 1}},
        {
            "input_tokens": 20,
            "input_tokens_details": {
                "cached_tokens": 9,
                "image_tokens": 8,
                "cached_tokens_details": {"text_tokens": 4, "image_tokens": 5},
            },
            "output_tokens": 2,
            "total_tokens": 22,
        },
    ],
)
def test_a_vendors_numbers_come_back(reported: dict[str, Any]) -> None:
    usage = read_usage(raw(reported))
    assert usage is not None
    written = json.loads(msgspec.json.encode(write_usage(usage, usage_extension(raw(reported), usage))))
    assert written == reported


def test_kinds_of_cached_tokens_are_read_and_written() -> None:
    usage = Usage(
        input_total=20,
        input_cached_read=9,
        input_audio=3,
        input_image=8,
        input_cached_audio=2,
        input_cached_image=5,
        output_total=2,
    )
    written = write_usage(usage, None)
    assert written is not None
    assert written["input_tokens_details"]["cached_tokens_details"] == {"audio_tokens": 2, "image_tokens": 5}
    assert read_usage(raw(written)) == usage


def test_another_dialects_usage_has_all_members_the_sdks_want() -> None:
    written = write_usage(Usage(input_total=3, output_total=4), Extension("openai.chat", {"x": Raw(b"1")}))
    assert written == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }
    assert write_usage(None, None) is None


@pytest.mark.parametrize(
    "bad", ["null", "[]", '{"input_tokens":-1}', '{"input_tokens":"9"}', "{}", '{"input_tokens":1e30}']
)
def test_numbers_that_make_no_sense_are_none(bad: str) -> None:
    assert read_usage(Raw(bad.encode())) is None
    assert read_answer(b'{"model":"m","usage":%b}' % bad.encode()) == (Raw(b'"m"'), None)


def test_a_complete_answer_is_read_in_one_pass() -> None:
    model, usage = read_answer(json.dumps({"model": "m", "output": [], "usage": FULL}).encode())
    assert bytes(model or b"") == b'"m"'
    assert usage == read_usage(raw(FULL))
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"[]")


@pytest.mark.parametrize(
    ("output", "searches"),
    [
        ([], 0),
        ([{"type": "web_search_call", "action": {"type": "search", "query": "x"}}, {"type": "message"}], 1),
        ([{"type": "web_search_call", "action": {"type": "search", "queries": ["x", "y"]}}] * 2, 2),
        ([{"type": "web_search_call", "action": {"type": "open_page", "url": "u"}}], 0),
        ([{"type": "web_search_call", "action": {"type": "find_in_page"}}], 0),
        ([{"type": "web_search_call"}], 1),
        ([{"type": "message", "content": [{"text": '"web_search_call"'}]}], 0),
        ([{"type": "message", "text": "web_search_call"}, {"type": "web_search_call", "action": "odd"}], 0),
        ("web_search_call", 0),
    ],
)
def test_searches_of_the_web_are_counted(output: Any, searches: int) -> None:
    body = json.dumps({"usage": FULL, "output": output, "service_tier": "flex"}, separators=(",", ":")).encode()
    usage = read_answer(body)[1]
    assert usage is not None
    assert (usage.web_searches, usage.service, usage.input_total) == (searches, "flex", 100)
