import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.wire.sse import EventBuffer, event_data, render_event, split_events

ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}
CUTS = (1, 7, 64, 10_000)


def fed(data: bytes, size: int) -> tuple[list[bytes], bytes]:
    """The events that come out of these bytes in pieces of this size, and the rest."""
    buffer = EventBuffer(100_000)
    blocks = [buffer.feed(data[start : start + size]) for start in range(0, len(data), size)]
    return [event for block in blocks for event in split_events(block)], buffer.end()


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_events_come_out_whole_whatever_the_cut(end: bytes, size: int) -> None:
    events = [b"data: 1" + end * 2, b"event: x" + end + b"data: 2" + end + b"data: 3" + end * 2, b": ping" + end * 2]
    found, rest = fed(b"".join(events) + b"data: un", size)
    assert found == events
    assert rest == b"data: un"


def test_a_carriage_return_at_the_end_waits_for_its_line_feed() -> None:
    buffer = EventBuffer(100)
    assert buffer.feed(b"data: 1\r\n\r") == b""
    assert buffer.feed(b"\n") == b"data: 1\r\n\r\n"
    assert buffer.feed(b"data: 1\r\r") == b""
    assert buffer.feed(b"data: 2") == b"data: 1\r\r"
    assert buffer.end() == b"data: 2"


def test_a_block_of_whole_events_is_given_on_as_it_came() -> None:
    buffer = EventBuffer(100)
    block = b"data: 1\n\ndata: 2\n\n"
    assert buffer.feed(block) is block
    assert buffer.feed(b"") == b""


def test_the_rest_is_held_once_and_then_forgotten() -> None:
    buffer = EventBuffer(100)
    assert buffer.feed(b"data: 1\n\nda") == b"data: 1\n\n"
    assert buffer.feed(b"ta") == b""
    assert buffer.end() == b"data"
    assert buffer.end() == b""
    assert buffer.feed(b"data: 2\n\n") == b"data: 2\n\n"


def test_an_event_may_be_as_large_as_the_limit_and_no_larger() -> None:
    assert EventBuffer(10).feed(b"x" * 10) == b""
    buffer = EventBuffer(10)
    buffer.feed(b"x" * 6)
    with pytest.raises(ValueError, match="an event exceeds 10 bytes"):
        buffer.feed(b"x" * 5)
    assert buffer.end() == b""


def test_a_huge_event_in_small_pieces() -> None:
    event = b"data: " + b"x" * 90_000 + b"\n\n"
    assert fed(event * 2, 7) == ([event, event], b"")


@pytest.mark.parametrize(
    "block", [b"a\n\n\n", b"a\n\n\nb\n\n", b"\n\n\n\n", b"a\r\n\n\n", b"a\n\n\r\n\n", b"a\n\nb\r\r"]
)
def test_no_byte_of_a_block_is_lost(block: bytes) -> None:
    assert b"".join(split_events(block)) == block


def test_an_empty_block_has_no_events() -> None:
    assert split_events(b"") == []


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\r\n\r\n", b"{}"),
        (b"data:  two spaces\n\n", b" two spaces"),
        (b"event: x\rdata: 1\rdata: 2\rid: 3\r\r", b"1\n2"),
        (b"data\ndata: 1\n\n", b"\n1"),
        (b"data: a:b\n\n", b"a:b"),
        (b": a comment\n\n", b""),
        (b"database: 1\n\n", b""),
        (b"\n\n", b""),
    ],
)
def test_the_data_of_an_event(event: bytes, data: bytes) -> None:
    assert event_data(event) == data


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([b"data: 1", b"data:2", b"data", b"data: ", b"event: data: x", b"event: e", b": c"])),
    st.sampled_from([*ENDS.values()]),
)
def test_every_spelling_of_a_line_is_read_alike(lines: list[bytes], end: bytes) -> None:
    values = [line[5:].removeprefix(b" ") for line in lines if line == b"data" or line.startswith(b"data:")]
    assert event_data(b"".join(line + end for line in lines) + end) == b"\n".join(values)


@pytest.mark.parametrize(
    ("name", "event"),
    [("", b'data: {"a": [1, 2]}\n\n'), ("message-end", b'event: message-end\ndata: {"a": [1, 2]}\n\n')],
)
def test_an_event_is_written_on_one_line(name: str, event: bytes) -> None:
    assert render_event(b'{"a": [1, 2]}', name) == event
    assert render_event(b'{\r\n"a":\n [1,\r 2]}', name) == event
    assert split_events(event) == [event]
