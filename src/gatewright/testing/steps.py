"""What a scripted upstream can be told to do on a connection, step by step."""

from __future__ import annotations

import threading

from msgspec import Struct


class Send(Struct, frozen=True):
    """Write these bytes and go on when the kernel has taken them all."""

    data: bytes


class Repeat(Struct, frozen=True):
    """Write the same bytes again and again; without `times` until the peer leaves."""

    data: bytes
    times: int | None = None


class Pause(Struct, frozen=True):
    """Wait some seconds, or until an event is set; ends early, and with it the script, when the peer leaves."""

    until: float | threading.Event


class Stall(Struct, frozen=True):
    """Say nothing more; the script ends when the peer leaves."""


class Deaf(Struct, frozen=True):
    """Read nothing more from this connection, so that the peer's writes block."""


class HalfClose(Struct, frozen=True):
    """Send FIN (no more answers) and go on reading."""


class Close(Struct, frozen=True):
    """Close in order: FIN after all that was sent."""


class Reset(Struct, frozen=True):
    """Close at once with RST."""


Step = Send | Repeat | Pause | Stall | Deaf | HalfClose | Close | Reset
