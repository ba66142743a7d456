"""Pictures, sound, films and documents: Converse's `{format, source}` and the hub's media types and sources.

Bytes travel as base64 in JSON. A source is `bytes` or `s3Location`; for documents also `text` or `content`
(docs.aws.amazon.com/bedrock/latest/APIReference, ImageBlock, DocumentBlock, VideoBlock, AudioBlock).
"""

from __future__ import annotations

import base64
from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import Extension, Source
from gatewright.dialects.bedrock.names import NAME
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.media import image_type

IMAGES: Final = {"png": "image/png", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}
DOCUMENTS: Final = {
    "pdf": "application/pdf",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "html": "text/html",
    "txt": "text/plain",
    "md": "text/markdown",
}
VIDEOS: Final = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "flv": "video/x-flv",
    "mpeg": "video/mpeg",
    "mpg": "video/mpg",
    "wmv": "video/x-ms-wmv",
    "three_gp": "video/3gpp",
}
AUDIOS: Final = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "mp4": "audio/mp4",
    "ogg": "audio/ogg",
    "mkv": "audio/x-matroska",
    "mka": "audio/matroska",
    "x-aac": "audio/x-aac",
    "m4a": "audio/m4a",
    "mpeg": "audio/mpeg3",
    "mpga": "audio/mpga",
    "pcm": "audio/pcm",
    "webm": "audio/webm",
}
_ALIASES: Final = {
    "image/jpg": "jpeg",
    "audio/mp3": "mp3",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/x-m4a": "m4a",
    "audio/l16": "pcm",
    "audio/x-flac": "flac",
    "video/x-flv": "flv",
    "video/wmv": "wmv",
    "text/x-markdown": "md",
    "application/csv": "csv",
}


def format_of(formats: dict[str, str], source: Source) -> str | None:
    """Converse's word for a medium's type, found by media type, file name or first bytes; None when it has none."""
    media_type = (source.media_type or "").partition(";")[0].strip().lower()
    for word, known in formats.items():
        if known == media_type:
            return word
    alias = _ALIASES.get(media_type)
    if alias in formats:
        return alias
    ending = (source.filename or source.url or "").rpartition(".")[2].lower()
    if not media_type or media_type == "application/octet-stream":
        if ending in formats:
            return ending
        media_type = image_type(source.data or "") or ""
        return next((word for word, known in formats.items() if known == media_type), None)
    if "txt" in formats and media_type.startswith("text/"):
        return ending if ending in formats else "txt"
    return None


def read_source(block: JsonObject, formats: dict[str, str]) -> tuple[Source, dict[str, Raw]]:
    """Take `format` and `source`. What the hub's source cannot hold comes beside it, for the same dialect."""
    word = block.string("format")
    kept: dict[str, Raw] = {}
    if word is None or word not in formats:
        kept["format"] = render_json(word)
    raw = block.peek("source")
    source = block.object("source")
    if source is None or raw is None:
        raise block.error("source", "is missing")
    media_type = formats.get(word) if word is not None else None
    data, url = source.string("bytes"), None
    location = source.object("s3Location")
    if location is not None:
        url = location.required_string("uri")
        if location.rest(NAME) is not None:
            kept["source"] = raw
    elif data is None:
        data = _read_words(source)
        media_type = media_type or "text/plain"
        kept["source"] = raw
    return Source(media_type=media_type, data=data, url=url), kept


def _read_words(source: JsonObject) -> str:
    """A document given as words, in base64 like any other."""
    text = source.string("text")
    if text is None:
        pieces = source.objects("content")
        if pieces is None:
            raise source.error("bytes", "is missing")
        text = "\n".join(piece.string("text") or "" for piece in pieces)
    return base64.b64encode(text.encode()).decode()


def write_source(source: Source, formats: dict[str, str], extra: Extension | None) -> dict[str, Any] | None:
    """`format` and `source`, as the same dialect said them before if it did; None when Converse has no such format."""
    kept = own(extra)
    out: dict[str, Any] = {}
    if "format" not in kept:
        word = format_of(formats, source)
        if word is None:
            return None
        out["format"] = word
    elif bytes(kept["format"]) != b"null":
        out["format"] = kept["format"]
    if "source" in kept:
        out["source"] = kept["source"]
    elif source.data is not None:
        out["source"] = {"bytes": source.data}
    else:
        out["source"] = {"s3Location": {"uri": source.url}}
    return out


def own(extra: Extension | None) -> dict[str, Raw]:
    """The members of an extension, if this dialect wrote it."""
    return extra.members if extra is not None and extra.dialect == NAME else {}
