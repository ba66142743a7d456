from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Citation
from gatewright.dialects.cohere.citations import content_index, is_of_text, read_citation, write_citation
from gatewright.wire.json_object import JsonObject

DOCUMENT = {"id": "d1", "title": "Moons", "url": "https://a.example", "snippet": "There are two."}
OWN: dict[str, Any] = {
    "start": 4,
    "end": 7,
    "text": "two",
    "sources": [
        {"type": "tool", "id": "t:0", "tool_output": {"content": "x"}},
        {"type": "document", "id": "d1", "document": DOCUMENT},
    ],
    "content_index": 1,
    "type": "TEXT_CONTENT",
}


def parse(value: dict[str, Any]) -> JsonObject:
    return JsonObject.parse(msgspec.json.encode(value))


@pytest.mark.parametrize(
    "spelled", [OWN, {"start": 1, "end": 2}, {}, {"sources": "odd"}, {"sources": [7, {"document": 7}]}]
)
def test_own_citations_come_back(spelled: dict[str, Any]) -> None:
    citation = read_citation(parse(spelled))
    assert msgspec.json.decode(msgspec.json.encode(write_citation(citation, "all the words"))) == spelled


def test_what_the_hub_knows_is_read() -> None:
    citation = read_citation(parse(OWN))
    assert (citation.start, citation.end) == (4, 7)
    assert (citation.title, citation.url, citation.quote) == ("Moons", "https://a.example", "There are two.")


def test_citations_of_others() -> None:
    citation = Citation(url="https://a.example", quote="q", start=2, end=4)
    assert write_citation(citation, "abcdef") == {
        "start": 2,
        "end": 4,
        "text": "cd",
        "sources": [
            {
                "type": "document",
                "id": "https://a.example",
                "document": {"id": "https://a.example", "url": "https://a.example", "snippet": "q"},
            }
        ],
        "type": "TEXT_CONTENT",
    }
    whole = write_citation(Citation(title="t"), "abcdef")
    assert (whole["start"], whole["end"], whole["text"]) == (0, 6, "abcdef")


def test_where_a_citation_belongs() -> None:
    assert is_of_text(parse(OWN))
    assert is_of_text(parse({}))
    assert not is_of_text(parse({"type": "PLAN"}))
    assert content_index(parse(OWN)) == 1
    assert content_index(parse({})) is None
    assert content_index(parse({"content_index": "1"})) is None
