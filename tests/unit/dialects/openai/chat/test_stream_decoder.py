from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.openai.chat.answers import chunk, decode, stream

from gatewright.core.chat import Text
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import KEEP_ALIVE, Delta, Event, Failure, Finish, fold
from gatewright.dialects.openai.chat.stream_decoder import ChatDecoder

HELLO = stream(chunk({"content": "Hällo"}), chunk({"content": " \U0001f600"}), chunk({}, "stop"))


@pytest.mark.parametrize("size", [1, 7, 64])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_cuts_and_line_ends_change_nothing(size: int, line_end: bytes) -> None:
    data = HELLO.replace(b"\n", line_end)
    assert decode(data, size) == decode(HELLO)
    assert fold(decode(data)).choices[0].parts == (Text(text="Hällo \U0001f600"),)


def test_comments_keep_alive_and_names_of_events_are_ignored() -> None:
    decoder = ChatDecoder()
    assert decoder.feed(b": PROCESSING\n\n") == [KEEP_ALIVE]
    assert decoder.feed(b"event: chunk\nid: 1\n" + stream(chunk({"content": "a"}), done=False))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"data: ",
        stream(chunk({"content": "a"}), done=False),
        stream(chunk({"content": "a"}), done=False) + b'data: {"choices":[{"delta"',
        stream(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop"), done=False),
    ],
)
def test_what_breaks_off_is_a_failure(data: bytes) -> None:
    last = decode(data)[-1]
    assert isinstance(last, Failure)
    assert last.kind is Kind.UPSTREAM_CUT


@pytest.mark.parametrize(
    "data",
    [
        stream(chunk({"content": "a"}, "stop"), done=False),
        stream(chunk({"content": "a"}), chunk({}, "stop"), done=False) + b"data: [DONE]",
        stream(chunk({"content": "a"}), done=False) + b"data: [DONE]\n",
        stream(chunk({"content": "a"})),
        HELLO + b"data: {broken\n\n",
    ],
)
def test_what_is_complete_finishes_once(data: bytes) -> None:
    assert sum(isinstance(event, Finish) for event in decode(data)) == 1


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"data: [DONE]\n\n", Kind.UPSTREAM_BAD_RESPONSE),
        (b'event: error\ndata: {"error":{"message":"m","status_code":400}}\n\n', Kind.UPSTREAM_REJECTED),
        (b'event: error\ndata: {"choices":[]}\n\n', Kind.UPSTREAM_FAILED),
        (b'data: {"error":{"message":"m","code":503}}\n\n', Kind.UPSTREAM_OVERLOADED),
        (b'{"error":{"message":"m"}}', Kind.UPSTREAM_FAILED),
        (stream({"choices": [{"index": 0, "error": {"message": "m", "code": 502}}]}), Kind.UPSTREAM_FAILED),
    ],
)
def test_failures_end_everything(data: bytes, kind: Kind) -> None:
    events = decode(data + HELLO if data.endswith(b"\n") else data)
    assert isinstance(events[-1], Failure)
    assert events[-1].kind is kind
    assert sum(isinstance(event, Failure) for event in events) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"data: {broken\n\n",
        b"data: []\n\n",
        b'data: {"id":"x"}\n\n',
        b'data: {"choices":{}}\n\n',
        b'data: {"choices":[1]}\n\n',
        b'data: {"choices":[{"index":"a"}]}\n\n',
        b'data: {"choices":[{"delta":{"content":5}}]}\n\n',
        b'data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":1}}]}}]}\n\n',
        b"data: " + b"[" * 5000 + b"\n\n",
    ],
)
def test_what_no_client_could_read_is_a_bad_response(data: bytes) -> None:
    for before in (b"", stream(chunk({"content": "a"}), done=False)):
        with pytest.raises(GatewayError) as caught:
            decode(before + data)
        assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_halves_of_surrogate_pairs_are_mended() -> None:
    text = stream(chunk({"content": "a"}), chunk({"content": "X"}), chunk({}, "stop")).replace(b"X", b"\\ud83d")
    assert fold(decode(text)).choices[0].parts == (Text(text="a\ufffd"),)


_strings = st.fixed_dictionaries(
    {}, optional={name: st.text() for name in ("content", "reasoning_content", "reasoning", "refusal")}
)
_pieces = st.fixed_dictionaries(
    {
        "index": st.integers(0, 1),
        "function": st.fixed_dictionaries(
            {"arguments": st.sampled_from(["{", "}", "", "{}", None])},
            optional={"name": st.sampled_from(["f", "", None])},
        ),
    },
    optional={"id": st.sampled_from(["a", "b", "", None]), "type": st.sampled_from(["function", "custom", None])},
)
_deltas = _strings | st.lists(_pieces, min_size=1, max_size=2).map(
    lambda pieces: {"content": None, "tool_calls": pieces}
)


def _said(data: bytes) -> list[Event]:
    """The events between `Start` and `Finish`; empty members, which the long way keeps, are in the latter."""
    return [event for event in decode(data)[1:] if not isinstance(event, Finish)]


@settings(max_examples=150, deadline=None)
@given(st.lists(_deltas, max_size=8))
def test_the_quick_way_and_the_long_way_agree(deltas: list[dict[str, Any]]) -> None:
    plain = [chunk({"content": "a"}), *(chunk(delta) for delta in deltas)]
    # An `x_groq` without usage changes nothing but sends a chunk the long way.
    long = [{**item, "x_groq": {"id": 1}} for item in plain]
    assert _said(stream(*plain, chunk({}, "stop"))) == _said(stream(*long, chunk({}, "stop")))
    alone = ChatDecoder()
    pieces = [stream(item, done=False) for item in (*plain, chunk({}, "stop"))]
    assert [event for piece in pieces for event in alone.feed(piece)] + alone.end() == decode(b"".join(pieces))


def test_more_of_a_call_is_one_event() -> None:
    """Arguments of a call that has begun, with which most of a stream of calls is filled."""
    decoder = ChatDecoder()
    begin = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    decoder.feed(stream(chunk({"tool_calls": [begin]}), done=False))
    for text in ('{"a', '":1', "}"):
        more = chunk({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})
        assert decoder.feed(stream(more, done=False)) == [Delta(0, 0, text)]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=40), st.integers(min_value=0, max_value=len(HELLO)))
def test_broken_bytes_raise_nothing_else(noise: bytes, at: int) -> None:
    try:
        decode(HELLO[:at] + noise + HELLO[at:], 7)
    except GatewayError as error:
        if error.kind is not Kind.UPSTREAM_BAD_RESPONSE:
            raise


def test_an_event_without_end_is_refused() -> None:
    decoder = ChatDecoder()
    decoder.feed(b"data: " + b"x" * (15 * 1024 * 1024))
    with pytest.raises(GatewayError):
        decoder.feed(b"x" * (1024 * 1024))


def test_done_is_the_end() -> None:
    decoder = ChatDecoder()
    decoder.feed(HELLO)
    assert decoder.feed(stream(chunk({"content": "more"}))) == []
    assert decoder.end() == []
