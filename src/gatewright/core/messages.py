"""What the supervisor and its children say to each other, and how it is framed.

The channel is a SOCK_STREAM socket pair made by the supervisor; a frame is a 4-byte little-endian length and a
MessagePack document. A child whose channel ends has lost its supervisor: it drains and exits.
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec
from msgspec import Struct

MAX_FRAME_BYTES: Final = 256 * 1024 * 1024


class Configure(Struct, frozen=True, tag="configure"):
    """Supervisor to worker: compile this document and serve by it. To control: this is what is served.

    The version may fall: a document that one worker refused is taken back from those that had accepted it.
    """

    version: int
    document: bytes
    """`config.transport.encode` of a checked `Gateway` document."""


class Drain(Struct, frozen=True, tag="drain"):
    """Supervisor to worker: take no new connections, finish what runs, then exit."""

    timeout_s: float


class Ready(Struct, frozen=True, tag="ready"):
    """Child to supervisor: serving under this version (control, which has none of its own: the last it was told)."""

    version: int


class Refused(Struct, frozen=True, tag="refused"):
    """Worker to supervisor: this version did not compile; the one before still serves."""

    version: int
    errors: list[str]


class Reload(Struct, frozen=True, tag="reload"):
    """Supervisor to control: read the configuration again."""


class Apply(Struct, frozen=True, tag="apply"):
    """Control to supervisor: a new, checked document for the workers."""

    document: bytes
    drain_s: float
    """The document's `timeouts.drain_s`: the supervisor reads no documents itself."""


class Rejected(Struct, frozen=True, tag="rejected"):
    """Control to supervisor: the configuration was read and is wrong; nothing changes."""

    errors: list[str]


class Status(Struct, frozen=True, tag="status"):
    """Supervisor to control: the state of every child, after each change."""

    version: int
    wanted_workers: int
    ready_workers: int
    children: list[tuple[str, str, int, int]]
    """(name, state, pid, restarts): state is starting, ready, draining, waiting or failed."""
    last_error: str = ""
    """Why the last reload was refused; empty when it was not."""


class Roll(Struct, frozen=True, tag="roll"):
    """Control to supervisor: replace the workers one by one."""


Message = Configure | Drain | Ready | Refused | Reload | Apply | Rejected | Status | Roll

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def render_frame(message: Message) -> bytes:
    """The bytes to send for one message."""
    body = _encoder.encode(message)
    return struct.pack("<I", len(body)) + body


class FrameParser:
    """Bytes in, messages out; holds an incomplete frame between reads."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """All messages completed by `data`. Raises ValueError on an oversized frame, msgspec errors on garbage."""
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= 4:
            (length,) = struct.unpack_from("<I", self._buffer)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes exceeds {MAX_FRAME_BYTES}")
            if len(self._buffer) < 4 + length:
                break
            messages.append(_decoder.decode(bytes(self._buffer[4 : 4 + length])))
            del self._buffer[: 4 + length]
        return messages
