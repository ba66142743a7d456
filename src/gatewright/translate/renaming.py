"""The model's name in an answer that is passed through: replaced in place, every other byte kept."""

from __future__ import annotations

import msgspec

from gatewright.core.fields import Fields

_fields_decoder: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_string_decoder = msgspec.json.Decoder(str)


def rename(text: bytes, paths: tuple[tuple[str, ...], ...], published: bytes) -> bytes:
    """JSON text whose string members at `paths` read `published` (JSON too). What is no JSON object stays as it is."""
    for path in paths:
        span = _find(text, path)
        if span is not None:
            start, end = span
            text = b"".join((text[:start], published, text[end:]))
    return text


def _find(text: bytes, path: tuple[str, ...]) -> tuple[int, int] | None:
    """Where the string member at `path` stands, or None."""
    start = 0
    value = text
    for name in path:
        try:
            member = _fields_decoder.decode(value).get(name)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if member is None:
            return None
        inner = bytes(member)
        offset = _offset(value, name, inner)
        if offset is None:
            return None
        start += offset
        value = inner
    return (start, start + len(value)) if value.startswith(b'"') else None


def _offset(text: bytes, name: str, value: bytes) -> int | None:
    """Where in the object `text` the value of its own member `name` begins.

    The same spelling may stand elsewhere, in a nested object or twice: the place is certain when changing it changes
    what the object's member decodes to.
    """
    key = b'"%b"' % name.encode()
    at = text.find(key)
    while at >= 0:
        start = at + len(key)
        while text[start : start + 1] in (b" ", b"\t", b"\r", b"\n"):
            start += 1
        if text[start : start + 1] == b":":
            start += 1
            while text[start : start + 1] in (b" ", b"\t", b"\r", b"\n"):
                start += 1
            end = start + len(value)
            if text[start:end] == value and _is_member(text, name, start, end):
                return start
        at = text.find(key, at + len(key))
    return None


def _is_member(text: bytes, name: str, start: int, end: int) -> bool:
    probe = b"[0]"
    try:
        found = _fields_decoder.decode(b"".join((text[:start], probe, text[end:]))).get(name)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return found is not None and bytes(found) == probe
