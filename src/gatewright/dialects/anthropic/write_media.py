"""Images and documents → blocks of a request (platform.claude.com/docs/en/build-with-claude/vision, …/pdf-support)."""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import File, Image, Source
from gatewright.core.loss import Feature, LossReport
from gatewright.dialects.anthropic.vocabulary import NAME, own
from gatewright.wire.media import image_type, text_of_base64

_IMAGES: Final = frozenset(("image/jpeg", "image/png", "image/gif", "image/webp"))
_SYNONYMS: Final = {"image/jpg": "image/jpeg"}
_PDF: Final = "application/pdf"
_TEXTS: Final = frozenset(
    ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/javascript")
)


def write_image(part: Image, path: str, report: LossReport) -> dict[str, Any] | None:
    """An `image` block; None when the image had to be left out."""
    source = _image_source(part.source, path, report)
    if source is None:
        return None
    if part.detail not in (None, "auto"):
        report.dropped(Feature.IMAGE_DETAIL, f"{path}.detail", "the API has no such setting")
    return {"type": "image", "source": source, **own(part.extra)}


def _image_source(source: Source, path: str, report: LossReport) -> dict[str, Any] | None:
    if source.data is not None:
        type_ = source.media_type or image_type(source.data) or ""
        type_ = _SYNONYMS.get(type_, type_)
        if type_ in _IMAGES:
            return {"type": "base64", "media_type": type_, "data": source.data}
        report.refused(Feature.IMAGE_DATA, path, "images must be JPEG, PNG, GIF or WebP")
        return None
    return _reference(source, Feature.IMAGE_URL, path, report)


def _reference(source: Source, feature: Feature, path: str, report: LossReport) -> dict[str, Any] | None:
    if source.url is not None:
        if source.url.startswith(("https://", "http://")):
            return {"type": "url", "url": source.url}
        report.refused(feature, path, "only http and https addresses can be fetched")
    elif source.dialect == NAME and source.file_id is not None:
        return {"type": "file", "file_id": source.file_id}
    else:
        report.refused(Feature.FILE_ID, path, "the file was uploaded to another vendor")
    return None


def write_document(part: File, path: str, report: LossReport) -> dict[str, Any] | None:
    """A `document` block; None when the document had to be left out."""
    extra = own(part.extra)
    type_ = (part.source.media_type or "").partition(";")[0].strip().lower()
    if part.source.data is not None and type_ in _IMAGES:
        return write_image(Image(source=part.source), path, report)
    source = extra.pop("source", None) or _document_source(part.source, type_, path, report)
    if source is None:
        return None
    block: dict[str, Any] = {"type": "document", "source": source}
    title = part.title or part.source.filename
    if title is not None:
        block["title"] = title
    if part.context is not None:
        block["context"] = part.context
    if part.is_cited is not None:
        block["citations"] = {"enabled": part.is_cited}
    return block | extra


def _document_source(source: Source, type_: str, path: str, report: LossReport) -> dict[str, Any] | None:
    data = source.data
    if data is None:
        return _reference(source, Feature.DOCUMENT, path, report)
    if type_ == _PDF or (not type_ and data.startswith("JVBERi")):
        return {"type": "base64", "media_type": _PDF, "data": data}
    if type_.startswith("text/") or type_ in _TEXTS:
        text = text_of_base64(data)
        if text is None:
            report.refused(Feature.DOCUMENT, path, "the document is not base64 of UTF-8 text")
            return None
        if type_ != "text/plain":
            report.approximated(Feature.DOCUMENT, path, f"{type_} is sent as plain text")
        return {"type": "text", "media_type": "text/plain", "data": text}
    report.refused(Feature.DOCUMENT, path, "documents must be PDF or text")
    return None
