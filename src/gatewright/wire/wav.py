"""How long the sound in a WAV file is, told from its header alone.

A RIFF file is a row of chunks: `fmt ` holds the bytes per second, `data` the samples
(Microsoft, Multimedia Programming Interface and Data Specifications 1.0, "Waveform Audio File Format").
"""

from __future__ import annotations

from typing import Final

_MAX_CHUNKS: Final = 64
"""What stands before the samples in any real file is far less."""
_HEAD: Final = 8
_RATE_END: Final = 12


def length_s(data: bytes, start: int = 0) -> float | None:
    """Seconds of the file that begins at `start`; None when it is none, or does not say how long it is."""
    if data[start : start + 4] != b"RIFF" or data[start + 8 : start + 12] != b"WAVE":
        return None
    at = start + 12
    rate = 0
    for _ in range(_MAX_CHUNKS):
        name = data[at : at + 4]
        size = int.from_bytes(data[at + 4 : at + _HEAD], "little")
        if len(name) < 4 or at + _HEAD > len(data):
            return None
        if name == b"data":
            # Who writes while recording does not know the size yet, and writes the largest.
            return size / rate if rate and at + _HEAD + size <= len(data) else None
        if name == b"fmt " and size >= _RATE_END:
            rate = int.from_bytes(data[at + 16 : at + 20], "little")
        at += _HEAD + size + size % 2
    return None
