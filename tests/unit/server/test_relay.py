"""A stream on its way: the head waits for the first event, failures are told where they can be, filters see events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.dialects.openai import CHAT
from gatewright.pipeline.chain import Chain
from gatewright.pipeline.filters import Filter
from gatewright.pipeline.lifecycle import OpenStream
from gatewright.server.relay import Relay
from gatewright.testing import answers
from gatewright.testing.clock import FakeClock
from gatewright.translate.identity import IdentityStream

HEAD = b"HEAD\r\n\r\n"
CHUNKS = [answers.sse(chunk) for chunk in answers.chat_chunks()]
DONE = answers.sse(b"[DONE]")
FAULT = b'data: {"error": {"message": "out of memory"}}\n\n'


class Client:
    def __init__(self) -> None:
        self.head = b""
        self.pieces: list[bytes] = []

    def begin_stream(self, head: bytes, source: Any) -> None:
        assert not self.head, "one head is enough"
        self.head = head

    def write_piece(self, piece: bytes) -> None:
        assert self.head, "a piece before the head"
        self.pieces.append(piece)


class Source:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class Upper(Filter):
    def __init__(self) -> None:
        self.seen: list[list[bytes]] = []

    def on_events(self, x: Exchange, events: list[bytes]) -> list[bytes]:
        self.seen.append(events)
        return [event.replace(b"Hello", b"HELLO") for event in events if b"scripted" not in event.split(b"delta")[-1]]


class Faulty(Filter):
    def __init__(self, error: Exception, on: bytes) -> None:
        self.error, self.on = error, on

    def on_events(self, x: Exchange, events: list[bytes]) -> list[bytes]:
        if any(self.on in event for event in events):
            raise self.error
        return events


class Way:
    def __init__(self, *filters: Filter) -> None:
        self.client, self.source, self.clock = Client(), Source(), FakeClock()
        self.x = Exchange("req_1", None, {}, b"", self.clock())
        codec = IdentityStream(CHAT, None, hide_usage=False)
        source: Any = self.source
        client: Any = self.client
        stream = OpenStream(source, codec, Chain(filters), ())
        self.done: asyncio.Future[GatewayError | None] = asyncio.get_running_loop().create_future()
        self.relay = Relay(client, self.x, stream, HEAD, self.done, self.clock)

    @property
    def text(self) -> bytes:
        return b"".join(self.client.pieces)


def on_a_way(body: Callable[[Way], None], *filters: Filter) -> None:
    async def made() -> None:
        body(Way(*filters))

    asyncio.run(made())


def test_the_head_is_held_until_the_first_event() -> None:
    def body(way: Way) -> None:
        way.clock.advance(2.0)
        way.relay.on_data(CHUNKS[0][:20])
        assert not way.relay.begun
        assert way.client.head == b""
        way.relay.on_data(CHUNKS[0][20:])
        assert way.relay.begun
        assert way.client.head == HEAD
        assert (way.x.status, way.x.first_byte_s, way.x.upstream_s) == (200, 1_002.0, 2.0)

    on_a_way(body)


def test_a_stream_passes_as_it_is_and_is_counted() -> None:
    def body(way: Way) -> None:
        for piece in [*CHUNKS, DONE]:
            way.relay.on_data(piece)
        way.relay.on_end()
        assert way.done.result() is None
        assert way.text == b"".join([*CHUNKS, DONE])
        assert way.x.bytes_out == len(way.text)

    on_a_way(body)


def test_a_stream_that_lacks_only_its_closing_event_gets_one() -> None:
    def body(way: Way) -> None:
        way.relay.on_data(b"".join(CHUNKS))
        way.relay.on_end()
        assert way.done.result() is None
        assert way.text.endswith(DONE)

    on_a_way(body)


@pytest.mark.parametrize("begun", [True, False])
def test_an_end_before_the_answer_was_complete_is_an_error(begun: bool) -> None:
    def body(way: Way) -> None:
        if begun:
            way.relay.on_data(CHUNKS[0])
        way.relay.on_end()
        error = way.done.result()
        assert error is not None
        assert error.kind is Kind.UPSTREAM_CUT
        assert way.relay.begun is begun

    on_a_way(body)


def test_a_failure_before_the_first_event_shows_nothing_to_the_client() -> None:
    def body(way: Way) -> None:
        way.relay.on_data(FAULT)
        error = way.done.result()
        assert error is not None
        assert "out of memory" in error.message
        assert way.client.head == b""
        assert way.source.aborted

    on_a_way(body)


def test_a_failure_in_the_middle_is_passed_on_and_ends_the_stream() -> None:
    def body(way: Way) -> None:
        way.relay.on_data(CHUNKS[0] + FAULT + CHUNKS[1])
        error = way.done.result()
        assert error is not None or way.relay.begun
        way.relay.on_data(CHUNKS[2])
        way.relay.on_end()
        assert CHUNKS[2] not in way.text

    on_a_way(body)


@pytest.mark.parametrize(("pieces", "is_complete"), [(CHUNKS, False), ([*CHUNKS, DONE], True), (CHUNKS[:2], False)])
def test_a_broken_connection_is_no_failure_behind_the_closing_event(pieces: list[bytes], is_complete: bool) -> None:
    def body(way: Way) -> None:
        for piece in pieces:
            way.relay.on_data(piece)
        error = GatewayError(Kind.UPSTREAM_CUT, "broke off")
        way.relay.on_failure(error)
        assert way.done.result() is (None if is_complete else error)
        way.relay.on_failure(error)

    on_a_way(body)


def test_filters_see_whole_events_and_may_take_them_out() -> None:
    upper = Upper()

    def body(way: Way) -> None:
        whole = b"".join([*CHUNKS, DONE])
        for at in range(0, len(whole), 50):
            way.relay.on_data(whole[at : at + 50])
        way.relay.on_end()
        assert way.done.result() is None
        assert [event for events in upper.seen for event in events] == [*CHUNKS, DONE]
        assert b"HELLO" in way.text
        assert b'content":" scripted' not in way.text
        assert way.x.bytes_out == len(way.text)

    on_a_way(body, upper)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(GatewayError(Kind.GUARDRAIL_BLOCKED, "no"), Kind.GUARDRAIL_BLOCKED), (ValueError("a slip"), Kind.INTERNAL)],
)
@pytest.mark.parametrize("on", [b"role", b"Hello", b"[DONE]"])
def test_a_filter_that_refuses_or_breaks_ends_one_stream(fault: Exception, kind: Kind, on: bytes) -> None:
    def body(way: Way) -> None:
        for piece in CHUNKS:
            way.relay.on_data(piece)
            if way.done.done():
                break
        else:
            way.relay.on_end()  # the closing event is the gateway's own, and passes the filters too
        error = way.done.result()
        assert error is not None
        assert error.kind is kind
        assert way.relay.begun is (on != b"role")

    on_a_way(body, Faulty(fault, on))
