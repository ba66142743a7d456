"""What Converse lets things be called, and how other names are written so that they can be read back.

Tool names are of letters, digits, `_` and `-`, 64 at most (docs.aws.amazon.com/bedrock/latest/APIReference,
ToolSpecification). The answer is decoded without the request at hand, so a name that does not fit is spelled so that
the answer tells it: a prefix, then the name with every other byte as `-` and two hexadecimal digits.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

NAME: Final = "bedrock.converse"
"""The dialect's name, by which its extensions and blobs are known."""
JSON_TOOL: Final = "gatewright_json_response"
"""The tool whose arguments are the answer, where JSON output is asked of a model that has no such mode."""

_MAX: Final = 64
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_STRICT_CALL_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ESCAPED: Final = "gwx-"
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_ESCAPE: Final = re.compile(r"(?:[a-zA-Z0-9_]|-[0-9A-F]{2})+")
_DOCUMENT_GAP: Final = re.compile(r"[^a-zA-Z0-9()\[\]-]+")
_DOCUMENT_MAX: Final = 200


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()


def write_tool_name(name: str) -> str | None:
    """A tool's name as Converse takes it, undone by `read_tool_name`; None when it would be too long."""
    if _TOOL_NAME.fullmatch(name) and not name.startswith(_ESCAPED):
        return name
    spelled = "".join(chr(byte) if byte in _PLAIN else f"-{byte:02X}" for byte in name.encode("utf-8", "replace"))
    return _ESCAPED + spelled if name and len(spelled) <= _MAX - len(_ESCAPED) else None


def shorten_tool_name(name: str) -> str:
    """A stable name for one that is too long to be read back: its beginning and a digest."""
    begin = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[: _MAX - 33]
    return f"{begin}_{_digest(name)}"


def tool_name(name: str) -> str:
    """The name a tool goes by at the upstream, readable from the answer or not."""
    return write_tool_name(name) or shorten_tool_name(name)


def read_tool_name(name: str) -> str:
    """The name that `write_tool_name` wrote; any other as it is."""
    spelled = name.removeprefix(_ESCAPED)
    if spelled == name or not _ESCAPE.fullmatch(spelled):
        return name
    pieces = spelled.split("-")
    data = pieces[0].encode() + b"".join(bytes((int(piece[:2], 16),)) + piece[2:].encode() for piece in pieces[1:])
    try:
        return data.decode()
    except UnicodeDecodeError:
        return name


def call_id(value: str, *, strict: bool) -> str:
    """A tool call's id as Converse takes it: the same for the call and its result, in every request.

    `strict`: without `.` and `:`, which the API allows and Anthropic's models do not.
    """
    if (_STRICT_CALL_ID if strict else _CALL_ID).fullmatch(value):
        return value
    return f"call_{_digest(value)}"


class DocumentNames:
    """Names for the documents of one request: letters, digits, single spaces, hyphens and brackets, each once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, wanted: str) -> str:
        """A name like `wanted`, that nothing else in the request has."""
        name = _DOCUMENT_GAP.sub(" ", wanted).strip()[:_DOCUMENT_MAX].strip() or "Document"
        unique, number = name, 1
        while unique in self._taken:
            number += 1
            unique = f"{name[: _DOCUMENT_MAX - 8]} {number}"
        self._taken.add(unique)
        return unique

    def keep(self, name: str) -> None:
        """Note a name that stays as it is."""
        self._taken.add(name)
