"""Small pieces of answers as a chat client reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gatewright.core.chat import Audio, ChatRequest, Citation, Extension, Image, Tool
from gatewright.core.events import TokenLogprob
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.openai.chat.media import form_of, rest_of, write_image
from gatewright.dialects.openai.chat.words import NAME, own
from gatewright.dialects.openai.usage import render_usage
from gatewright.wire.json_object import JsonObject
from gatewright.wire.media import write_data_url


def write_citation(citation: Citation, offset: int, report: LossReport) -> dict[str, Any] | None:
    """An element of `annotations`; `offset` is where the part's text begins in the message."""
    members = own(citation.extra)
    if "type" in members:
        return dict(members)
    if citation.url is None:
        report.note(Feature.CITATIONS, Outcome.DROPPED, "citations", "only addresses can be cited")
        return None
    cited: dict[str, Any] = {"url": citation.url, "title": citation.title or ""}
    for name, place in (("start_index", citation.start), ("end_index", citation.end)):
        if place is not None:
            cited[name] = place + offset
        elif citation.extra is None or citation.extra.dialect != NAME:
            cited[name] = offset  # the vendor's libraries take no citation without a place
    if citation.quote is not None:
        cited["content"] = citation.quote
    raw = members.get("url_citation")
    if raw is not None and (rest := JsonObject.parse(raw).rest(NAME)) is not None:
        cited |= rest.members
    others = {name: value for name, value in members.items() if name != "url_citation"}
    return {"type": "url_citation", "url_citation": cited, **others}


def write_logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """The elements of `logprobs.content`."""
    return [{**_logprob(token), "top_logprobs": [_logprob(other) for other in token.top]} for token in tokens]


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    spelled = None if token.bytes is None else list(token.bytes)
    return {"token": token.token, "logprob": token.logprob, "bytes": spelled}


def write_usage(usage: Usage, extra: Extension | None) -> dict[str, Any]:
    """The `usage` member: the host's own numbers where it speaks this dialect."""
    return dict(own(extra)) or render_usage(usage)


def write_answer_image(image: Image) -> dict[str, Any] | None:
    """An element of `images` (OpenRouter's form)."""
    url = write_data_url(image.source)
    return None if url is None else write_image(image, url)


def write_audio(audio: Audio, spare_id: str) -> dict[str, Any]:
    """The `audio` member of a complete message."""
    return {
        "id": audio.id or f"audio_{spare_id}",
        "data": audio.source.data or "",
        "transcript": audio.transcript or "",
        "expires_at": 0,
        **rest_of(audio),
    }


def wants_functions(request: ChatRequest) -> bool:
    """Whether the client speaks of `functions`, as the API did before it had `tools`."""
    return any(isinstance(tool, Tool) and form_of(tool) == "functions" for tool in request.tools)
