"""The contents that conversations mostly consist of, read in one go: texts, calls and their results, nothing unusual.

What has any other member is not plain, and is read member by member; both ways give the same.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Extension, Part, Text, ToolCall, ToolResult
from gatewright.dialects.google.members import NAME, text_of
from gatewright.dialects.google.read_parts import NULL, Place, unwrapped
from gatewright.dialects.google.signatures import read_signature

_ABSENT: Final = Raw(b"")
_ROLES: Final = frozenset(("user", "model"))


class _Call(Struct, forbid_unknown_fields=True):
    name: str
    args: Raw = _ABSENT
    id: str = ""


class _Result(Struct, forbid_unknown_fields=True):
    name: str
    response: Raw = _ABSENT
    id: str = ""


class _Part(Struct, forbid_unknown_fields=True):
    text: str | None = None
    functionCall: _Call | None = None
    functionResponse: _Result | None = None
    thoughtSignature: str | None = None


class _Content(Struct, forbid_unknown_fields=True):
    parts: list[_Part]
    role: str


_content = msgspec.json.Decoder(_Content)


def read_plain(raw: Raw, place: Place) -> tuple[str, tuple[Part, ...]] | None:
    """The role and parts of a content; None when it is not plain, and then nothing was taken note of."""
    try:
        content = _content.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if content.role not in _ROLES or not all(map(_is_plain, content.parts)):
        return None
    parts = []
    for index, part in enumerate(content.parts):
        place.part = index
        parts.append(_read(part, place))
    return content.role, tuple(parts)


def _is_plain(part: _Part) -> bool:
    """Whether a part is one thing, whose objects are objects."""
    call, result = part.functionCall, part.functionResponse
    if part.text is not None:
        return call is None and result is None
    if call is not None:
        return result is None and bytes(call.args)[:1] in (b"", b"{")
    return result is not None and part.thoughtSignature is None and bytes(result.response)[:1] == b"{"


def _read(part: _Part, place: Place) -> Part:
    signature = read_signature(part.thoughtSignature) if part.thoughtSignature else None
    call, result = part.functionCall, part.functionResponse
    if call is not None:
        arguments = text_of(call.args) if call.args else "{}"
        return ToolCall(
            id=place.call_id(call.id or None, call.name), name=call.name, arguments=arguments, signature=signature
        )
    if result is not None:
        text, is_error = unwrapped(result.response)
        return ToolResult(
            call_id=place.result_id(result.id or None, result.name),
            name=result.name,
            content=(Text(text=text),),
            is_error=is_error,
            extra=None if result.id else Extension(NAME, {"id": NULL}),
        )
    return Text(text=part.text or "", signature=signature)
