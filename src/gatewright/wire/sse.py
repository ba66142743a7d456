"""Server-sent events (WHATWG HTML §9.2): where events end, what data one carries, and how one is written.

The gateway forwards events as the bytes they came in, so this is a splitter, not a parser: nothing is normalised.
A *block* is one or more whole events, each with the blank line that closes it.
"""

from __future__ import annotations

import re
from typing import Final

from gatewright.wire.json_object import on_one_line

_BOUNDARY: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_SEAM_BYTES: Final = 3
"""One less than the longest boundary."""


class EventBuffer:
    """Bytes in, blocks of whole events out; the unfinished rest is held."""

    __slots__ = ("_held_bytes", "_max_event_bytes", "_seam", "held")

    def __init__(self, max_event_bytes: int) -> None:
        self.held: list[bytes] = []
        """The pieces of the unfinished event."""
        self._held_bytes = 0
        self._seam = b""
        """The last bytes of what is held: a boundary may begin there."""
        self._max_event_bytes = max_event_bytes

    def feed(self, data: bytes) -> bytes:
        """All whole events that `data` completed, as one block. Raises ValueError when one event exceeds the limit."""
        if self.held:
            # Only what is new is searched: a large event costs its size, not its square.
            seam = self._seam + data
            if b"\n\n" not in seam and (b"\r" not in seam or _BOUNDARY.search(seam) is None):
                self._hold(data, seam)
                return b""
            data = b"".join((*self.held, data))
            self.held, self._held_bytes = [], 0
        elif data.endswith(b"\n\n"):
            return data
        end = data.rfind(b"\n\n") + 2 if b"\r" not in data else _last_boundary(data)
        if end < 2:
            end = 0
        if end < len(data):
            rest = data[end:]
            self._hold(rest, rest)
        return data[:end]

    def end(self) -> bytes:
        """The unfinished rest at the end of the stream, which the specification tells clients to discard."""
        rest = b"".join(self.held)
        self.held, self._held_bytes = [], 0
        return rest

    def _hold(self, piece: bytes, seam: bytes) -> None:
        self._held_bytes += len(piece)
        if self._held_bytes > self._max_event_bytes:
            self.held, self._held_bytes = [], 0
            raise ValueError(f"an event exceeds {self._max_event_bytes} bytes")
        self.held.append(piece)
        self._seam = seam[-_SEAM_BYTES:]


def _last_boundary(data: bytes) -> int:
    end = 0
    # A CR that ends the data may be half of a CRLF: it is left for the next feed.
    stop = len(data) - 1 if data.endswith(b"\r") else len(data)
    for boundary in _BOUNDARY.finditer(data, 0, stop):
        end = boundary.end()
    return end


def split_events(block: bytes) -> list[bytes]:
    """The events of a block, each with its closing blank line; joined they are the block.

    What stands behind the last one can only be the line end of a third empty line: it comes as an element of its own.
    """
    if b"\r" not in block:
        if block.find(b"\n\n") == len(block) - 2 >= 0:  # nearly every block is one event
            return [block]
        events = block.split(b"\n\n")
        rest = events.pop()
        events = [event + b"\n\n" for event in events]
        return [*events, rest] if rest else events
    events = []
    start = 0
    for boundary in _BOUNDARY.finditer(block):
        events.append(block[start : boundary.end()])
        start = boundary.end()
    if start < len(block):
        events.append(block[start:])
    return events


def event_data(event: bytes) -> bytes:
    """The data of one event: its `data:` lines joined with LF; empty when it has none (a comment, a ping)."""
    if event[:6] == b"data: ":
        start = 6
    else:
        named = event.find(b"\ndata: ")
        start = named + 7 if named > 0 else 0
    if (
        start
        and event.find(b"\n", start) == len(event) - 2
        and event[-1:] == b"\n"
        and b"\r" not in event
        and event.count(b"data", 0, start) == 1
    ):  # nearly every event has one such line, behind its name if it has one
        return event[start:-2]
    lines: list[bytes] = []
    for line in _LINE_END.split(event):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)


def render_event(data: bytes, name: str = "") -> bytes:
    """An event that carries the JSON text `data`, on one line whatever its line breaks, and has a name if given one."""
    head = b"event: %b\n" % name.encode() if name else b""
    return b"%bdata: %b\n\n" % (head, on_one_line(data))
