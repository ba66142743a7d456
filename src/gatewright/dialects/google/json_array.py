"""A streamed JSON array, element by element: how this API streams when the client does not ask for `alt=sse`.

Outside of strings only braces count: an element is what stands between a first opening brace and the brace that
closes it. Bytes may be cut anywhere; every byte is looked at once.
"""

from __future__ import annotations

import re
from typing import Final

_OUTSIDE: Final = re.compile(rb'["{}]')
_INSIDE: Final = re.compile(rb'["\\]')


class ArraySplitter:
    """Bytes in, whole objects out; the unfinished rest is held."""

    __slots__ = ("_depth", "_held", "_held_bytes", "_in_string", "_is_escaped", "_max_bytes")

    def __init__(self, max_element_bytes: int) -> None:
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self._max_bytes = max_element_bytes

    @property
    def is_between(self) -> bool:
        """Whether no element is unfinished."""
        return self._depth == 0

    def feed(self, data: bytes) -> list[bytes]:
        """The elements that `data` completed. Raises ValueError when one exceeds the limit."""
        found: list[bytes] = []
        at = start = 0
        if self._is_escaped and data:
            at, self._is_escaped = 1, False
        while True:
            match = (_INSIDE if self._in_string else _OUTSIDE).search(data, at)
            if match is None:
                break
            at = match.end()
            byte = match[0]
            if byte == b'"':
                self._in_string = not self._in_string
            elif byte == b"\\":
                self._is_escaped = at == len(data)
                at += 1
            elif byte == b"{":
                if self._depth == 0:
                    start = match.start()
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if self._depth == 0:
                    found.append(b"".join((*self._held, data[start:at])))
                    self._held, self._held_bytes, start = [], 0, at
        if self._depth:
            self._hold(data[start:])
        return found

    def _hold(self, piece: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > self._max_bytes:
            raise ValueError(f"an element exceeds {self._max_bytes} bytes")
        self._held.append(piece)
