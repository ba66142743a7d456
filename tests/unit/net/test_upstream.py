"""One upstream connection: answers cut anywhere, every framing, and what is left of it afterwards."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from upstream_line import (
    BODY,
    CHUNKED,
    CLOSED,
    EVENTS,
    JSON,
    OK,
    REQUEST,
    WHOLE,
    Line,
    Sink,
    length,
    on_a_line,
)
from wires import rounds

from gatewright.config.documents import UpstreamTimeouts
from gatewright.core.errors import GatewayError, Kind
from gatewright.net.upstream import IDLE_S, Answer


@pytest.mark.parametrize("form", WHOLE)
def test_an_answer_is_the_same_wherever_it_is_cut(form: str) -> None:
    data = WHOLE[form]

    async def body(line: Line) -> None:
        for cut in range(1, len(data)):
            call = await line.ask()
            line.feed(data[:cut], data[cut:])
            answer = await call
            assert answer.status == 200
            assert answer.body == BODY, cut
        call = await line.ask()
        line.feed(*(data[at : at + 1] for at in range(len(data))))
        assert (await call).body == BODY
        assert len(line.idle) == len(data), "each time it may be used again"
        assert not line.transport.closing

    on_a_line(body)


@pytest.mark.parametrize("spare", [0, -1])
def test_an_answer_in_one_read_obeys_the_limit_too(spare: int) -> None:
    async def body(line: Line) -> None:
        for _ in range(2):
            call = await line.ask(len(BODY))
            line.feed(WHOLE["length"])
            assert (await call).body == BODY
        call = await line.ask(len(BODY) + spare)
        line.feed(WHOLE["length"])
        if spare < 0:
            assert (await line.failure(call)).kind is Kind.UPSTREAM_BAD_RESPONSE
        else:
            assert (await call).body == BODY

    on_a_line(body)


@pytest.mark.parametrize("form", CLOSED)
def test_an_answer_may_end_with_its_connection(form: str) -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(CLOSED[form])
        await rounds()
        assert not call.done()
        line.transport.close()
        assert (await call).body == BODY
        assert line.idle == []
        assert line.lost == [line.connection]

    on_a_line(body)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.UPSTREAM_RESET),
        (b"HTTP/1.1 200 O", Kind.UPSTREAM_BAD_RESPONSE),
        (OK + JSON + b"content-length: 10\r\n\r\n{", Kind.UPSTREAM_BAD_RESPONSE),
        (OK + JSON + CHUNKED + b"5\r\nhel", Kind.UPSTREAM_BAD_RESPONSE),
        (b"HTTP/1.1 100 Continue\r\n\r\n", Kind.UPSTREAM_BAD_RESPONSE),
    ],
)
def test_an_end_before_the_end_is_told_apart(data: bytes, kind: Kind) -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        if data:
            line.feed(data)
        line.transport.close()
        assert (await line.failure(call)).kind is kind

    on_a_line(body)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        OK + JSON + CHUNKED + b"zz\r\n",
        OK + JSON + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        OK + JSON + b"content-encoding: br\r\n" + length(b"x"),
        OK + JSON + b"content-encoding: gzip\r\n" + length(b"no gzip at all"),
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_not_an_answer_is_refused_and_the_connection_closed(data: bytes) -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(data)
        assert (await line.failure(call)).kind is Kind.UPSTREAM_BAD_RESPONSE
        assert line.transport.aborted
        assert line.idle == []

    on_a_line(body)


@pytest.mark.parametrize("plain", [True, False])
def test_an_answer_may_only_be_so_large_also_when_it_is_inflated(plain: bool) -> None:
    async def body(line: Line) -> None:
        big = b"x" * 5_000
        coding = b"" if plain else b"content-encoding: gzip\r\n"
        call = await line.ask(max_response_bytes=1_000)
        line.feed(OK + JSON + coding + length(big if plain else gzip.compress(big)))
        error = await line.failure(call)
        assert error.kind is Kind.UPSTREAM_BAD_RESPONSE
        assert "large" in error.message or "exceeds" in error.message

    on_a_line(body)


@pytest.mark.parametrize("end", [b"HTTP/1.1 200 OK\r\n", b"\0garbage"])
def test_surplus_bytes_cost_the_connection_not_the_answer(end: bytes) -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(WHOLE["length"] + end)
        assert (await call).body == BODY
        assert line.transport.aborted
        assert line.idle == []

    on_a_line(body)


def test_bytes_on_an_idle_connection_close_it() -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(WHOLE["length"])
        await call
        assert line.idle == [line.connection]
        line.feed(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        assert line.transport.aborted

    on_a_line(body)


def test_an_idle_connection_is_closed_in_time() -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(WHOLE["length"])
        await call
        line.time.advance(IDLE_S - 1)
        assert not line.transport.closing
        line.time.advance(1.1)
        assert line.transport.aborted

    on_a_line(body)


@pytest.mark.parametrize("sent", [b"", OK, OK + JSON + b"content-length: 9\r\n\r\n{"])
def test_silence_ends_as_a_time_out(sent: bytes) -> None:
    async def body(line: Line) -> None:
        call = await line.ask(first_byte_s=3.0, idle_s=3.0)
        if sent:
            line.feed(sent)
        line.time.advance(2.9)
        await rounds(1)
        assert not call.done()
        line.time.advance(0.2)
        assert (await line.failure(call)).kind is Kind.UPSTREAM_TIMEOUT
        assert line.transport.aborted

    on_a_line(body)


def test_cancelling_closes() -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        call.cancel()
        await rounds()
        assert call.cancelled()
        assert line.transport.aborted

    on_a_line(body)


def test_cancelling_as_the_answer_comes_hurts_no_stranger() -> None:
    async def body(line: Line) -> None:
        waiter = line.connection.begin(REQUEST, UpstreamTimeouts(), 10_000)
        waiter.cancel()
        line.feed(WHOLE["length"])
        assert line.connection.is_usable()
        call = await line.ask()
        line.connection.give_up(waiter)  # as its owner does when it comes to run
        line.feed(WHOLE["length"])
        assert (await call).body == BODY

    on_a_line(body)


def test_a_stream_that_begins_as_its_client_leaves_is_closed() -> None:
    async def body(line: Line) -> None:
        waiter = line.connection.begin(REQUEST, UpstreamTimeouts(), 10_000)
        line.feed(OK + EVENTS + CHUNKED)
        assert waiter.brought()
        line.connection.give_up(waiter)
        assert line.transport.aborted

    on_a_line(body)


def test_a_stream_that_begins_for_nobody_is_closed() -> None:
    async def body(line: Line) -> None:
        waiter = line.connection.begin(REQUEST, UpstreamTimeouts(), 10_000)
        waiter.cancel()
        line.feed(OK + EVENTS + CHUNKED)
        assert line.transport.aborted

    on_a_line(body)


# -- ends before an answer --------------------------------------------------------------------------------------------


async def end_within_second(line: Line, peer: Callable[[Line], None], taken: int, sent: int) -> GatewayError:
    """The failure of a reused connection's second request, of which TCP says what it says."""
    call = await line.ask()
    line.transport.socket.progress = (1 + len(REQUEST), len(REQUEST), 0)
    line.feed(WHOLE["length"])
    await call
    assert line.connection.is_usable()
    call = await line.ask()
    line.transport.socket.progress = (1 + len(REQUEST) + taken, len(REQUEST) + sent, 0)
    peer(line)
    return await line.failure(call)


def fin(line: Line) -> None:
    line.connection.eof_received()
    line.transport.socket.progress = (1000, 1000, 0)  # what a half-closed peer acknowledges later is of no matter
    line.transport.close()


def reset(line: Line) -> None:
    line.transport.closing = True
    line.connection.connection_lost(ConnectionResetError("reset"))


def reset_after_fin(line: Line) -> None:
    line.transport.closing = True
    line.connection.connection_lost(BrokenPipeError("broken"))


def unknown(line: Line) -> None:
    line.transport.socket.progress = None
    fin(line)


def fin_in_answer(line: Line) -> None:
    line.feed(OK[:5])
    fin(line)


ENDS = [
    pytest.param(fin, 0, len(REQUEST), True, id="closed before it came"),
    pytest.param(fin, 1, len(REQUEST), False, id="closed behind its first byte"),
    pytest.param(fin, len(REQUEST), len(REQUEST), False, id="closed when it was there"),
    pytest.param(fin, 0, 0, True, id="closed before it was sent"),
    pytest.param(reset, 0, len(REQUEST), False, id="reset, perhaps after it was read"),
    pytest.param(reset, 0, 0, True, id="reset before it was sent"),
    pytest.param(reset_after_fin, 0, len(REQUEST), True, id="closed before it came, noticed by a write"),
    pytest.param(reset_after_fin, 1, len(REQUEST), False, id="closed behind its first byte, noticed by a write"),
    pytest.param(unknown, 0, 0, False, id="closed, and the platform tells nothing"),
]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(("peer", "taken", "sent", "untouched"), ENDS)
def test_a_reused_connection_took_nothing(
    peer: Callable[[Line], None], taken: int, sent: int, untouched: bool, tls: bool
) -> None:
    async def body(line: Line) -> None:
        error = await end_within_second(line, peer, taken, sent)
        assert (error.kind, error.untouched) == (Kind.UPSTREAM_RESET, untouched)
        assert line.lost == [line.connection]

    on_a_line(body, tls=tls)


def test_a_connection_that_ends_within_its_answer_took_the_request() -> None:
    async def body(line: Line) -> None:
        error = await end_within_second(line, fin_in_answer, 0, 0)
        assert (error.kind, error.untouched) == (Kind.UPSTREAM_BAD_RESPONSE, False)

    on_a_line(body)


def test_a_reused_connection_already_gone_took_nothing() -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(WHOLE["length"])
        await call
        assert line.connection.is_usable()
        line.transport.closing = True
        error = await line.failure(await line.ask())
        assert (error.kind, error.untouched) == (Kind.UPSTREAM_RESET, True)

    on_a_line(body)


@pytest.mark.parametrize("peer", [fin, reset, reset_after_fin])
def test_a_new_connection_may_have_taken_the_request(peer: Callable[[Line], None]) -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        peer(line)
        error = await line.failure(call)
        assert (error.kind, error.untouched) == (Kind.UPSTREAM_RESET, False)

    on_a_line(body)


# -- streams ----------------------------------------------------------------------------------------------------------

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


def test_a_fresh_idle_connection_is_usable_without_asking() -> None:
    async def body(line: Line) -> None:
        call = await line.ask()
        line.feed(WHOLE["length"])
        await call
        assert line.connection.is_usable()
        line.transport.closing = True
        assert not line.connection.is_usable()

    on_a_line(body)
