"""JSON objects read member by member, with errors that name the member, and with nothing lost.

`JsonObject` hands out known members by type; what nobody took is the `rest`, which codecs keep as an extension. A
member that is null counts as absent.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.fields import Fields

T = TypeVar("T")

_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)
_list: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])
_strings: msgspec.json.Decoder[list[str]] = msgspec.json.Decoder(list[str])
_string = msgspec.json.Decoder(str)
_integer = msgspec.json.Decoder(int)
_number: msgspec.json.Decoder[float] = msgspec.json.Decoder(float)
_boolean = msgspec.json.Decoder(bool)
_any = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()

_NULL: Final = b"null"
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def mend_surrogates(text: bytes) -> bytes:
    """JSON text with each escaped half of a surrogate pair replaced by U+FFFD.

    RFC 8259 §8.2 lets such halves stand in JSON, but no UTF-8 text can hold one.
    """
    return _ESCAPE.sub(lambda match: b"\\ufffd" if match.group(1) else match.group(), text)


def _decode(decoder: msgspec.json.Decoder[T], text: bytes | Raw) -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        mended = mend_surrogates(bytes(text))
        if mended == bytes(text):
            raise
        return decoder.decode(mended)


_FAILURES: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def on_one_line(text: bytes) -> bytes:
    """JSON text without line breaks, for wires that end a value or an event with one.

    JSON lets them stand between tokens alone (RFC 8259 §2), where nothing depends on them; whatever `Raw` a value holds
    brings its own. Only they are taken out, so numbers and escapes keep their spelling.
    """
    return text.translate(None, b"\r\n") if b"\n" in text or b"\r" in text else text


def render_json(value: Any) -> Raw:
    """A value as JSON; `Raw` inside it is kept as it is spelled."""
    return Raw(_encoder.encode(value))


class JsonObject:
    """One object being read. `path` is where it stands, as a client would write it (`messages[0]`).

    Errors are of `kind`: malformed_request for what a client sent, upstream_bad_response for an upstream's answer.
    """

    __slots__ = ("_left", "kind", "path")

    def __init__(self, fields: Fields, path: str = "", kind: Kind = Kind.MALFORMED_REQUEST) -> None:
        self._left = dict(fields)
        self.kind = kind
        self.path = path

    @classmethod
    def parse(cls, text: bytes | Raw, path: str = "", kind: Kind = Kind.MALFORMED_REQUEST) -> JsonObject:
        """Read the object that `text` is. Raises GatewayError when it is none."""
        self = cls.__new__(cls)
        self.kind = kind
        self.path = path
        try:
            self._left = _decode(_fields, text)
        except _FAILURES:
            raise self._error("must be a JSON object") from None
        return self

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Whether the member is there, not null and not taken yet."""
        value = self._left.get(name)
        return value is not None and bytes(value) != _NULL

    def raw(self, name: str) -> Raw | None:
        """Take a member as it is spelled; None when it is absent or null."""
        value = self._left.pop(name, None)
        return None if value is None or bytes(value) == _NULL else value

    def peek(self, name: str) -> Raw | None:
        """Look at a member without taking it."""
        value = self._left.get(name)
        return None if value is None or bytes(value) == _NULL else value

    def string(self, name: str) -> str | None:
        """Take a string."""
        return self._take(name, _string, "a string")

    def required_string(self, name: str) -> str:
        """Take a string that must be there."""
        value = self._take(name, _string, "a string")
        if value is None:
            raise self.error(name, "is missing")
        return value

    def integer(self, name: str) -> int | None:
        """Take a whole number."""
        value = self.raw(name)
        if value is None:
            return None
        try:
            return _integer.decode(value)
        except _FAILURES:
            raise self.error(name, "must be a whole number") from None

    def number(self, name: str) -> float | None:
        """Take a number."""
        return self._take(name, _number, "a number")

    def boolean(self, name: str) -> bool | None:
        """Take true or false."""
        return self._take(name, _boolean, "true or false")

    def strings(self, name: str) -> tuple[str, ...] | None:
        """Take a list of strings."""
        value = self._take(name, _strings, "a list of strings")
        return None if value is None else tuple(value)

    def any(self, name: str) -> Any:
        """Take a member as plain Python values."""
        return self._take(name, _any, "JSON")

    def object(self, name: str) -> JsonObject | None:
        """Take an object."""
        raw = self.raw(name)
        return None if raw is None else JsonObject.parse(raw, self.at(name), self.kind)

    def objects(self, name: str) -> list[JsonObject] | None:
        """Take a list of objects."""
        items = self.items(name)
        if items is None:
            return None
        path = self.at(name)
        return [JsonObject.parse(item, f"{path}[{index}]", self.kind) for index, item in enumerate(items)]

    def items(self, name: str) -> list[Raw] | None:
        """Take a list as its elements, each as it is spelled."""
        return self._take(name, _list, "a list")

    def required_objects(self, name: str) -> list[JsonObject]:
        """Take a list of objects that must be there."""
        value = self.objects(name)
        if value is None:
            raise self.error(name, "is missing")
        return value

    def drop(self, *names: str) -> None:
        """Take members that carry no information."""
        for name in names:
            self._left.pop(name, None)

    def keep(self, name: str, value: Raw) -> None:
        """Put a member back, or what is left of it."""
        self._left[name] = value

    def rest(self, dialect: str) -> Extension | None:
        """What was not taken, as an extension of `dialect`; None when nothing is left."""
        left = {name: value for name, value in self._left.items() if bytes(value) != _NULL}
        return Extension(dialect, left) if left else None

    def spelled(self) -> Raw:
        """What was not taken, as JSON."""
        return render_json(self._left)

    def error(self, name: str, problem: str) -> GatewayError:
        """The error for a member: `problem` completes the sentence "`messages[0].role` …"."""
        path = self.at(name)
        if self.kind is Kind.MALFORMED_REQUEST:
            return GatewayError(self.kind, f"`{path}` {problem}.", param=path)
        return GatewayError(self.kind, f"The provider's answer is not usable: `{path}` {problem}.")

    def _take(self, name: str, decoder: msgspec.json.Decoder[T], expected: str) -> T | None:
        value = self._left.pop(name, None)
        if value is None:
            return None
        try:
            return decoder.decode(value)
        except _FAILURES:
            if bytes(value) == _NULL:
                return None
        try:
            return _decode(decoder, value)
        except _FAILURES:
            raise self.error(name, f"must be {expected}") from None

    def _error(self, problem: str) -> GatewayError:
        if self.kind is Kind.MALFORMED_REQUEST:
            where = f"`{self.path}`" if self.path else "The request body"
            return GatewayError(self.kind, f"{where} {problem}.", param=self.path or None)
        where = f"`{self.path}`" if self.path else "it"
        return GatewayError(self.kind, f"The provider's answer is not usable: {where} {problem}.")
