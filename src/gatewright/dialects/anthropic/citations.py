"""Citations of text blocks (platform.claude.com/docs/en/build-with-claude/citations).

A location says where in the *source* the words stand; what the hub has no member for stays in the citation's extension,
`type` included, whose presence says that it can be written back as it was.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gatewright.core.chat import Citation, Extension
from gatewright.dialects.anthropic.vocabulary import NAME, own
from gatewright.wire.json_object import JsonObject, render_json

_WEB: Final = "web_search_result_location"
_RESULT: Final = "search_result_location"
_TITLES: Final = {_WEB: "title", _RESULT: "title"}
_TITLE: Final = "document_title"
_any = msgspec.json.Decoder()


def read_citation(block: JsonObject) -> Citation:
    """One location as a citation."""
    type_ = block.required_string("type")
    quote = block.string("cited_text")
    title = block.string(_TITLES.get(type_, _TITLE))
    url = None
    if type_ == _WEB:
        url = block.string("url")
        index = block.peek("encrypted_index")
        if index is not None and bytes(index) == b'""':
            # Written by `write_citation` for a client: no upstream of this API would take it back.
            return Citation(url=url, title=title, quote=quote)
    elif type_ == _RESULT:
        source = block.peek("source")
        if source is not None and bytes(source).startswith((b'"http://', b'"https://')):
            url = block.string("source")
    rest = block.rest(NAME)
    members = {"type": render_json(type_)} | (rest.members if rest is not None else {})
    return Citation(url=url, title=title, quote=quote, extra=Extension(NAME, members))


def is_own(citation: Citation) -> bool:
    """Whether a citation came from this API, so that it can be sent back to it."""
    return "type" in own(citation.extra)


def write_citation(citation: Citation) -> dict[str, Any] | None:
    """The location of a citation; None when it names no address, as the API then has no form for it."""
    members = own(citation.extra)
    if "type" not in members:
        if citation.url is None:
            return None
        return {
            "type": _WEB,
            "url": citation.url,
            "title": citation.title,
            "cited_text": citation.quote or "",
            "encrypted_index": "",
        }
    type_ = _any.decode(members["type"])
    location: dict[str, Any] = {"type": type_}
    if type_ == _RESULT and citation.url is not None:
        location["source"] = citation.url
    if citation.quote is not None:
        location["cited_text"] = citation.quote
    if citation.title is not None:
        location[_TITLES.get(type_, _TITLE)] = citation.title
    if citation.url is not None and type_ == _WEB:
        location["url"] = citation.url
    return location | members
