"""Writes the parts of a message's content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import Citation, Extension, File, Image, Native, Part, Reasoning, Refusal, Source, Text
from gatewright.core.events import TokenLogprob
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.dialects.openai.responses.names import NAME, object_members, own
from gatewright.wire.media import write_data_url

_FETCHED: Final = ("https://", "http://", "data:")
_ENDINGS: Final = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/html": "html",
    "text/csv": "csv",
    "application/json": "json",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
}


def part_rest(extension: Extension | None) -> dict[str, Raw]:
    """The members of a content part that the hub has no place for."""
    return object_members(own(extension).get("part"))


def write_contents(parts: Iterable[Part], text_type: str, path: str, report: LossReport) -> list[Any]:
    """The content of a message or of a tool's output in a request; `path` is that of `parts`."""
    written: list[Any] = []
    for index, part in enumerate(parts):
        at = f"{path}[{index}]"
        match part:
            case Text():
                written.append(write_text(part, text_type))
                _tell_mark(part, at, report)
            case Refusal():
                written.append({"type": "refusal", "refusal": part.text, **part_rest(part.extra)})
            case Image():
                _write_image(part, at, report, written)
            case File():
                _write_file(part, at, report, written)
            case Native(dialect=dialect, raw=raw) if dialect == NAME:
                written.append(raw)
            case Native():
                tell_native(part, "user", at, report)
            case Reasoning():
                report.dropped(Feature.REASONING_REPLAY, at, "only an assistant's turn can hold it")
            case _:
                feature = Feature.VIDEO if part.__struct_config__.tag == "video" else Feature.AUDIO
                report.refused(feature, at, "it takes text, images and files only")
    return written


def write_text(part: Text, text_type: str) -> dict[str, Any]:
    """A text part of a request."""
    written: dict[str, Any] = {"type": text_type, "text": part.text}
    if part.citations and text_type == "output_text":
        written["annotations"] = write_citations(part.citations, part.text)
    if part.extra is not None:
        written.update(part_rest(part.extra))
    return written


def write_citations(citations: Iterable[Citation], text: str) -> list[dict[str, Any]]:
    """Annotations; of other dialects' citations those that have an address."""
    written = [write_citation(citation, len(text)) for citation in citations]
    return [annotation for annotation in written if annotation is not None]


def write_citation(citation: Citation, text_length: int) -> dict[str, Any] | None:
    """One annotation; None when OpenAI has no form for it (a source without an address)."""
    extra = citation.extra
    if extra is not None and extra.dialect == NAME:
        known = {
            "url": citation.url,
            "title": citation.title,
            "start_index": citation.start,
            "end_index": citation.end,
        }
        return {**extra.members, **{name: value for name, value in known.items() if value is not None}}
    if citation.url is None:
        return None
    start = citation.start or 0
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": start,
        "end_index": max(start, text_length if citation.end is None else citation.end),
    }


def write_logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """Log probabilities of an answer's text."""
    return [
        {**_write_logprob(token), "top_logprobs": [_write_logprob(other) for other in token.top]} for token in tokens
    ]


def _write_logprob(token: TokenLogprob) -> dict[str, Any]:
    raw = token.token.encode() if token.bytes is None else token.bytes
    return {"token": token.token, "logprob": token.logprob, "bytes": list(raw)}


def _tell_mark(part: Text | Image | File, path: str, report: LossReport) -> None:
    if part.cache is not None and "prompt_cache_breakpoint" not in part_rest(part.extra):
        report.dropped(Feature.CACHE_MARK, path, "the provider finds the prompts to cache by itself")


def _is_usable(source: Source, path: str, feature: Feature, report: LossReport) -> bool:
    if source.file_id is not None and (source.dialect or "").partition(".")[0] != "openai":
        report.refused(Feature.FILE_ID, path, f"it was uploaded to {source.dialect}; send its bytes or an address")
        return False
    if source.url is not None and not source.url.startswith(_FETCHED):
        report.refused(feature, path, "the provider cannot fetch this kind of address; send the bytes")
        return False
    return True


def _write_image(part: Image, path: str, report: LossReport, written: list[Any]) -> None:
    source = part.source
    if not _is_usable(source, path, Feature.IMAGE_URL, report):
        return
    _tell_mark(part, path, report)
    image: dict[str, Any] = {"type": "input_image"}
    if source.file_id is not None:
        image["file_id"] = source.file_id
    else:
        image["image_url"] = write_data_url(source, "image/png")
    if part.detail is not None:
        image["detail"] = part.detail
    written.append({**image, **part_rest(part.extra)})


def _write_file(part: File, path: str, report: LossReport, written: list[Any]) -> None:
    source = part.source
    if not _is_usable(source, path, Feature.DOCUMENT, report):
        return
    _tell_mark(part, path, report)
    if part.context is not None:
        report.approximated(Feature.DOCUMENT, path, "its context is sent as text before it")
        written.append({"type": "input_text", "text": part.context})
    if part.is_cited:
        report.dropped(Feature.CITATIONS, path, "the provider cannot be asked to cite a document")
    file: dict[str, Any] = {"type": "input_file"}
    if source.file_id is not None:
        file["file_id"] = source.file_id
    elif source.url is not None:
        file["file_url"] = source.url
    else:
        is_ours = part.extra is not None and part.extra.dialect == NAME
        is_bare = is_ours and source.media_type is None
        file["file_data"] = source.data if is_bare else write_data_url(source, "application/pdf")
    name = source.filename or part.title
    if name is None and "file_data" in file and source.media_type is not None:
        name = "document." + _ENDINGS.get(source.media_type, "bin")
    if name is not None:
        file["filename"] = name
    written.append({**file, **part_rest(part.extra)})
