"""Objects of Google's APIs: proto JSON, so members may be in snake_case and a single value may stand for a list.

protobuf.dev/programming-guides/json: parsers accept both the lowerCamelCase name and the original field name. The
servers also take one object where a list of them is defined, which published examples make use of (`"parts": {…}`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.wire.json_object import JsonObject, mend_surrogates

_SNAKE: Final = re.compile(r"[a-z][a-zA-Z0-9]*(?:_[a-z0-9]+)+")
_FIRST: Final = re.compile(r"_([a-z0-9])")
NAME: Final = "google.generate_content"
"""The dialect under whose name extensions, opaque blobs and native parts travel through the hub."""
EMBED: Final = "google.embed_content"
"""The same, for embeddings."""
_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)


@lru_cache(maxsize=1024)
def camel(name: str) -> str:
    """A member's name as it is written: `inline_data` → `inlineData`; names of another form stay."""
    return _FIRST.sub(lambda match: match[1].upper(), name) if _SNAKE.fullmatch(name) else name


class Members(JsonObject):
    """One object being read, under the camelCase names of its members."""

    __slots__ = ("_failing",)

    def __init__(self, fields: Fields, path: str = "", kind: Kind = Kind.MALFORMED_REQUEST) -> None:
        super().__init__(fields, path, kind)
        self._failing = kind
        for name in fields:
            if "_" in name:
                self._respell()
                return

    @classmethod
    def parse(cls, text: bytes | Raw, path: str = "", kind: Kind = Kind.MALFORMED_REQUEST) -> Members:
        """Read the object that `text` is. Raises GatewayError when it is none."""
        try:
            fields = _fields.decode(text)
        except _FAILURES:
            read = super().parse(text, path, kind)
            assert isinstance(read, Members)
            read._failing = kind
            read._respell()
            return read
        return cls(fields, path, kind)

    def object(self, name: str) -> Members | None:
        """Take an object."""
        raw = self.raw(name)
        return None if raw is None else Members.parse(raw, self.at(name), self._failing)

    def many(self, name: str) -> list[tuple[Raw, Members]] | None:
        """Take a list of objects, or one standing for a list: each as spelled and as read; None when absent."""
        raw = self.peek(name)
        if raw is None:
            return None
        path = self.at(name)
        if bytes(raw)[:1] == b"{":
            self.drop(name)
            return [(raw, Members.parse(raw, path, self._failing))]
        items = self.items(name) or []
        return [(item, Members.parse(item, f"{path}[{index}]", self._failing)) for index, item in enumerate(items)]

    def first_of(self, names: frozenset[str]) -> str | None:
        """The first of `names` that is there and not null."""
        if names.isdisjoint(self._left):
            return None
        return next((name for name in self._left if name in names and self.has(name)), None)

    def object_raw(self, name: str) -> Raw | None:
        """Take an object as it is spelled."""
        raw = self.raw(name)
        if raw is not None and bytes(raw)[:1] != b"{":
            raise self.error(name, "must be a JSON object")
        return raw

    def _respell(self) -> None:
        left = {camel(name): value for name, value in self._left.items()}
        if len(left) < len(self._left) and self._failing is Kind.MALFORMED_REQUEST:
            # Which of the two a server takes is not said, so what is read here might not be what counts there.
            name = next(name for name in self._left if name != camel(name) and camel(name) in self._left)
            raise self.error(name, f"stands beside `{self.at(camel(name))}`, which is the same; send one of them")
        self._left = left


def own_members(extension: Extension | None, dialect: str) -> dict[str, Any]:
    """The members of an extension of `dialect`, to be added to what is written; none of anyone else's."""
    return {} if extension is None or extension.dialect != dialect else dict(extension.members)


def merged(written: dict[str, Any], kept: Raw | None) -> dict[str, Any]:
    """The members of a nested object that an extension kept, below those that were written from the hub."""
    return written if kept is None else {**fields_of(kept), **written}


def fields_of(raw: Raw) -> Fields:
    """The members of an object that was read before, as they are spelled; none of what was no object."""
    try:
        return _fields.decode(raw)
    except _FAILURES:
        pass
    try:
        return _fields.decode(mend_surrogates(bytes(raw)))
    except _FAILURES:
        return {}


def text_of(raw: Raw) -> str:
    """JSON as a string; what is no UTF-8 is replaced, as no client could read it."""
    return bytes(raw).decode("utf-8", "replace")
