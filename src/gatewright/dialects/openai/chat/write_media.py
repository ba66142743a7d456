"""Media of the hub as content parts; what chat completions cannot take is told to the report."""

from __future__ import annotations

from typing import Any, assert_never

from gatewright.core.chat import Audio, File, Image, Video
from gatewright.core.loss import Feature, LossReport
from gatewright.dialects.openai.chat.media import audio_format, form_of, inner_of, rest_of, write_image
from gatewright.dialects.openai.chat.words import NAME
from gatewright.wire.media import text_of_file, write_data_url

Media = Image | Audio | Video | File


def write_media(part: Media, report: LossReport, path: str) -> dict[str, Any] | None:
    """A content part of a user message; None when it was left out."""
    match part:
        case Image():
            return _write_image(part, report, path)
        case Audio():
            return _write_audio(part, report, path)
        case Video():
            url = write_data_url(part.source)
            form = form_of(part)
            if url is None or form is None:
                report.refused(Feature.VIDEO, path, "chat completions take no video")
                return None
            video = url if form == "string" else {"url": url, **inner_of(part, "video_url")}
            return {"type": "video_url", "video_url": video, **rest_of(part, "video_url")}
        case File():
            return _write_file(part, report, path)
        case _:
            assert_never(part)


def _write_image(part: Image, report: LossReport, path: str) -> dict[str, Any] | None:
    url = write_data_url(part.source)
    if url is None:
        report.refused(Feature.FILE_ID, path, "chat completions take no images by file id")
        return None
    if part.source.data is None and not url.startswith(("http://", "https://")) and not _is_own(part):
        report.refused(Feature.IMAGE_URL, path, "the provider cannot fetch from this kind of address")
        return None
    return write_image(part, url)


def _is_own(part: Media) -> bool:
    return part.extra is not None and part.extra.dialect == NAME


def _write_audio(part: Audio, report: LossReport, path: str) -> dict[str, Any] | None:
    source = part.source
    if form_of(part) == "string":
        value = source.url if source.url is not None else source.data if source.media_type is None else None
        return {"type": "input_audio", "input_audio": value or write_data_url(source), **rest_of(part)}
    if source.data is None:
        report.refused(Feature.AUDIO, path, "chat completions take audio only inline")
        return None
    audio: dict[str, Any] = {"data": source.data}
    if source.media_type is not None or not _is_own(part):
        audio["format"] = audio_format(source.media_type)
    audio |= inner_of(part, "input_audio")
    return {"type": "input_audio", "input_audio": audio, **rest_of(part, "input_audio")}


def _write_file(part: File, report: LossReport, path: str) -> dict[str, Any] | None:
    source = part.source
    form = form_of(part)
    if form == "document_url":
        title = {} if part.title is None else {"document_name": part.title}
        return {"type": "document_url", "document_url": write_data_url(source), **title, **rest_of(part)}
    if source.file_id is not None:
        if (source.dialect or "").partition(".")[0] != "openai":
            report.refused(Feature.FILE_ID, path, "the file was uploaded to another vendor")
            return None
        named = {} if source.filename is None else {"filename": source.filename}
        file: dict[str, Any] = {"file_id": source.file_id, **named, **inner_of(part, "file")}
        return {"type": "file", "file": file, **rest_of(part, "file")}
    if source.data is None and form != "url":
        report.refused(Feature.DOCUMENT, path, "chat completions take documents only inline or by file id")
        return None
    text = None if _is_own(part) else text_of_file(part)
    if text is not None:
        report.approximated(Feature.DOCUMENT, path, "sent as text of the message")
        return {"type": "text", "text": text}
    _tell_of_context(part, report, path)
    filename = source.filename or part.title
    if filename is None and not _is_own(part):
        filename = "document." + (source.media_type or "/pdf").rpartition("/")[2][:8]
    is_bare = source.media_type is None and source.data is not None
    data = source.data if is_bare else write_data_url(source)
    file = {**({} if filename is None else {"filename": filename}), "file_data": data, **inner_of(part, "file")}
    return {"type": "file", "file": file, **rest_of(part, "file")}


def _tell_of_context(part: File, report: LossReport, path: str) -> None:
    if part.context is not None:
        report.dropped(Feature.DOCUMENT, path, "what was said about the document is left out")
    if part.is_cited:
        report.dropped(Feature.CITATIONS, path, "citations of documents cannot be asked for")
