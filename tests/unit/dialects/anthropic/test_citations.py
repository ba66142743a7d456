"""Locations come back as they were; foreign citations are told where they have an address."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from gatewright.core.chat import Citation, Extension
from gatewright.dialects.anthropic.citations import is_own, read_citation, write_citation
from gatewright.wire.json_object import JsonObject, render_json

LOCATIONS: list[dict[str, Any]] = [
    {
        "type": "char_location",
        "cited_text": "The grass is green.",
        "document_index": 0,
        "document_title": "Plants",
        "start_char_index": 0,
        "end_char_index": 19,
    },
    {"type": "page_location", "cited_text": "x", "document_index": 1, "start_page_number": 1, "end_page_number": 2},
    {
        "type": "content_block_location",
        "cited_text": "x",
        "document_index": 1,
        "start_block_index": 0,
        "end_block_index": 1,
    },
    {
        "type": "web_search_result_location",
        "cited_text": "x",
        "url": "https://a",
        "title": "A",
        "encrypted_index": "Eo8B",
    },
    {
        "type": "search_result_location",
        "cited_text": "x",
        "source": "https://b",
        "title": "B",
        "search_result_index": 0,
        "start_block_index": 0,
        "end_block_index": 1,
    },
    {"type": "search_result_location", "cited_text": "x", "source": "kb-7", "search_result_index": 0},
    {"type": "a_new_location", "cited_text": "x", "url": "https://c", "where": [1]},
]


@pytest.mark.parametrize("location", LOCATIONS, ids=[str(location["type"]) for location in LOCATIONS])
def test_locations_come_back(location: dict[str, object]) -> None:
    citation = read_citation(JsonObject.parse(render_json(location)))
    assert is_own(citation)
    written = render_json(write_citation(citation))
    assert plain(written) == location
    assert citation.quote == location["cited_text"]


def plain(raw: Raw) -> dict[str, object]:
    value = JsonObject({"x": raw}).any("x")
    assert isinstance(value, dict)
    return value


def test_addresses_and_titles_are_read() -> None:
    web, result = (read_citation(JsonObject.parse(render_json(LOCATIONS[index]))) for index in (3, 4))
    assert (web.url, web.title, result.url, result.title) == ("https://a", "A", "https://b", "B")
    document = read_citation(JsonObject.parse(render_json(LOCATIONS[0])))
    assert (document.url, document.title) == (None, "Plants")


def test_a_foreign_citation_with_an_address_is_told_and_not_taken_back() -> None:
    location = write_citation(Citation(url="https://a", title="A"))
    assert location is not None
    assert location["type"] == "web_search_result_location"
    assert (location["cited_text"], location["encrypted_index"]) == ("", "")
    back = read_citation(JsonObject.parse(render_json(location)))
    assert not is_own(back)
    assert (back.url, back.title) == ("https://a", "A")


@pytest.mark.parametrize("extra", [None, Extension("openai.chat", {"type": Raw(b'"url_citation"')})])
def test_without_an_address_there_is_no_form(extra: Extension | None) -> None:
    assert write_citation(Citation(title="A", extra=extra)) is None
