"""Citations of Cohere's answers (docs.cohere.com/docs/documents-and-citations).

A citation says which stretch of the answer rests on which sources; its `text` is that stretch, not the source's words.
Sources are the request's documents and the results of tools, whose members are the client's own.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Citation, Extension
from gatewright.dialects.cohere.names import NAME, own
from gatewright.wire.json_object import JsonObject

_TEXT: Final = b'"TEXT_CONTENT"'
_any = msgspec.json.Decoder()


def is_of_text(citation: JsonObject) -> bool:
    """Whether a citation supports the answer's words, rather than thoughts or the plan for tools."""
    kind = citation.peek("type")
    return kind is None or bytes(kind) == _TEXT


def read_citation(citation: JsonObject) -> Citation:
    """One citation; what the hub has no member for stays in its extension, whose presence marks it as this API's."""
    start, end = citation.integer("start"), citation.integer("end")
    title, url, quote = _source_facts(citation.peek("sources"))
    rest = citation.rest(NAME)
    return Citation(
        url=url,
        title=title,
        quote=quote,
        start=start,
        end=end,
        extra=Extension(NAME, {}) if rest is None else rest,
    )


def _source_facts(sources: Raw | None) -> tuple[str | None, str | None, str | None]:
    """Title, address and words of the first source that has any: members that the vendor's guides use."""
    try:
        found = None if sources is None else _any.decode(sources)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None, None
    for source in found if isinstance(found, list) else ():
        document = source.get("document") if isinstance(source, dict) else None
        if isinstance(document, dict):
            facts = [document.get(name) for name in ("title", "url", "snippet")]
            if any(facts):
                title, url, quote = [fact if isinstance(fact, str) and fact else None for fact in facts]
                return title, url, quote
    return None, None, None


def write_citation(citation: Citation, text: str) -> dict[str, Any]:
    """A citation of the answer text `text`."""
    if citation.extra is not None and citation.extra.dialect == NAME:
        members = own(citation.extra)
        if citation.start is not None:
            members["start"] = citation.start
        if citation.end is not None:
            members["end"] = citation.end
        return members
    start = 0 if citation.start is None else citation.start
    end = len(text) if citation.end is None else citation.end
    facts = {"title": citation.title, "url": citation.url, "snippet": citation.quote}
    document = {name: fact for name, fact in facts.items() if fact is not None}
    ident = citation.url or citation.title or "source"
    return {
        "start": start,
        "end": end,
        "text": text[start:end],
        "sources": [{"type": "document", "id": ident, "document": {"id": ident, **document}}],
        "type": "TEXT_CONTENT",
    }


def content_index(citation: JsonObject) -> int | None:
    """Which content of the message a citation belongs to; None when it does not say. Leaves it in place."""
    raw = citation.peek("content_index")
    return int(bytes(raw)) if raw is not None and bytes(raw).isdigit() and len(bytes(raw)) < 7 else None
