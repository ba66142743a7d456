"""Frames: any chunking gives the same messages, and damage is told apart from patience."""

from __future__ import annotations

import struct

import msgspec
import pytest

from gatewright.core.messages import (
    MAX_FRAME_BYTES,
    Apply,
    Configure,
    Drain,
    FrameParser,
    Message,
    Ready,
    Refused,
    Rejected,
    Reload,
    Roll,
    Status,
    render_frame,
)

ONE_OF_EACH: list[Message] = [
    Configure(3, b"\x00document"),
    Drain(30.0),
    Ready(3),
    Refused(4, ["models.a: no such provider"]),
    Reload(),
    Apply(b"document", 12.5),
    Rejected(["gatewright.yaml:3: bad"]),
    Status(3, 2, 1, [("worker-1", "ready", 7, 0)], "refused"),
    Roll(),
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 4096])
def test_any_chunking_gives_the_same_messages(size: int) -> None:
    data = b"".join(render_frame(message) for message in ONE_OF_EACH)
    parser = FrameParser()
    found: list[Message] = []
    for start in range(0, len(data), size):
        found += parser.feed(data[start : start + size])
    assert found == ONE_OF_EACH


def test_an_incomplete_frame_waits() -> None:
    frame = render_frame(Ready(1))
    parser = FrameParser()
    assert parser.feed(frame[:-1]) == []
    assert parser.feed(frame[-1:]) == [Ready(1)]


def test_an_oversized_frame_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(ValueError, match="exceeds"):
        FrameParser().feed(struct.pack("<I", MAX_FRAME_BYTES + 1))


def test_garbage_is_refused() -> None:
    with pytest.raises(msgspec.MsgspecError):
        FrameParser().feed(struct.pack("<I", 2) + b"\xc1\xc1")
