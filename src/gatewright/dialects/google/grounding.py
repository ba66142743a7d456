"""Citations in a candidate's `groundingMetadata` and `citationMetadata`, both directions.

ai.google.dev/api/generate-content#GroundingMetadata: a support names a segment of the answer by UTF-8 byte offsets and
the chunks that it rests on; a chunk has the address. The metadata itself stays with the candidate's extension, so a
client of this API gets it as it was.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Citation, Text

_MAX_CITATIONS: Final = 1000


class _Place(Struct):
    uri: str | None = None
    title: str | None = None
    text: str | None = None


class _Chunk(Struct):
    web: _Place | None = None
    retrievedContext: _Place | None = None
    maps: _Place | None = None


class _Segment(Struct):
    startIndex: int = 0
    endIndex: int = 0
    text: str | None = None


class _Support(Struct):
    segment: _Segment | None = None
    groundingChunkIndices: list[int] = []


class _Grounding(Struct):
    groundingChunks: list[_Chunk] = []
    groundingSupports: list[_Support] = []


class _CitationSource(Struct):
    startIndex: int | None = None
    endIndex: int | None = None
    uri: str | None = None
    title: str | None = None


class _Citations(Struct):
    citationSources: list[_CitationSource] = []
    citations: list[_CitationSource] = []
    """Vertex AI's name for them."""


_grounding = msgspec.json.Decoder(_Grounding)
_citations = msgspec.json.Decoder(_Citations)
_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read_citations(members: dict[str, Raw], texts: list[str]) -> list[Citation]:
    """What the last of an answer's texts rests on; metadata in another form gives none."""
    try:
        found = _read_grounding(members.get("groundingMetadata"), texts)
        return (found + _read_sources(members.get("citationMetadata"), texts))[:_MAX_CITATIONS]
    except _FAILURES:
        return []


def _read_grounding(raw: Raw | None, texts: list[str]) -> list[Citation]:
    if raw is None:
        return []
    grounding = _grounding.decode(raw)
    places = [chunk.web or chunk.retrievedContext or chunk.maps or _Place() for chunk in grounding.groundingChunks]
    spans = _Spans(texts)
    found = []
    for support in grounding.groundingSupports[:_MAX_CITATIONS]:
        segment = support.segment
        start, end = (None, None) if segment is None else spans.find(segment.startIndex, segment.endIndex, segment.text)
        for index in support.groundingChunkIndices:
            if not 0 <= index < len(places) or places[index].uri is None:
                continue
            place = places[index]
            found.append(Citation(url=place.uri, title=place.title, quote=place.text, start=start, end=end))
    return found


def _read_sources(raw: Raw | None, texts: list[str]) -> list[Citation]:
    if raw is None:
        return []
    metadata = _citations.decode(raw)
    spans = _Spans(texts)
    found = []
    for source in metadata.citationSources + metadata.citations:
        if source.uri is None:
            continue
        start, end = (None, None) if source.endIndex is None else spans.find(source.startIndex or 0, source.endIndex)
        found.append(Citation(url=source.uri, title=source.title, start=start, end=end))
    return found


class _Spans:
    """Byte offsets in the whole answer as character offsets in its last text."""

    def __init__(self, texts: list[str]) -> None:
        self._spelled = "".join(texts).encode("utf-8", "replace")
        self._last_at = len("".join(texts[:-1]).encode("utf-8", "replace"))

    def find(self, start: int, end: int, expected: str | None = None) -> tuple[int | None, int | None]:
        """The stretch; (None, None) when it is not in the last text or is not what it is said to be."""
        at = self._last_at
        if not at <= start < end <= len(self._spelled):
            return None, None
        stretch = self._spelled[start:end].decode("utf-8", "replace")
        if expected is not None and stretch != expected:
            return None, None
        begin = len(self._spelled[at:start].decode("utf-8", "replace"))
        return begin, begin + len(stretch)


def write_citations(texts: list[tuple[int, Text]]) -> dict[str, Any] | None:
    """`groundingMetadata` for citations that another dialect gave; None when there are none with an address.

    Each text comes with how many bytes of the answer's text are before it.
    """
    chunks: dict[str, int] = {}
    written: list[dict[str, Any]] = []
    supports = []
    for before, part in texts:
        for citation in part.citations:
            if citation.url is None:
                continue
            if citation.url not in chunks:
                chunks[citation.url] = len(chunks)
                written.append({"web": {"uri": citation.url, "title": citation.title or citation.url}})
            supports.append(_support(part.text, citation, chunks[citation.url], before))
    return {"groundingChunks": written, "groundingSupports": supports} if written else None


def _support(text: str, citation: Citation, chunk: int, before: int) -> dict[str, Any]:
    start = 0 if citation.start is None else citation.start
    end = len(text) if citation.end is None else citation.end
    stretch = text[start:end]
    at = before + len(text[:start].encode("utf-8", "replace"))
    segment = {"startIndex": at, "endIndex": at + len(stretch.encode("utf-8", "replace")), "text": stretch}
    return {"segment": segment, "groundingChunkIndices": [chunk]}
