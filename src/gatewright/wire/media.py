"""Media as they travel inside JSON: base64, `data:` URLs (RFC 2397), and files that are words after all."""

from __future__ import annotations

import binascii
from typing import Final

from gatewright.core.chat import File, Source

_BEGINNINGS: Final = (
    ("/9j/", "image/jpeg"),
    ("iVBOR", "image/png"),
    ("R0lG", "image/gif"),
    ("UklGR", "image/webp"),
    ("Qk", "image/bmp"),
)
"""How the base64 of each format begins."""


def read_data_url(url: str) -> Source:
    """Where a medium is that a URL names; `data:` URLs in base64 hold it themselves."""
    if url[:5].lower() == "data:":
        head, comma, data = url.partition(",")
        media_type, mark, encoding = head[5:].rpartition(";")
        if comma and mark and encoding.lower() == "base64":
            return Source(media_type=media_type or None, data=data)
    return Source(url=url)


def write_data_url(source: Source, default_type: str = "") -> str | None:
    """A URL for a medium; None when it is neither at one nor here."""
    if source.data is not None:
        return f"data:{source.media_type or default_type};base64,{source.data}"
    return source.url


def image_type(data: str) -> str | None:
    """The media type of a picture, found by how its base64 begins, where nobody tells it; None when it is not known."""
    return next((media_type for start, media_type in _BEGINNINGS if data.startswith(start)), None)


def text_of_base64(data: str) -> str | None:
    """The text that base64 holds; None when it is not base64 of UTF-8."""
    try:
        return binascii.a2b_base64(data).decode()
    except (binascii.Error, ValueError):
        return None


def text_of_file(file: File) -> str | None:
    """The words of a text file, below its title and what is said about it; None for any other file."""
    source = file.source
    if source.data is None or not (source.media_type or "").startswith("text/"):
        return None
    text = text_of_base64(source.data)
    if text is None:
        return None
    head = [line for line in (file.title or source.filename, file.context) if line]
    return "\n".join((*head, text))
