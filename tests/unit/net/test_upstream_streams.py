"""Streamed answers on an upstream connection: into a sink piece by piece, and every way in which they may end."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from upstream_line import CHUNKED, EVENTS, OK, Line, Sink, on_a_line
from wires import rounds

from gatewright.core.errors import Kind
from gatewright.net.upstream import Answer

EVENT = b"data: {}\n\n"


async def begin(line: Line, head: bytes = OK + EVENTS + CHUNKED, first: bytes = b"") -> Answer:
    call = await line.ask()
    line.feed(head + first)
    answer = await call
    assert answer.body is None
    return answer


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_stream_flows_into_its_sink_and_leaves_the_connection_idle() -> None:
    async def body(line: Line) -> None:
        answer = await begin(line, first=chunk(EVENT))
        line.feed(chunk(EVENT))
        sink = Sink()
        answer.start(sink)
        assert sink.data == EVENT * 2
        line.feed(chunk(EVENT), b"0\r\n\r\n")
        assert sink.data == EVENT * 3
        assert (sink.ended, sink.failures) == (1, [])
        assert line.idle == [line.connection]
        for late in (answer.pause, answer.resume, answer.abort):
            late()  # the connection may be another's already
        assert not line.transport.closing
        assert line.transport.reading

    on_a_line(body)


@pytest.mark.parametrize("kind", ["text/event-stream", "application/x-ndjson", "application/vnd.amazon.eventstream"])
def test_a_stream_that_was_complete_before_its_sink_came(kind: str) -> None:
    head = OK + f"content-type: {kind}\r\n".encode() + CHUNKED

    async def body(line: Line) -> None:
        answer = await begin(line, head, first=chunk(EVENT) + b"0\r\n\r\n")
        sink = Sink()
        answer.start(sink)
        assert (sink.data, sink.ended) == (EVENT, 1)
        assert line.idle == [line.connection]

    on_a_line(body)


def test_a_compressed_stream_is_inflated_piece_by_piece() -> None:
    async def body(line: Line) -> None:
        packed = gzip.compress(EVENT * 3)
        answer = await begin(line, OK + EVENTS + b"content-encoding: gzip\r\n" + CHUNKED, chunk(packed[:15]))
        sink = Sink()
        answer.start(sink)
        line.feed(*(chunk(packed[at : at + 1]) for at in range(15, len(packed))), b"0\r\n\r\n")
        assert (sink.data, sink.ended) == (EVENT * 3, 1)

    on_a_line(body)


@pytest.mark.parametrize("before", [True, False])
def test_a_stream_may_end_with_its_connection(before: bool) -> None:
    async def body(line: Line) -> None:
        answer = await begin(line, OK + EVENTS + b"connection: close\r\n\r\n", EVENT)
        sink = Sink()
        if before:
            answer.start(sink)
        line.transport.close()
        await rounds()
        if not before:
            answer.start(sink)
        assert (sink.data, sink.ended, sink.failures) == (EVENT, 1, [])
        assert line.idle == []

    on_a_line(body)


@pytest.mark.parametrize("before", [True, False])
def test_a_stream_that_breaks_off_says_so(before: bool) -> None:
    async def body(line: Line) -> None:
        answer = await begin(line, first=chunk(EVENT))
        sink = Sink()
        if before:
            answer.start(sink)
        line.transport.close()
        await rounds()
        if not before:
            answer.start(sink)
        assert sink.data == EVENT
        assert [failure.kind for failure in sink.failures] == [Kind.UPSTREAM_CUT]
        assert sink.ended == 0

    on_a_line(body)


def test_garbage_in_a_stream_is_a_cut() -> None:
    async def body(line: Line) -> None:
        answer = await begin(line)
        sink = Sink()
        answer.start(sink)
        line.feed(b"not a chunk\r\n")
        assert [failure.kind for failure in sink.failures] == [Kind.UPSTREAM_CUT]
        assert line.transport.aborted

    on_a_line(body)


def test_garbage_before_the_sink_comes_reaches_the_sink() -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(OK + EVENTS + CHUNKED, b"xyz\r\n")  # before whoever waits for the head can run
        sink = Sink()
        (await call).start(sink)
        assert [error.kind for error in sink.failures] == [Kind.UPSTREAM_CUT]

    on_a_line(body)


def test_a_silent_stream_times_out_unless_it_is_the_client_who_is_slow() -> None:
    async def body(line: Line) -> None:
        answer = await begin(line)
        sink = Sink()
        answer.start(sink)
        answer.pause()
        assert not line.transport.reading
        line.time.advance(10_000)
        assert sink.failures == []
        answer.resume()
        assert line.transport.reading
        line.time.advance(119)
        line.feed(chunk(EVENT))
        line.time.advance(119)
        assert sink.failures == []
        line.time.advance(2)
        line.time.advance(2)
        assert [failure.kind for failure in sink.failures] == [Kind.UPSTREAM_TIMEOUT]

    on_a_line(body)


def test_a_stream_nobody_takes_stops_being_read() -> None:
    async def body(line: Line) -> None:
        answer = await begin(line)
        piece = b"data: " + b"x" * 40_000 + b"\n\n"
        line.feed(chunk(piece), chunk(piece))
        assert not line.transport.reading
        sink = Sink()
        answer.start(sink)
        assert line.transport.reading
        assert sink.data == piece * 2

    on_a_line(body)


def test_a_sink_that_gives_up_hears_nothing_more() -> None:
    async def body(line: Line) -> None:
        answer = await begin(line, first=chunk(EVENT))
        line.feed(chunk(EVENT))
        sink = Sink(answer, bite=1)
        answer.start(sink)
        await rounds()
        assert line.transport.aborted
        assert (sink.ended, sink.failures) == (0, [])
        assert line.lost == [line.connection]

    on_a_line(body)


def test_a_sink_that_gives_up_on_the_last_piece() -> None:
    async def body(line: Line) -> None:
        answer = await begin(line)
        sink: Any = Sink(answer, bite=1)
        answer.start(sink)
        line.feed(chunk(EVENT) + b"0\r\n\r\n")
        await rounds()
        assert (sink.ended, sink.failures, line.idle) == (0, [], [])

    on_a_line(body)
