"""One client connection: turns in order, a limit on every wait, and an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from wires import FakeTransport, rounds, run, ticking

from gatewright.config.documents import Limits, Timeouts
from gatewright.net.downstream import DRAIN_GRACE_S, Connection, Listener
from gatewright.net.rounds import Round
from gatewright.wire.http1 import Malformed, Request

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Recorder:
    """A handler that answers when the test lets it."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self.bodies: list[bytes] = []
        self.refused: list[Malformed] = []
        self.cancelled = 0
        self.gates: list[asyncio.Event] = []
        self.at_once = False
        self.depth = self.deepest = 0

    async def handle(self, connection: Connection, request: Request) -> None:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        self.paths.append(request.path)
        self.bodies.append(request.body)
        try:
            if not self.at_once:
                gate = asyncio.Event()
                self.gates.append(gate)
                await gate.wait()
            connection.respond(REPLY)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            connection.next_turn()
            self.depth -= 1

    def refuse(self, connection: Connection, malformed: Malformed) -> None:
        self.refused.append(malformed)
        connection.respond(b"refused %d" % len(self.refused))


class Source:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")


class Client:
    """A connection as one client has it, with time under control."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.time, deadlines = ticking()
        self.handler = Recorder()
        self.listener = Listener(Round(self.loop), self.handler, deadlines, limits or Limits(), Timeouts())
        self.connection, self.transport = self.connect()

    def connect(self) -> tuple[Connection, FakeTransport]:
        connection = self.listener.accept()
        transport = FakeTransport(connection)
        connection.connection_made(transport)  # type: ignore[arg-type]
        return connection, transport

    async def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)
        await rounds()

    async def release(self) -> None:
        """Let the running exchange answer."""
        self.handler.gates.pop(0).set()
        await rounds()

    async def wait(self, seconds: float) -> None:
        self.time.advance(seconds)
        self.time.advance(0.06)
        await rounds()


def as_client(body: Callable[[Client], Awaitable[None]], **limits: int) -> None:
    async def made() -> None:
        client = Client(Limits(**limits))
        await body(client)
        client.listener.abort()

    run(made)


def test_pipelined_requests_are_answered_one_at_a_time_and_in_order() -> None:
    async def body(client: Client) -> None:
        await client.feed(GET % 1 + GET % 2, GET % 3)
        assert client.handler.paths == [b"/1"]
        for answered in range(1, 4):
            await client.release()
            assert client.transport.take() == REPLY
            assert client.handler.paths == [b"/%d" % number for number in range(1, min(answered + 2, 4))]
        await client.feed(GET % 4)
        await client.release()
        assert client.transport.take() == REPLY

    as_client(body)


def test_a_thousand_pipelined_requests_are_not_a_thousand_calls_deep() -> None:
    async def body(client: Client) -> None:
        client.handler.at_once = True
        await client.feed(b"".join(GET % number for number in range(1_000)))
        await rounds(2_100)
        assert len(client.handler.paths) == 1_000
        assert client.handler.deepest == 1
        assert client.transport.take() == REPLY * 1_000

    as_client(body)


def test_many_waiting_requests_stop_the_reading() -> None:
    async def body(client: Client) -> None:
        await client.feed(GET % 0)
        await client.feed(*(GET % number for number in range(1, 65)))
        assert client.transport.reading
        await client.feed(GET % 65)
        assert not client.transport.reading
        for _ in range(66):
            await client.release()
        assert client.transport.reading
        assert len(client.handler.paths) == 66

    as_client(body)


def test_the_end_of_the_connection_cancels_what_runs() -> None:
    async def body(client: Client) -> None:
        await client.feed(GET % 1 + GET % 2)
        client.transport.close()
        await rounds()
        assert client.handler.cancelled == 1
        assert client.handler.paths == [b"/1"]
        assert client.listener.connections == set()

    as_client(body)


def test_what_is_malformed_is_answered_after_what_came_before_it() -> None:
    async def body(client: Client) -> None:
        await client.feed(GET % 1 + b"NONSENSE\r\n\r\n")
        assert client.handler.refused == []
        await client.release()
        assert client.transport.take() == REPLY + b"refused 1"
        assert client.transport.ended
        assert not client.transport.closing, "the client may still read"
        await client.feed(b"more of it" * 100)
        assert len(client.handler.refused) == 1
        await client.wait(2.0)
        assert client.transport.closing

    as_client(body)


@pytest.mark.parametrize(
    "request_line", [b"GET /1 HTTP/1.0\r\n\r\n", b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"]
)
def test_the_last_answer_is_followed_by_the_end(request_line: bytes) -> None:
    async def body(client: Client) -> None:
        await client.feed(request_line)
        assert client.connection.closes
        await client.release()
        assert client.transport.take() == REPLY
        assert client.transport.ended

    as_client(body)


def test_a_head_has_one_limit_however_it_trickles_in() -> None:
    async def body(client: Client) -> None:
        for piece in (b"GET / HT", b"TP/1.1\r\n", b"Host: a\r\n"):
            await client.feed(piece)
            await client.wait(4.9)
        assert client.handler.refused == []
        await client.feed(b"X: 1\r\n")
        await client.wait(1.0)
        assert [refused.kind.value for refused in client.handler.refused] == ["request_timeout"]
        assert client.transport.ended

    as_client(body)


def test_a_body_may_take_its_time_as_long_as_it_comes() -> None:
    async def body(client: Client) -> None:
        await client.feed(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
        for piece in (b"a", b"b"):
            await client.wait(29.0)
            await client.feed(piece)
        await client.wait(29.0)
        assert client.handler.refused == []
        await client.wait(1.5)
        assert [refused.path for refused in client.handler.refused] == [b"/1"]

    as_client(body)


def test_a_client_that_waits_for_a_continue_gets_one() -> None:
    async def body(client: Client) -> None:
        await client.feed(b"POST /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.transport.take() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.feed(b"{}")
        assert client.handler.bodies == [b"{}"]
        await client.release()
        assert client.transport.take() == REPLY

    as_client(body)


def test_an_idle_connection_is_closed_in_time_and_a_running_exchange_is_not() -> None:
    async def body(client: Client) -> None:
        await client.feed(GET % 1)
        await client.wait(1_000)
        assert not client.transport.closing
        await client.release()
        await client.wait(74.0)
        assert not client.transport.closing
        await client.wait(1.5)
        assert client.transport.closing

    as_client(body)


def test_a_new_connection_that_says_nothing_is_closed() -> None:
    async def body(client: Client) -> None:
        await client.wait(15.1)
        assert client.transport.closing
        assert client.handler.refused == []

    as_client(body)


def test_too_many_connections_are_closed_at_once() -> None:
    async def body(client: Client) -> None:
        _, second = client.connect()
        assert second.aborted
        await rounds()
        assert client.listener.connections == {client.connection}

    as_client(body, connections=1)


def test_draining_closes_behind_the_next_answer_and_idle_ones_after_a_grace() -> None:
    async def body(client: Client) -> None:
        idle, idle_transport = client.connect()
        await client.feed(GET % 1)
        client.listener.drain()
        client.listener._close_idle()  # as after DRAIN_GRACE_S
        assert idle_transport.closing
        assert not client.transport.closing
        assert client.connection.closes
        await client.release()
        assert client.transport.take() == REPLY
        assert client.transport.ended
        assert DRAIN_GRACE_S > 0
        assert isinstance(idle, Connection)

    as_client(body)


def test_a_request_that_is_arriving_keeps_a_draining_connection() -> None:
    async def body(client: Client) -> None:
        await client.feed(b"GET / HTTP/1.1\r\n")
        client.listener.drain()
        client.listener._close_idle()
        assert not client.transport.closing
        await client.feed(b"Host: a\r\n\r\n")
        assert client.handler.paths == [b"/"]
        await client.release()
        assert client.transport.ended

    as_client(body)


def test_a_slow_client_pauses_its_source_and_a_stalled_one_is_disconnected() -> None:
    async def body(client: Client) -> None:
        source = Source()
        await client.feed(GET % 1)
        client.connection.begin_stream(b"head\r\n\r\n", source)
        client.connection.write_piece(b"one")
        client.connection.pause_writing()
        client.connection.resume_writing()
        assert source.calls == ["pause", "resume"]
        await client.wait(61.0)
        assert not client.transport.closing
        client.connection.pause_writing()
        await client.wait(59.0)
        assert not client.transport.closing
        await client.wait(1.5)
        assert client.transport.aborted
        assert client.handler.cancelled == 1

    as_client(body)


def test_a_stream_that_begins_for_a_stalled_client_is_paused_at_once() -> None:
    async def body(client: Client) -> None:
        await client.feed(GET % 1)
        client.connection.pause_writing()
        source = Source()
        client.connection.begin_stream(b"head\r\n\r\n", source)
        assert source.calls == ["pause"]

    as_client(body)


@pytest.mark.parametrize(
    ("version", "sent"),
    [(b"1.1", b"head|3\r\none\r\n10\r\n" + b"x" * 16 + b"\r\n0\r\n\r\n"), (b"1.0", b"head|one" + b"x" * 16)],
)
def test_a_streamed_answer_is_framed_as_the_client_can_read_it(version: bytes, sent: bytes) -> None:
    async def body(client: Client) -> None:
        await client.feed(b"GET / HTTP/%b\r\nHost: a\r\n\r\n" % version)
        client.connection.begin_stream(b"head|", Source())
        client.connection.write_piece(b"one")
        client.connection.write_piece(b"x" * 16)
        client.connection.end_stream()
        await rounds()
        assert client.transport.take() == sent

    as_client(body)


def test_a_slow_client_may_take_its_last_answer_in_its_own_time() -> None:
    async def body(client: Client) -> None:
        await client.feed(b"GET / HTTP/1.0\r\n\r\n")
        client.transport.unsent = 1_000
        await client.release()
        await client.wait(2.1)
        assert not client.transport.closing
        client.transport.unsent = 500
        await client.wait(60.1)
        assert not client.transport.closing, "some of it was taken"
        await client.wait(60.1)
        assert client.transport.aborted, "nothing more was"

    as_client(body)


def test_new_limits_hold_for_new_connections() -> None:
    async def body(client: Client) -> None:
        client.listener.configure(Limits(body_bytes=1), Timeouts())
        big = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        await client.feed(big)
        assert client.handler.bodies == [b"hello"]
        fresh, _ = client.connect()
        fresh.data_received(big)
        client.listener.round.read()
        assert [refused.kind.value for refused in client.handler.refused] == ["too_large"]

    as_client(body)


def test_the_peer_is_told_for_the_log() -> None:
    async def body(client: Client) -> None:
        assert client.connection.peer == "192.0.2.7"
        client.transport.close()
        await rounds()
        assert client.connection.peer == ""
        for late in (client.connection.linger, client.connection.abort, client.connection.end_stream):
            late()
        client.connection.respond(b"nobody")
        client.connection.write_piece(b"nobody")

    as_client(body)


def test_what_was_read_is_handled_before_the_connection_is_gone() -> None:
    async def body(client: Client) -> None:
        client.connection.data_received(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        client.connection.close_if_idle()
        assert not client.transport.closing, "a request is there, though nobody looked at it yet"
        client.connection.connection_lost(None)
        await rounds()
        assert client.handler.bodies == [b"hi"]
        assert client.handler.cancelled == 1

    as_client(body)
