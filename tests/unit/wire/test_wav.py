"""The length of a WAV file, from headers of every kind, and from what only looks like one."""

from __future__ import annotations

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.wire.wav import length_s


def wav(frames: int, rate: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(frames * channels * width))
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (wav(16_000), 1.0),
        (wav(24_000), 1.5),
        (wav(44_100, 44_100, 2, 2), 1.0),
        (wav(4_000, 8_000, 1, 1), 0.5),
        (wav(0), 0.0),
    ],
)
def test_the_length_is_the_samples_by_the_rate(data: bytes, seconds: float) -> None:
    assert length_s(data) == seconds
    assert length_s(b"before" + data + b"after", 6) == seconds


def test_other_chunks_are_passed_over() -> None:
    data = wav(16_000)
    at = data.index(b"data")
    odd = b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    assert length_s(data[:at] + odd + data[at:]) == 1.0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"OggS" + bytes(100),
        wav(16_000)[:-1],
        # Written while it was recorded: no size yet.
        wav(16_000).replace(b"data\x00\x7d\x00\x00", b"data\xff\xff\xff\xff"),
        # Samples without a rate.
        b"RIFF\0\0\0\0WAVEdata\x02\0\0\0ab",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0" + bytes(16) + b"data\x02\0\0\0ab",
        b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 100 + wav(5)[12:],
    ],
)
def test_what_does_not_tell_its_length(data: bytes) -> None:
    assert length_s(data) is None


@given(st.binary(max_size=200), st.integers(0, 20))
def test_no_bytes_can_break_it(data: bytes, start: int) -> None:
    found = length_s(b"RIFF\0\0\0\0WAVE" + data, 0)
    assert found is None or found >= 0
    assert length_s(data, start) is None or data[start : start + 4] == b"RIFF"
