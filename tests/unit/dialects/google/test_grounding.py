import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import raw

from gatewright.core.chat import Citation, Text
from gatewright.dialects.google.grounding import read_citations, write_citations


def grounding(*supports: object) -> dict[str, Raw]:
    chunks = [
        {"web": {"uri": "https://a.example", "title": "A"}},
        {"retrievedContext": {"uri": "https://b.example", "text": "as it says"}},
        {"retrievedContext": {"fileSearchStore": "stores/1", "text": "no address"}},
        {"image": {}},
    ]
    return {"groundingMetadata": raw({"groundingChunks": chunks, "groundingSupports": list(supports)})}


def support(start: int, end: int, text: str | None, *indices: int) -> object:
    return {"segment": {"startIndex": start, "endIndex": end, "text": text}, "groundingChunkIndices": list(indices)}


def test_byte_offsets_become_character_offsets() -> None:
    text = "Où est Zürich? In der Schweiz."
    stretch = "In der Schweiz."
    at = len(text[: text.index(stretch)].encode())
    [first, second] = read_citations(grounding(support(at, at + 15, stretch, 0, 1)), [text])
    assert first == Citation(url="https://a.example", title="A", start=15, end=30)
    assert second == Citation(url="https://b.example", quote="as it says", start=15, end=30)
    assert text[15:30] == stretch


def test_offsets_count_from_the_first_text_and_are_told_from_the_last() -> None:
    texts = ["Für: ", "ja, Köln"]
    assert [(each.start, each.end) for each in read_citations(grounding(support(10, 15, "Köln", 0)), texts)] == [(4, 8)]
    [before] = read_citations(grounding(support(0, 3, None, 0)), texts)
    assert (before.start, before.end) == (None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        support(0, 3, "xyz", 0),
        support(3, 3, None, 0),
        support(-1, 2, None, 0),
        support(0, 99, None, 0),
        {"groundingChunkIndices": [0]},
    ],
)
def test_a_stretch_that_is_not_there_costs_only_the_offsets(wrong: object) -> None:
    assert read_citations(grounding(wrong), ["abc"]) == [Citation(url="https://a.example", title="A")]


def test_chunks_without_an_address_are_no_citations() -> None:
    assert read_citations(grounding(support(0, 3, "abc", 2, 3, 9, -1)), ["abc"]) == []


def test_citation_metadata_of_both_apis() -> None:
    source = {"startIndex": 1, "endIndex": 3, "uri": "https://c.example", "license": "mit"}
    for name in ("citationSources", "citations"):
        members = {"citationMetadata": raw({name: [source, {"endIndex": 1}, {"uri": "https://d.example"}]})}
        assert read_citations(members, ["abc"]) == [
            Citation(url="https://c.example", start=1, end=3),
            Citation(url="https://d.example"),
        ]


@pytest.mark.parametrize("text", [b"5", b"[]", b'{"groundingChunks":5}', b'{"groundingSupports":[1]}', b"{"])
def test_metadata_in_another_form_gives_none(text: bytes) -> None:
    assert read_citations({"groundingMetadata": Raw(text)}, ["abc"]) == []


def test_what_is_written_is_read_again() -> None:
    citations = (Citation(url="https://a", title="T", start=1, end=3), Citation(url="https://b"), Citation(title="no"))
    text = Text(text="hé, ja", citations=citations)
    written = write_citations([(5, text)])
    assert written is not None
    assert written["groundingChunks"][1] == {"web": {"uri": "https://b", "title": "https://b"}}
    assert read_citations({"groundingMetadata": raw(written)}, ["12345", text.text]) == [
        Citation(url="https://a", title="T", start=1, end=3),
        Citation(url="https://b", title="https://b", start=0, end=6),
    ]


def test_nothing_is_written_without_addresses() -> None:
    assert write_citations([(0, Text(text="x", citations=(Citation(title="no"),)))]) is None
    assert write_citations([]) is None
