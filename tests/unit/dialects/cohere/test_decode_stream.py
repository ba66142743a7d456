from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.chat import Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    Delta,
    Event,
    Failure,
    Finish,
    PartBegin,
    PartEnd,
    Start,
    UsageReport,
    fold,
)
from gatewright.dialects.cohere.decode_stream import StreamDecoder
from gatewright.dialects.cohere.response import decode_response

CUTS = (1, 7, 64, 1_000_000)
USAGE = {"billed_units": {"input_tokens": 3}, "tokens": {"input_tokens": 30, "output_tokens": 5}}


def event(type_: str, delta: dict[str, Any] | None = None, **members: Any) -> bytes:
    body: dict[str, Any] = {"type": type_, **members}
    if delta is not None:
        body["delta"] = delta
    return b"event: " + type_.encode() + b"\ndata: " + msgspec.json.encode(body) + b"\n\n"


def message(**members: Any) -> dict[str, Any]:
    return {"message": members}


def call(arguments: str) -> dict[str, Any]:
    return {"id": "f_1", "type": "function", "function": {"name": "f", "arguments": arguments}}


def citation(**members: Any) -> dict[str, Any]:
    return {"start": 0, "end": 3, "text": "See", "sources": [], **members}


BEGIN = event("message-start", message(role="assistant", content=[], tool_plan="", tool_calls=[]), id="a1")
END = event("message-end", {"finish_reason": "COMPLETE", "usage": USAGE})
TEXT = [
    event("content-start", message(content={"type": "text", "text": ""}), index=1),
    event("content-delta", message(content={"text": "See"}), index=1),
    event("content-delta", message(content={"text": ' é\u2028\\ "data:'}), index=1),
]
STREAM = [
    BEGIN,
    event("tool-plan-delta", message(tool_plan="I ")),
    event("tool-plan-delta", message(tool_plan="will.")),
    event("content-start", message(content={"type": "thinking", "thinking": ""}), index=0),
    event("content-delta", message(content={"thinking": "Hm"}), index=0),
    event("content-delta", message(content={"thinking": "."}), index=0),
    event("content-end", index=0),
    *TEXT,
    event("citation-start", message(citations=citation(content_index=1)), index=0),
    event("citation-end", index=0),
    event("content-end", index=1),
    event("citation-start", message(citations=citation(type="PLAN")), index=1),
    event("tool-call-start", message(tool_calls=call("")), index=0),
    event("tool-call-delta", message(tool_calls={"function": {"arguments": '{"a"'}}), index=0),
    event("tool-call-delta", message(tool_calls={"function": {"arguments": ":1}"}}), index=0),
    event("tool-call-end", index=0),
    END,
    b"data: [DONE]\n\n",
]
COMPLETE = {
    "id": "a1",
    "message": {
        "role": "assistant",
        "tool_plan": "I will.",
        "content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": 'See é\u2028\\ "data:'}],
        "citations": [citation(content_index=1), citation(type="PLAN")],
        "tool_calls": [call('{"a":1}')],
    },
    "finish_reason": "COMPLETE",
    "usage": USAGE,
}


def decode(data: bytes, size: int = 1_000_000) -> list[Event]:
    decoder = StreamDecoder()
    events = [event for start in range(0, len(data), size) for event in decoder.feed(data[start : start + size])]
    return events + decoder.end()


def trouble(data: bytes) -> Kind | None:
    """The kind of what `data` raises."""
    try:
        decode(data, 50)
    except GatewayError as error:
        return error.kind
    return None


def test_streams_are_their_answers_however_they_are_cut() -> None:
    data = b"".join(STREAM)
    whole = decode(data)
    assert [size for size in CUTS if decode(data, size) != whole] == []
    assert fold(whole) == decode_response(msgspec.json.encode(COMPLETE))
    assert decode(data.replace(b"\n", b"\r\n")) == whole
    assert (
        decode(b"".join(piece.partition(b"\n")[2] if piece.startswith(b"event") else piece for piece in STREAM))
        == whole
    )
    assert decode(b"".join(STREAM[:-1]).rstrip()) == whole


def test_parts_begin_and_end_in_order() -> None:
    events = decode(b"".join(STREAM))
    assert isinstance(events[0], Start)
    kinds = [type(found) for found in events if isinstance(found, PartBegin | PartEnd | Finish | UsageReport)]
    assert kinds == [PartBegin, PartEnd] * 4 + [UsageReport, Finish]
    assert [found.part for found in events if isinstance(found, PartBegin)] == [0, 1, 2, 3]
    assert [found.reason for found in events if isinstance(found, Finish)] == ["tool_calls"]


@pytest.mark.parametrize(
    ("start", "pieces", "arguments"),
    [
        ("", [], "{}"),
        ("", ["null"], "{}"),
        ("", ["n", "u", "ll"], "{}"),
        ("null", [], "{}"),
        ("", ["", "{", "}"], "{}"),
        ('{"a"', [":1}"], '{"a":1}'),
        ("", ["n", "ot json"], "not json"),
    ],
)
def test_arguments(start: str, pieces: list[str], arguments: str) -> None:
    deltas = [event("tool-call-delta", message(tool_calls={"function": {"arguments": piece}})) for piece in pieces]
    data = BEGIN + event("tool-call-start", message(tool_calls=call(start))) + b"".join(deltas) + END
    (part,) = fold(decode(data)).choices[0].parts
    assert isinstance(part, ToolCall)
    assert part.arguments == arguments


@pytest.mark.parametrize(
    "length", [0, 1, len(BEGIN), len(BEGIN) + 3, sum(map(len, STREAM[:-2])), sum(map(len, STREAM[:-2])) + 9]
)
def test_streams_that_are_cut(length: int) -> None:
    events = decode(b"".join(STREAM)[:length])
    assert isinstance(events[-1], Failure)
    assert events[-1].kind is Kind.UPSTREAM_CUT
    assert not any(isinstance(found, Finish) for found in events)


def test_a_rest_that_is_nested_too_deeply_is_cut() -> None:
    (failure,) = decode(b"data: " + b"[" * 100_000)
    assert isinstance(failure, Failure)
    assert failure.kind is Kind.UPSTREAM_CUT


@pytest.mark.parametrize(
    ("end", "failure"),
    [
        (
            event("message-end", {"finish_reason": "ERROR", "error": "no capacity"}),
            Failure(kind=Kind.UPSTREAM_FAILED, message="no capacity", code="ERROR"),
        ),
        (
            event("message-end", {"finish_reason": "TIMEOUT"}),
            Failure(kind=Kind.UPSTREAM_TIMEOUT, message="it ended with TIMEOUT", code="TIMEOUT"),
        ),
        (
            b'data: {"id":"a","message":"internal server error"}\n\n',
            Failure(kind=Kind.UPSTREAM_FAILED, message="internal server error"),
        ),
    ],
)
def test_a_failure_ends_the_stream(end: bytes, failure: Failure) -> None:
    decoder = StreamDecoder()
    events = decoder.feed(BEGIN + b"".join(TEXT) + end + END)
    assert events[-1] == failure
    assert not any(isinstance(found, Finish) for found in events)
    assert decoder.feed(END) == []
    assert decoder.end() == []


def test_comments_and_unknown_events() -> None:
    data = BEGIN + b": ping\n\n" + event("debug", prompt="x") + b'data: {"new":1}\n\n' + b"id: 1\n\n" + END
    events = decode(data)
    assert [type(found) for found in events] == [Start, type(KEEP_ALIVE), UsageReport, Finish]


def test_contents_without_a_beginning_are_begun() -> None:
    data = BEGIN + TEXT[1] + event("content-delta", message(content={"thinking": "t"}), index=2) + END
    parts = fold(decode(data)).choices[0].parts
    assert [getattr(part, "text", None) for part in parts] == ["See", "t"]
    assert isinstance(parts[0], Text)


def test_log_probabilities_are_kept() -> None:
    item = {"text": "See", "token_ids": [7], "logprobs": [-0.5]}
    data = BEGIN + TEXT[0] + event("content-delta", message(content={"text": "See"}), index=1, logprobs=item) + END
    complete = COMPLETE | {"message": {"content": [{"type": "text", "text": "See"}]}, "logprobs": [item]}
    assert fold(decode(data)) == decode_response(msgspec.json.encode(complete))


def test_halves_of_surrogates_are_mended() -> None:
    data = BEGIN + TEXT[0] + TEXT[1].replace(b'"See"', b'"\\ud83d"') + END
    assert [found.text for found in decode(data) if isinstance(found, Delta)] == ["\ufffd"]


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: hello\n\n",
        b"data: \xff\n\n",
        b'data: {"type":7}\n\n',
        event("content-delta", message(content={"text": 7}), index=0),
        event("content-start", message(content=[]), index=0),
        event("tool-call-start", message(tool_calls={}), index=0),
        event("citation-start", message(citations=7)),
        event("message-end", {"finish_reason": 7}),
        event("content-delta", {"message": 7}),
        event("tool-plan-delta", message(tool_plan=7)),
    ],
)
def test_events_nobody_could_read(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        StreamDecoder().feed(data)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_an_event_without_end_is_refused() -> None:
    decoder = StreamDecoder()
    piece = b"x" * 1024 * 1024
    for _ in range(16):
        assert decoder.feed(piece) == []
    with pytest.raises(GatewayError):
        decoder.feed(piece)


@settings(max_examples=200, derandomize=True)
@given(st.data())
def test_damage_raises_nothing_else(data: st.DataObject) -> None:
    whole = bytearray(b"".join(STREAM))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at : at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=4))
    assert trouble(bytes(whole)) in (None, Kind.UPSTREAM_BAD_RESPONSE)
