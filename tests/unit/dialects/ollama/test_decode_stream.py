from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Delta, Event, Failure, Finish, PartBegin, PartEnd, UsageReport, fold
from gatewright.dialects.ollama.decode_stream import StreamDecoder
from gatewright.dialects.ollama.response import decode_response

MOMENT = "2025-10-17T23:14:07.414671Z"
CUTS = (1, 7, 64, 1_000_000)


def line(message: dict[str, Any], **members: Any) -> bytes:
    whole = {"model": "m", "created_at": MOMENT, "message": {"role": "assistant", **message}, "done": False, **members}
    return msgspec.json.encode(whole) + b"\n"


END = {"done": True, "done_reason": "stop", "eval_count": 5, "prompt_eval_count": 3, "total_duration": 9}
CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
STREAM = [
    line({"content": "", "thinking": "H"}),
    line({"content": "", "thinking": "m."}),
    line({"content": "See"}),
    line({"content": " é\u2028\\"}, logprobs=[{"token": "x", "logprob": -1.0}]),
    line({"content": "", "tool_calls": [CALL, CALL]}),
    line({"content": "", "images": ["iVBORw0KGgo="]}),
    line({"content": "", "new": 1}, **END, extra=[1]),
]
COMPLETE = {
    "model": "m",
    "created_at": MOMENT,
    "message": {
        "role": "assistant",
        "thinking": "Hm.",
        "content": "See é\u2028\\",
        "tool_calls": [CALL, CALL],
        "new": 1,
    },
    "logprobs": [{"token": "x", "logprob": -1.0}],
    **END,
    "extra": [1],
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
    data = b"".join(piece for piece in STREAM if b"images" not in piece)
    whole = decode(data)
    assert [size for size in CUTS if decode(data, size) != whole] == []
    assert fold(whole) == decode_response(msgspec.json.encode(COMPLETE))
    assert decode(data.replace(b"\n", b"\r\n")) == whole
    assert decode(data.rstrip()) == whole
    assert decode(b"\n" + data + b"\n\n") == whole


def test_parts_begin_and_end_in_order() -> None:
    events = decode(b"".join(STREAM))
    kinds = [type(event) for event in events if isinstance(event, PartBegin | PartEnd | Finish | UsageReport)]
    assert kinds == [PartBegin, PartEnd] * 5 + [Finish, UsageReport]
    assert [event.part for event in events if isinstance(event, PartBegin)] == [0, 1, 2, 3, 4]
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "Hm.See é\u2028\\"
    assert [event.reason for event in events if isinstance(event, Finish)] == ["tool_calls"]


@pytest.mark.parametrize("length", [0, 1, len(STREAM[0]) - 1, len(STREAM[0]), len(b"".join(STREAM)) - 2])
def test_streams_that_are_cut(length: int) -> None:
    events = decode(b"".join(STREAM)[:length])
    assert isinstance(events[-1], Failure)
    assert events[-1].kind is Kind.UPSTREAM_CUT
    assert not any(isinstance(event, Finish) for event in events)


def test_a_failure_ends_the_stream() -> None:
    decoder = StreamDecoder()
    events = decoder.feed(STREAM[0] + b'{"error":"model runner has stopped"}\n' + STREAM[-1])
    assert events[-1] == Failure(kind=Kind.UPSTREAM_FAILED, message="model runner has stopped")
    assert decoder.feed(STREAM[-1]) == []
    assert decoder.end() == []


def test_nothing_follows_the_end() -> None:
    assert decode(STREAM[0] + STREAM[-1] + STREAM[0]) == decode(STREAM[0] + STREAM[-1])


def test_halves_of_surrogates_are_mended() -> None:
    found = fold(decode(STREAM[0] + line({"content": "X"}).replace(b'"X"', b'"\\ud83d"') + STREAM[-1]))
    assert getattr(found.choices[0].parts[1], "text", None) == "\ufffd"


@pytest.mark.parametrize("data", [b"{\n", b"[]\n", b'{"message":7}\n', b"\xff\n", b'{"done":1}\n', b"hello\n"])
def test_lines_nobody_could_read(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        StreamDecoder().feed(data)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_a_line_without_end_is_refused() -> None:
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
