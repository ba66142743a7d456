"""However a stream of events is cut, the same events come out, and a large one costs its size."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.wire.sse import EventBuffer, split_events

STREAMS = {
    "LF": b"data: 1\n\ndata: 2\ndata: 3\n\n: ping\n\ndata: [DONE]\n\n",
    "CRLF": b"data: 1\r\n\r\ndata: 2\r\ndata: 3\r\n\r\n: ping\r\n\r\ndata: [DONE]\r\n\r\n",
    "CR": b"data: 1\r\rdata: 2\rdata: 3\r\r: ping\r\rdata: [DONE]\r\r:",
    "mixed": b"data: 1\n\r\ndata: 2\r\n\ndata: 3\r\n\r\ndata: [DONE]\n\n",
}


def _events(data: bytes, cuts: list[int]) -> tuple[list[bytes], bytes]:
    buffer = EventBuffer(1_000)
    events: list[bytes] = []
    start = 0
    for end in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        events += split_events(buffer.feed(data[start:end]))
        start = end
    return events, buffer.end()


@pytest.mark.parametrize("name", STREAMS)
def test_byte_by_byte(name: str) -> None:
    data = STREAMS[name]
    assert _events(data, list(range(len(data)))) == _events(data, [])
    assert len(_events(data, [])[0]) == 4


@settings(max_examples=200, derandomize=True)
@given(data=st.text("\r\nd: ", max_size=40), cuts=st.lists(st.integers(0, 40), max_size=10))
def test_any_bytes_in_any_pieces(data: str, cuts: list[int]) -> None:
    events, rest = _events(data.encode(), cuts)
    assert b"".join(events) + rest == data.encode()
    whole, last = _events(data.encode(), [])
    # A final CR may be half of a line end, so the last event may come out one feed later, never changed.
    assert b"".join(whole) + last == b"".join(events) + rest
    # And empty lines behind it belong to no event: they come with it, or are held.
    assert b"".join(events).rstrip(b"\r\n") == b"".join(whole).rstrip(b"\r\n")


def test_an_event_beyond_the_limit_is_an_error() -> None:
    buffer = EventBuffer(1_000)
    assert buffer.feed(b"x" * 1_000) == b""
    with pytest.raises(ValueError, match="exceeds 1000 bytes"):
        buffer.feed(b"x")


def test_a_large_event_costs_its_size() -> None:
    buffer = EventBuffer(64_000_000)
    started_s = time.process_time()
    for _ in range(4_000):
        assert buffer.feed(b"x" * 8_000) == b""
    assert len(buffer.feed(b"\n\n")) == 32_000_002
    assert time.process_time() - started_s < 2
