"""AWS event streams (`application/vnd.amazon.eventstream`): messages of typed headers and a payload, checksummed.

A message is: total length and headers length (4 bytes each, big-endian), CRC-32 of these eight bytes, headers, payload,
CRC-32 of all before it. A header is: length of its name (1 byte), name, type (1 byte), value
(docs.aws.amazon.com/AmazonS3/latest/userguide/RESTSelectObjectAppendix.html,
smithy.io/2.0/aws/amazon-eventstream.html).

The buffer is a state machine with one state, the bytes of the unfinished message: they are joined once when the
prelude is complete and once when the message is, so that any cutting costs the length of the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final
from uuid import UUID
from zlib import crc32

from msgspec import Struct

MAX_HEADERS_BYTES: Final = 128 * 1024
"""What the specification allows."""
MAX_MESSAGE_BYTES: Final = 16 + MAX_HEADERS_BYTES + 24 * 1024 * 1024
"""The largest message the specification allows: 24 MiB of payload."""

_PRELUDE: Final = struct.Struct(">III")
_LENGTHS: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_FRAME_BYTES: Final = 16
"""Of a message without headers and payload."""
_KEPT_HEADERS: Final = 32
"""How many different header blocks a decoder remembers: a stream repeats a handful."""


class Timestamp(Struct, frozen=True, gc=False):
    """A moment, as headers of type 8 tell it."""

    ms: int
    """Milliseconds since 1970, UTC."""


HeaderValue = bool | int | bytes | str | Timestamp | UUID
Headers = Mapping[str, HeaderValue]

_INTEGERS: Final = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_LENGTH: Final = struct.Struct(">H")
_LONG: Final = _INTEGERS[5]


class Message(Struct, frozen=True, gc=False):
    """One message. `headers` may be shared with other messages: it is only read."""

    headers: Headers
    payload: bytes


class MessageBuffer:
    """Bytes in, blocks of whole messages out, as they came; the unfinished rest is held.

    Only preludes are checked: who reads the messages checks the rest. A ValueError ends it: nothing after a damaged
    prelude can be told apart.
    """

    __slots__ = ("_failure", "_held", "_held_bytes", "_max_message_bytes", "_needed")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._needed = 0
        """How many bytes must be held before looking at them again."""
        self._max_message_bytes = max_message_bytes
        self._failure: ValueError | None = None

    def feed(self, data: bytes) -> bytes:
        """All whole messages that `data` completes. Raises ValueError on an impossible prelude, then always."""
        if self._failure is not None:
            raise self._failure
        if self._held:
            self._held.append(data)
            self._held_bytes += len(data)
            if self._held_bytes < self._needed:
                return b""
            data = b"".join(self._held)
            self._held = []
        try:
            end = self._find_end(data)
        except ValueError as failure:
            self._failure = failure
            raise
        if end == len(data):
            return data
        self._held = [data[end:]]
        self._held_bytes = len(data) - end
        return data[:end]

    def end(self) -> bytes:
        """The bytes of an unfinished message at the end of the stream; empty when it ended between two."""
        rest = b"".join(self._held)
        self._held = []
        return rest

    def _find_end(self, data: bytes) -> int:
        """Where the last whole message ends."""
        start, size = 0, len(data)
        self._needed = _PRELUDE.size
        while size - start >= _PRELUDE.size:
            total, headers_length, checksum = _PRELUDE.unpack_from(data, start)
            if crc32(data[start : start + 8]) != checksum:
                raise ValueError("the prelude of a message does not match its checksum")
            if total > self._max_message_bytes:
                raise ValueError(f"a message exceeds {self._max_message_bytes} bytes")
            if headers_length > MAX_HEADERS_BYTES:
                raise ValueError(f"the headers of a message exceed {MAX_HEADERS_BYTES} bytes")
            if total < _FRAME_BYTES + headers_length:
                raise ValueError("the headers of a message exceed the message")
            if start + total > size:
                self._needed = total
                break
            start += total
        return start


def split_messages(block: bytes) -> list[bytes]:
    """The messages of a block that a `MessageBuffer` gave; joined they are the block."""
    messages: list[bytes] = []
    start = 0
    while start < len(block):
        end = start + _LENGTHS.unpack_from(block, start)[0]
        messages.append(block[start:end])
        start = end
    return messages


class MessageDecoder:
    """Bytes in, messages out. A ValueError ends it: nothing after a damaged message can be trusted."""

    __slots__ = ("_buffer", "_failure", "_known")

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._buffer = MessageBuffer(max_message_bytes)
        self._known: dict[bytes, Headers] = {}
        self._failure: ValueError | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises ValueError on a wrong checksum, length or header, then always."""
        if self._failure is not None:
            raise self._failure
        block = self._buffer.feed(data)
        try:
            return [self._read(message) for message in split_messages(block)] if block else []
        except ValueError as failure:
            self._failure = failure
            raise

    def end(self) -> bytes:
        """The bytes of an unfinished message at the end of the stream; empty when it ended between two."""
        return self._buffer.end()

    def _read(self, message: bytes) -> Message:
        if crc32(message[:-4]) != _CRC.unpack_from(message, len(message) - 4)[0]:
            raise ValueError("a message does not match its checksum")
        body = _PRELUDE.size + _LENGTHS.unpack_from(message)[1]
        return Message(self._headers(message[_PRELUDE.size : body]), message[body:-4])

    def _headers(self, block: bytes) -> Headers:
        headers = self._known.get(block)
        if headers is None:
            headers = parse_headers(block)
            if len(self._known) < _KEPT_HEADERS:
                self._known[block] = headers
        return headers


def parse_headers(block: bytes) -> dict[str, HeaderValue]:
    """The headers of one message. Raises ValueError when they are cut short or of no known type."""
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(block):
            length = block[at]
            name = _slice(block, at + 1, length).decode()
            at += 1 + length
            headers[name], at = _parse_value(block, at)
    except (IndexError, struct.error):
        raise ValueError("a header of a message is cut short") from None
    except UnicodeDecodeError:
        raise ValueError("a header of a message is not UTF-8") from None
    return headers


def _parse_value(block: bytes, at: int) -> tuple[HeaderValue, int]:
    """The value whose type stands at `at`, and where it ends."""
    kind = block[at]
    at += 1
    match kind:
        case 0 | 1:
            return kind == 0, at
        case 2 | 3 | 4 | 5:
            number = _INTEGERS[kind]
            return number.unpack_from(block, at)[0], at + number.size
        case 6 | 7:
            length = _LENGTH.unpack_from(block, at)[0]
            value = _slice(block, at + 2, length)
            return value if kind == 6 else value.decode(), at + 2 + length
        case 8:
            return Timestamp(_LONG.unpack_from(block, at)[0]), at + 8
        case 9:
            return UUID(bytes=_slice(block, at, 16)), at + 16
        case _:
            raise ValueError(f"a header of a message has the unknown type {kind}")


def _slice(block: bytes, at: int, length: int) -> bytes:
    value = block[at : at + length]
    if len(value) < length:
        raise IndexError
    return value


def render_headers(headers: Headers) -> bytes:
    """The header block of a message. Raises ValueError on names and values that do not fit."""
    pieces: list[bytes] = []
    for name, value in headers.items():
        spelled = name.encode()
        if not 0 < len(spelled) < 256:
            raise ValueError("the name of a header must have 1 to 255 bytes")
        pieces.append(bytes((len(spelled),)) + spelled + _render_value(value))
    block = b"".join(pieces)
    if len(block) > MAX_HEADERS_BYTES:
        raise ValueError(f"headers exceed {MAX_HEADERS_BYTES} bytes")
    return block


def _render_value(value: HeaderValue) -> bytes:
    match value:
        case bool():
            return b"\x00" if value else b"\x01"
        case int():
            kind = 4 if -(2**31) <= value < 2**31 else 5
            return bytes((kind,)) + _packed(_INTEGERS[kind], value)
        case bytes():
            return b"\x06" + _packed(_LENGTH, len(value)) + value
        case str():
            text = value.encode()
            return b"\x07" + _packed(_LENGTH, len(text)) + text
        case Timestamp():
            return b"\x08" + _packed(_LONG, value.ms)
        case UUID():
            return b"\x09" + value.bytes


def _packed(form: struct.Struct, value: int) -> bytes:
    try:
        return form.pack(value)
    except struct.error:
        raise ValueError("the value of a header is too large") from None


def render_message(headers: bytes, payload: bytes) -> bytes:
    """One message; `headers` come from `render_headers`, which need not run for each message of a stream."""
    lengths = _LENGTHS.pack(_FRAME_BYTES + len(headers) + len(payload), len(headers))
    message = b"".join((lengths, _CRC.pack(crc32(lengths)), headers, payload))
    return message + _CRC.pack(crc32(message))
