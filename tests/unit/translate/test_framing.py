"""Blocks hold whole events however the bytes were cut; an event without end is refused."""

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.translate import framing
from gatewright.translate.framing import framing_of
from gatewright.wire.aws_event_stream import render_headers, render_message

SSE = b'event: a\ndata: {"x":1}\n\n: ping\n\ndata: {"y":\ndata: 2}\n\n'
LINES = b'{"x":1}\n{"y":2}\r\n'
MESSAGE = render_message(render_headers({":event-type": "a"}), b"{}")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (b"text/event-stream", SSE),
        (b"application/x-ndjson", LINES),
        (b"application/vnd.amazon.eventstream", 3 * MESSAGE),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_cutting_changes_nothing(kind: bytes, data: bytes, size: int) -> None:
    whole = framing_of(kind)
    events = whole.split(whole.feed(data))
    cut = framing_of(kind)
    blocks = [cut.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert [event for block in blocks for event in cut.split(block)] == events
    assert b"".join(events) == data


@pytest.mark.parametrize("kind", [b"text/event-stream", b"application/x-ndjson"])
def test_an_event_without_end_is_refused(kind: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(framing, "MAX_EVENT_BYTES", 100)
    endless = framing_of(kind)
    endless.feed(b"data: " + b"x" * 80)
    with pytest.raises(GatewayError) as refused:
        endless.feed(b"x" * 50)
    assert refused.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_the_data_of_an_event_is_found_and_replaced() -> None:
    events = framing_of(b"text/event-stream")
    assert events.data(b'event: a\ndata: {"x":1}\n\n') == b'{"x":1}'
    assert events.replace(b'event: a\ndata: {"x":1}\n\n', b'{"x":1}', b'{"x":2}') == b'event: a\ndata: {"x":2}\n\n'
    split = b'id: 4\ndata: {"x":\ndata: 1}\n\n'
    assert events.replace(split, events.data(split), b'{"x":2}') == b'id: 4\ndata: {"x":2}\n\n'
    lines = framing_of(b"application/x-ndjson")
    assert lines.replace(b'{"x":1}\r\n', lines.data(b'{"x":1}\r\n'), b'{"x":2}') == b'{"x":2}\r\n'


def test_binary_messages_are_never_rewritten() -> None:
    messages = framing_of(b"application/vnd.amazon.eventstream")
    assert messages.data(MESSAGE) == b""
    assert messages.replace(MESSAGE, b"", b"x") == MESSAGE


def test_a_damaged_binary_message_is_refused() -> None:
    with pytest.raises(GatewayError) as refused:
        framing_of(b"application/vnd.amazon.eventstream").feed(b"data: {}\n\n....")
    assert refused.value.kind is Kind.UPSTREAM_BAD_RESPONSE
