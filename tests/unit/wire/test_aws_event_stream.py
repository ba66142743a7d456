"""AWS event streams: every type of header, any cutting, and no damage that goes unnoticed."""

from __future__ import annotations

import struct
from contextlib import suppress
from uuid import UUID
from zlib import crc32

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatewright.wire.aws_event_stream import (
    MAX_HEADERS_BYTES,
    MAX_MESSAGE_BYTES,
    Message,
    MessageBuffer,
    MessageDecoder,
    Timestamp,
    parse_headers,
    render_headers,
    render_message,
    split_messages,
)

UUID_BYTES = bytes(range(16))

# Each type of the specification: its wire form and what it means.
VALUES = [
    pytest.param(b"\x00", True, id="true"),
    pytest.param(b"\x01", False, id="false"),
    pytest.param(b"\x02\xff", -1, id="byte"),
    pytest.param(b"\x03\x01\x00", 256, id="short"),
    pytest.param(b"\x04\xff\xff\xff\xfe", -2, id="integer"),
    pytest.param(b"\x05\x00\x00\x00\x01\x00\x00\x00\x00", 2**32, id="long"),
    pytest.param(b"\x06\x00\x02\x00\xff", b"\x00\xff", id="bytes"),
    pytest.param(b"\x07\x00\x03h\xc3\xa9", "hé", id="string"),
    pytest.param(b"\x08\x00\x00\x00\x00\x00\x00\x03\xe8", Timestamp(1000), id="timestamp"),
    pytest.param(b"\x09" + UUID_BYTES, UUID(bytes=UUID_BYTES), id="uuid"),
]

headers_of_any_type = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(max_size=40),
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.integers(-(2**63), 2**63 - 1).map(Timestamp),
        st.uuids(),
    ),
    max_size=5,
)
messages = st.builds(Message, headers_of_any_type, st.binary(max_size=200))


def rendered(message: Message) -> bytes:
    return render_message(render_headers(message.headers), message.payload)


def framed(
    headers: bytes, payload: bytes = b"", *, total: int | None = None, headers_length: int | None = None
) -> bytes:
    """A message made step by step, so that lengths can be wrong while checksums are right."""
    prelude = struct.pack(
        ">II",
        16 + len(headers) + len(payload) if total is None else total,
        len(headers) if headers_length is None else headers_length,
    )
    body = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def test_a_message_as_its_bytes() -> None:
    data = bytes.fromhex(
        "0000003d0000002007fd83960c636f6e74656e742d747970650700106170706c"
        "69636174696f6e2f6a736f6e7b27666f6f273a27626172277d8d9c08b1"
    )
    message = Message({"content-type": "application/json"}, b"{'foo':'bar'}")
    assert MessageDecoder().feed(data) == [message]
    assert rendered(message) == data


@pytest.mark.parametrize(("wire", "value"), VALUES)
def test_reads_every_type_of_header(wire: bytes, value: object) -> None:
    block = b"\x01a" + wire + b"\x02bc\x07\x00\x01d"
    assert parse_headers(block) == {"a": value, "bc": "d"}
    assert type(parse_headers(block)["a"]) is type(value)


@pytest.mark.parametrize(("wire", "value"), VALUES)
def test_a_header_cut_anywhere_is_an_error(wire: bytes, value: object) -> None:
    block = b"\x01a" + wire
    for end in range(1, len(block)):
        with pytest.raises(ValueError, match="header"):
            parse_headers(block[:end])


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (b"\x01a\x0a", "unknown type 10"),
        (b"\x01a\x07\x00\x01\xff", "not UTF-8"),
        (b"\x01\xff\x00", "not UTF-8"),
    ],
)
def test_headers_that_mean_nothing(block: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        MessageDecoder().feed(framed(block))


@pytest.mark.parametrize(
    ("headers", "problem"),
    [
        ({"": "x"}, "name"),
        ({"n" * 256: "x"}, "name"),
        ({"a": "x" * 65_536}, "too large"),
        ({"a": 2**63}, "too large"),
        ({f"h{number}": "x" * 60_000 for number in range(3)}, "exceed"),
    ],
)
def test_headers_that_do_not_fit(headers: dict[str, str | int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        render_headers(headers)


@given(st.lists(messages, max_size=6), st.lists(st.integers(1, 40), min_size=1, max_size=10))
@example([Message({}, b"")], [1])
def test_any_cutting_gives_the_same_messages(sent: list[Message], sizes: list[int]) -> None:
    data = b"".join(rendered(message) for message in sent)
    decoder, got, at, turn = MessageDecoder(), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        got += decoder.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert got == sent
    assert decoder.end() == b""


@given(messages, st.data())
def test_a_changed_byte_is_an_error_or_waits_for_more(message: Message, data: st.DataObject) -> None:
    whole = bytearray(rendered(message))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    decoder = MessageDecoder()
    with pytest.raises(ValueError, match="message"):
        decoder.feed(bytes(whole))
    with pytest.raises(ValueError, match="message"):
        decoder.feed(rendered(message))


@given(st.binary(max_size=300))
def test_noise_never_does_worse_than_a_value_error(noise: bytes) -> None:
    with suppress(ValueError):
        MessageDecoder().feed(noise)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (framed(b"", total=15), "exceed the message"),
        (framed(b"", headers_length=1), "exceed the message"),
        (framed(b"", total=MAX_MESSAGE_BYTES + 1), f"exceeds {MAX_MESSAGE_BYTES} bytes"),
        (framed(b"", total=2**31, headers_length=MAX_HEADERS_BYTES + 1), "exceeds"),
        (framed(b"", total=2**20, headers_length=MAX_HEADERS_BYTES + 1), "headers of a message exceed"),
    ],
)
def test_impossible_lengths_are_refused_at_the_prelude(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        MessageDecoder().feed(data[:12])


def test_the_bound_is_the_caller_s() -> None:
    small, large = framed(b"", b"x" * 84), framed(b"", b"x" * 85)
    assert len(MessageDecoder(100).feed(small)) == 1
    with pytest.raises(ValueError, match="exceeds 100 bytes"):
        MessageDecoder(100).feed(large)


def test_the_rest_of_an_unfinished_message_is_told() -> None:
    data = framed(b"", b"first") + framed(b"", b"second")[:-1]
    decoder = MessageDecoder()
    assert [message.payload for message in decoder.feed(data)] == [b"first"]
    assert decoder.end() == framed(b"", b"second")[:-1]
    assert decoder.end() == b""


def test_many_small_pieces_of_a_large_message_are_joined_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    data = framed(b"", b"x" * 200_000)
    decoder = MessageDecoder()
    reads: list[int] = []
    find_end = MessageBuffer._find_end

    def counted(self: MessageBuffer, held: bytes) -> int:
        reads.append(len(held))
        return find_end(self, held)

    monkeypatch.setattr(MessageBuffer, "_find_end", counted)
    got = [message for at in range(0, len(data), 7) for message in decoder.feed(data[at : at + 7])]
    assert [len(message.payload) for message in got] == [200_000]
    assert reads == [7, 14, len(data)]


@pytest.mark.parametrize("size", [1, 7, 64, 1_000])
def test_blocks_are_whole_messages_as_they_came(size: int) -> None:
    sent = [framed(b"", b"x" * length) for length in (0, 5, 100, 1, 300)]
    data = b"".join(sent) + sent[1][:-1]
    buffer = MessageBuffer()
    blocks = [buffer.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert [message for block in blocks for message in split_messages(block)] == sent
    assert buffer.end() == sent[1][:-1]


def test_a_block_is_not_cut_after_a_damaged_prelude() -> None:
    buffer = MessageBuffer()
    with pytest.raises(ValueError, match="prelude"):
        buffer.feed(framed(b"")[:8] + b"0000")
    with pytest.raises(ValueError, match="prelude"):
        buffer.feed(framed(b""))
