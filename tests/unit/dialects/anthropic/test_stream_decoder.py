"""Streams read event by event, however they are cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gatewright.core.chat import Extension, Native, Opaque, Part, Reasoning, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    Delta,
    Event,
    Failure,
    Finish,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
    fold,
)
from gatewright.core.usage import Usage
from gatewright.dialects.anthropic.response import decode_response
from gatewright.dialects.anthropic.stream_decoder import MAX_EVENT_BYTES, StreamDecoder
from gatewright.dialects.anthropic.vocabulary import JSON_TOOL, NAME

CUTS = (1, 7, 64, 1_000_000)
START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 2, "output_tokens": 1, "service_tier": "standard"},
    },
}
STOP: dict[str, Any] = {"type": "message_stop"}
PING: dict[str, Any] = {"type": "ping"}


def sse(*events: dict[str, Any]) -> bytes:
    """Events as the vendor writes them, with blanks behind the JSON."""
    return b"".join(
        b"event: %b\ndata: %b   \n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *[{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas],
        {"type": "content_block_stop", "index": index},
    ]


def delta(stop_reason: str | None = "end_turn", **members: Any) -> dict[str, Any]:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
        "usage": {"output_tokens": 9},
    } | members


def text(words: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": words}


def json_delta(piece: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": piece}


def read(data: bytes, size: int = 1_000_000) -> list[Event]:
    decoder = StreamDecoder()
    events: list[Event] = []
    for at in range(0, len(data), size):
        events += decoder.feed(data[at : at + size])
    return events + decoder.end()


HELLO = block(0, {"type": "text", "text": ""}, text("Hel"), text("lo é"))
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "u"}]}
LOCATION = {"type": "char_location", "cited_text": "q", "document_index": 0}
EVERYTHING = sse(
    START,
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "h"},
        {"type": "thinking_delta", "thinking": "m"},
        {"type": "signature_delta", "signature": "Eq"},
    ),
    PING,
    *block(1, {"type": "redacted_thinking", "data": "Em"}),
    *block(2, SEARCH, json_delta(""), json_delta('{"qu'), json_delta('ery":"x"}')),
    *block(3, FOUND),
    *block(
        4, {"type": "text", "text": "", "citations": []}, text("so"), {"type": "citations_delta", "citation": LOCATION}
    ),
    *block(5, CALL, json_delta(""), json_delta('{"a":'), json_delta("1}")),
    *block(6, {**CALL, "id": "toolu_2", "caller": {"type": "direct"}}, json_delta("")),
    *block(7, {"type": "compaction", "content": None}, {"type": "compaction_delta", "content": "short"}),
    delta("tool_use", context_management={"applied_edits": []}),
    STOP,
)
COMPLETE = {
    **START["message"],
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "Eq"},
        {"type": "redacted_thinking", "data": "Em"},
        {**SEARCH, "input": {"query": "x"}},
        FOUND,
        {"type": "text", "text": "so", "citations": [LOCATION]},
        {**CALL, "input": {"a": 1}},
        {**CALL, "id": "toolu_2", "caller": {"type": "direct"}},
        {"type": "compaction", "content": "short"},
    ],
    "stop_reason": "tool_use",
    "context_management": {"applied_edits": []},
    "usage": {**START["message"]["usage"], "output_tokens": 9},
}


def test_a_plain_answer_event_by_event() -> None:
    usage = Usage(input_total=7, input_cached_read=2, output_total=1, service="prices")
    extra = Extension(NAME, {"service_tier": Raw(b'"standard"')})
    assert read(sse(START, PING, *HELLO, delta(), STOP)) == [
        Start(id="msg_1", model="claude"),
        UsageReport(usage=usage, extra=extra),
        KEEP_ALIVE,
        PartBegin(0, 0, Text(text="")),
        Delta(0, 0, "Hel"),
        Delta(0, 0, "lo é"),
        PartEnd(0, 0),
        UsageReport(usage=replace(usage, output_total=9), extra=extra),
        Finish(reason="stop", native="end_turn", dialect=NAME),
    ]


@pytest.mark.parametrize("size", CUTS)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_any_cutting_gives_the_same(size: int, end: bytes) -> None:
    data = EVERYTHING.replace(b"\n", end)
    events = read(data, size)
    assert events == read(EVERYTHING)
    assert fold(events) == decode_response(msgspec.json.encode(COMPLETE))


def test_events_without_names_and_with_comments_are_read() -> None:
    bare = EVERYTHING.replace(b"event: ping\n", b": comment\nid: 7\n").replace(b"event: message_stop\n", b"")
    assert read(b": hello\n\n" + bare) == read(EVERYTHING)


@pytest.mark.parametrize(
    ("start", "deltas", "arguments"),
    [
        (CALL, [], "{}"),
        (CALL, [json_delta("")], "{}"),
        (CALL, [json_delta('{"a":1}')], '{"a":1}'),
        ({**CALL, "input": {"a": 1}}, [], '{"a":1}'),
        ({**CALL, "input": {"a": 1}}, [json_delta('{"b":2}')], '{"b":2}'),
        (CALL, [json_delta('{"cut')], '{"cut'),
    ],
)
def test_arguments_of_calls(start: dict[str, Any], deltas: list[dict[str, Any]], arguments: str) -> None:
    response = fold(read(sse(START, *block(0, start, *deltas), delta("tool_use"), STOP)))
    assert response.choices[0].parts == (ToolCall(id="toolu_1", name="f", arguments=arguments),)


def test_the_stand_ins_call_is_the_answer() -> None:
    call = block(0, {**CALL, "name": JSON_TOOL}, json_delta('{"a":'), json_delta("1}"))
    response = fold(read(sse(START, *call, delta("tool_use"), STOP)))
    assert response.choices[0].parts == (Text(text='{"a":1}'),)
    assert response.choices[0].finish == Finish(reason="stop")


def test_withheld_thoughts_keep_their_signature() -> None:
    thinking = block(0, {"type": "thinking", "thinking": "", "signature": "Eq"})
    assert read(sse(START, *thinking, delta(), STOP))[2] == PartBegin(0, 0, Reasoning(signature=Opaque(NAME, "Eq")))
    signed = block(0, {"type": "thinking", "thinking": ""}, {"type": "signature_delta", "signature": "Eq"})
    assert SignatureDelta(0, 0, Opaque(NAME, "Eq")) in read(sse(START, *signed, delta(), STOP))


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [("pause_turn", "pause"), ("refusal", "content_filter"), ("max_tokens", "length"), ("new", "stop"), (None, "stop")],
)
def test_ends(stop_reason: str | None, reason: str) -> None:
    details = {"stop_reason": stop_reason, "stop_sequence": None, "stop_details": {"type": "refusal", "category": None}}
    finish = read(sse(START, delta(delta=details), STOP))[-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.native) == (reason, stop_reason)
    assert finish.extra is not None
    assert set(finish.extra.members) == {"stop_details"}


def test_a_stop_sequence_is_told() -> None:
    words = {"stop_reason": "stop_sequence", "stop_sequence": "###"}
    finish = read(sse(START, delta(delta=words), STOP))[-1]
    assert finish == Finish(reason="stop", native="stop_sequence", dialect=NAME, stop_sequence="###")


def test_content_told_at_the_start_is_kept() -> None:
    message = START["message"] | {"content": [{"type": "text", "text": "a"}, {**CALL, "input": {"n": 1}}, FOUND]}
    response = fold(read(sse({"type": "message_start", "message": message}, delta("tool_use"), STOP)))
    assert response.choices[0].parts == (
        Text(text="a"),
        ToolCall(id="toolu_1", name="f", arguments='{"n":1}'),
        Native(dialect=NAME, kind="web_search_tool_result", raw=Raw(msgspec.json.encode(FOUND))),
    )


def test_a_cut_input_of_a_hosted_tool_is_kept_as_words() -> None:
    response = fold(read(sse(START, *block(0, SEARCH, json_delta('{"qu')), delta("max_tokens"), STOP)))
    [part] = response.choices[0].parts
    assert isinstance(part, Native)
    assert msgspec.json.decode(part.raw)["input"] == {"_raw": '{"qu'}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        sse(START),
        sse(START, *HELLO),
        sse(START, *HELLO, delta()),
        sse(START, *HELLO, delta(), STOP)[:-1],
    ],
)
def test_an_answer_without_its_end_is_cut(data: bytes) -> None:
    events = read(data)
    assert isinstance(events[-1], Failure)
    assert events[-1].kind is Kind.UPSTREAM_CUT
    assert not [event for event in events if isinstance(event, Finish)]


def test_errors_end_the_answer() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    for size in CUTS:
        events = read(sse(START, *HELLO, error, delta(), STOP), size)
        assert events[-1] == Failure(kind=Kind.UPSTREAM_OVERLOADED, message="Overloaded", code="overloaded_error")
    google = b'data: {"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED"}}\n\n'
    failure = read(sse(START) + google)[-1]
    assert isinstance(failure, Failure)
    assert failure.message == "Quota"


def test_a_start_sent_twice_counts_once() -> None:
    assert read(sse(START, START, *HELLO, delta(), STOP)) == read(sse(START, *HELLO, delta(), STOP))


def test_another_answer_inside_this_one_is_a_failure() -> None:
    other = {"type": "message_start", "message": START["message"] | {"id": "msg_2"}}
    failure = read(sse(START, *HELLO, other, *HELLO, delta(), STOP))[-1]
    assert isinstance(failure, Failure)
    assert failure.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_nothing_is_read_after_the_end() -> None:
    whole = sse(START, *HELLO, delta(), STOP)
    assert read(whole + whole + b"data: {\n\n") == read(whole)
    decoder = StreamDecoder()
    decoder.feed(whole)
    assert decoder.feed(whole) == []


def test_what_is_not_known_is_ignored() -> None:
    unknown = {"type": "a_new_event", "index": 3, "x": 1}
    strange = {"type": "content_block_delta", "index": 0, "delta": {"type": "a_new_delta", "x": 1}}
    stray = {"type": "content_block_stop", "index": 9}
    data = sse(START, unknown, HELLO[0], strange, *HELLO[1:], stray, delta(), STOP)
    assert read(data + b"data: [DONE]\n\n") == read(sse(START, *HELLO, delta(), STOP))


def test_blocks_left_open_are_ended() -> None:
    events = read(sse(START, *HELLO[:-1], delta(), STOP))
    assert events == [
        *read(sse(START, *HELLO, delta(), STOP))[:5],
        events[5],
        PartEnd(0, 0),
        Finish(reason="stop", native="end_turn", dialect=NAME),
    ]
    again = read(sse(START, *HELLO[:-1], *block(0, CALL), delta("tool_use"), STOP))
    assert [type(part) for part in fold(again).choices[0].parts] == [Text, ToolCall]


def test_half_of_a_surrogate_pair_is_replaced() -> None:
    data = sse(START, *HELLO, delta(), STOP).replace(b"Hel", b"\\ud83d")
    assert fold(read(data)).choices[0].parts == (Text(text="\ufffdlo é"),)


@pytest.mark.parametrize(
    "event",
    [
        b"data: {\n\n",
        b"data: 7\n\n",
        b'data: {"type":7}\n\n',
        b'data: {"type":"message_start"}\n\n',
        b'data: {"type":"message_start","message":[]}\n\n',
        b'data: {"type":"content_block_start","index":0}\n\n',
        b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text"}}\n\n',
        b'data: {"type":"content_block_delta","index":5,"delta":{"type":"text_delta","text":"x"}}\n\n',
        b'data: {"type":"content_block_delta","index":"0"}\n\n',
        b'data: {"type":"message_delta","delta":{"stop_reason":7}}\n\n',
        b"data: \xff\n\n",
    ],
)
def test_what_no_client_could_read(event: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        StreamDecoder().feed(event)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_an_event_without_end_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        StreamDecoder().feed(b"x" * (MAX_EVENT_BYTES + 1))
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


@settings(max_examples=200, derandomize=True)
@given(at=st.integers(0, len(EVERYTHING)), gone=st.integers(0, 40), junk=st.binary(max_size=6))
def test_no_stream_is_too_odd(at: int, gone: int, junk: bytes) -> None:
    caught = None
    events: list[Event] = []
    try:
        events = read(EVERYTHING[:at] + junk + EVERYTHING[at + gone :], 64)
    except GatewayError as error:
        caught = error
    assert caught is None or caught.kind is Kind.UPSTREAM_BAD_RESPONSE
    fold(events)


def test_parts_have_the_types_of_their_blocks() -> None:
    parts: tuple[Part, ...] = fold(read(EVERYTHING)).choices[0].parts
    assert [type(part).__name__ for part in parts] == [
        "Reasoning",
        "Reasoning",
        "Native",
        "Native",
        "Text",
        "ToolCall",
        "ToolCall",
        "Native",
    ]
