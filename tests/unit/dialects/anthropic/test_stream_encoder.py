"""Streams written from the events of any decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    ChatRequest,
    Citation,
    Extension,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
)
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    AudioDelta,
    ChatResponse,
    Choice,
    CitationDelta,
    Delta,
    Event,
    Finish,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    UsageReport,
    fold,
    unfold,
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.anthropic.response import encode_response
from gatewright.dialects.anthropic.stream_decoder import StreamDecoder
from gatewright.dialects.anthropic.stream_encoder import StreamEncoder
from gatewright.dialects.anthropic.vocabulary import NAME

START = Start(id="msg_1", model="claude")
STOP = Finish(reason="stop")
CALLED = Finish(reason="tool_calls")
FOREIGN = Opaque("openai.responses", "enc")


def context(report: LossReport | None = None) -> StreamContext:
    request = ChatRequest(model="published", messages=())
    return StreamContext(request=request, response_id="msg_made", created=0, report=report or LossReport("strict"))


def write(events: Sequence[Event], report: LossReport | None = None) -> list[dict[str, Any]]:
    """The events on the wire; their names are those of their types."""
    encoder = StreamEncoder(context(report))
    data = b"".join([encoder.encode([event]) for event in events]) + encoder.end()
    return parse(data)


def parse(data: bytes) -> list[dict[str, Any]]:
    found = []
    for event in data.removesuffix(b"\n\n").split(b"\n\n"):
        name, payload = event.split(b"\n")
        document = msgspec.json.decode(payload.removeprefix(b"data: "))
        assert name == b"event: " + document["type"].encode()
        found.append(document)
    return found


def inner(events: Sequence[Event], report: LossReport | None = None) -> list[Any]:
    """Blocks in short: what begins, what is added, `.` for an end."""
    short: list[Any] = []
    for event in write(events, report):
        match event["type"]:
            case "content_block_start":
                short.append((event["index"], event["content_block"]))
            case "content_block_delta":
                short.append(next(value for name, value in event["delta"].items() if name != "type"))
            case "content_block_stop":
                short.append(".")
    return short


def part(content: Part, *deltas: str, number: int = 0) -> list[Event]:
    return [PartBegin(0, number, content), *[Delta(0, number, piece) for piece in deltas], PartEnd(0, number)]


def text_block(index: int) -> tuple[int, dict[str, Any]]:
    return index, {"type": "text", "text": ""}


def thinking_block(index: int) -> tuple[int, dict[str, Any]]:
    return index, {"type": "thinking", "thinking": "", "signature": ""}


def call_block(index: int, ident: str = "t") -> tuple[int, dict[str, Any]]:
    return index, {"type": "tool_use", "id": ident, "name": "f", "input": {}}


def test_a_plain_answer() -> None:
    usage = Usage(input_total=9, input_cached_read=4, output_total=3, output_reasoning=1)
    assert write([START, *part(Text(text=""), "Hel", "lo"), STOP, UsageReport(usage=usage)]) == [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": {
                    "input_tokens": 0,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "output_tokens": 0,
                },
            },
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {
                "input_tokens": 5,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 4,
                "output_tokens": 3,
                "output_tokens_details": {"thinking_tokens": 1},
            },
        },
        {"type": "message_stop"},
    ]


def test_usage_known_at_the_start_is_told_there() -> None:
    encoder = StreamEncoder(context())
    usage = UsageReport(usage=Usage(input_total=9), extra=Extension(NAME, {"service_tier": Raw(b'"standard"')}))
    [start] = parse(encoder.encode([START, usage]))
    assert start["message"]["usage"]["input_tokens"] == 9
    assert start["message"]["usage"]["service_tier"] == "standard"
    last = parse(encoder.encode([STOP]) + encoder.end())[0]
    assert last["usage"].keys() == {
        "input_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens",
    }


BLOCKS: list[tuple[list[Event], list[Any]]] = [
    (part(Text(text="")), []),
    (part(Text(text="whole")), [text_block(0), "whole", "."]),
    (part(Text(text="be"), "gun"), [text_block(0), "be", "gun", "."]),
    (
        [*part(Text(text="")), *part(ToolCall(id="t", name="f", arguments=""), '{"a"', ":1}", number=1)],
        [call_block(0), '{"a"', ":1}", "."],
    ),
    (part(ToolCall(id="t", name="f", arguments='{"a":1}')), [call_block(0), '{"a":1}', "."]),
    (part(ToolCall(id="t", name="f", arguments="")), [call_block(0), "", "."]),
    (part(ToolCall(id="t", name="f", arguments=""), "{}"), [call_block(0), "{}", "."]),
    (
        [
            *part(Text(text="a")),
            *part(ToolCall(id="t", name="f", arguments="{}"), number=1),
            *part(Text(text="b"), number=2),
        ],
        [text_block(0), "a", ".", call_block(1), "{}", ".", text_block(2), "b", "."],
    ),
    (
        part(ToolCall(id="t", name="f", arguments="", is_custom=True), 'say "', 'hi"\n'),
        [call_block(0), '{"input":"', 'say \\"', 'hi\\"\\n', '"}', "."],
    ),
    (part(Reasoning(text=""), "h", "m"), [thinking_block(0), "h", "m", "."]),
    (part(Reasoning(text="")), []),
    (
        [
            PartBegin(0, 0, Reasoning(text="")),
            Delta(0, 0, "hm"),
            SignatureDelta(0, 0, Opaque(NAME, "E")),
            SignatureDelta(0, 0, Opaque(NAME, "q")),
            PartEnd(0, 0),
        ],
        [thinking_block(0), "hm", "Eq", "."],
    ),
    (
        [PartBegin(0, 0, Reasoning(text="")), SignatureDelta(0, 0, Opaque(NAME, "Eq")), PartEnd(0, 0)],
        [thinking_block(0), "Eq", "."],
    ),
    (part(Reasoning(encrypted=Opaque(NAME, "Em"))), [(0, {"type": "redacted_thinking", "data": "Em"}), "."]),
    (
        part(Reasoning(encrypted=FOREIGN, id="rs_1")),
        [(0, {"type": "redacted_thinking", "data": "gatewright.openai.responses@sealed/rs_1:enc"}), "."],
    ),
    (
        part(Reasoning(encrypted=FOREIGN, is_summary=True), "in short"),
        [thinking_block(0), "in short", "gatewright.openai.responses@summary:enc", "."],
    ),
    (
        part(Native(dialect=NAME, kind="server_tool_use", raw=Raw(b'{"type":"server_tool_use","input":{"q":1}}'))),
        [(0, {"type": "server_tool_use", "input": {}}), '{"q":1}', "."],
    ),
    (
        part(Native(dialect=NAME, kind="web_search_tool_result", raw=Raw(b'{"type":"web_search_tool_result"}'))),
        [(0, {"type": "web_search_tool_result"}), "."],
    ),
    (
        [PartBegin(0, 0, Text(text="x")), CitationDelta(0, 0, Citation(url="https://a")), PartEnd(0, 0)],
        [
            text_block(0),
            "x",
            {
                "type": "web_search_result_location",
                "url": "https://a",
                "title": None,
                "cited_text": "",
                "encrypted_index": "",
            },
            ".",
        ],
    ),
    (
        part(ToolCall(id="t", name="f", arguments="{}", extra=Extension(NAME, {"caller": Raw(b"1")}))),
        [(0, {**call_block(0)[1], "caller": 1}), "{}", "."],
    ),
]


@pytest.mark.parametrize(("events", "expected"), BLOCKS)
def test_blocks(events: list[Event], expected: list[Any]) -> None:
    assert inner([START, *events, STOP]) == expected
    encoder = StreamEncoder(context())
    at_once = encoder.encode([START, *events, STOP]) + encoder.end()
    assert parse(at_once) == write([START, *events, STOP])


@pytest.mark.parametrize(("events", "expected"), BLOCKS)
def test_stream_and_complete_answer_agree(events: list[Event], expected: list[Any]) -> None:
    whole = [START, *events, STOP]
    encoder = StreamEncoder(context())
    decoder = StreamDecoder()
    read = decoder.feed(b"".join([encoder.encode([event]) for event in whole]) + encoder.end())
    streamed = msgspec.json.decode(encode_response(fold(read), context()))
    complete = msgspec.json.decode(encode_response(fold(whole), context()))
    assert streamed == complete


@pytest.mark.parametrize(
    ("content", "later", "expected", "told"),
    [
        (Refusal(text=""), Delta(0, 0, "no"), [text_block(0), "no", "."], Feature.REFUSAL),
        (
            Audio(source=Source(data="")),
            AudioDelta(0, 0, "xx", "said"),
            [text_block(0), "said", "."],
            Feature.MEDIA_OUTPUT,
        ),
        (Image(source=Source(data="x")), KEEP_ALIVE, [], Feature.MEDIA_OUTPUT),
        (Native(dialect="openai.responses", kind="k", raw=Raw(b"{}")), KEEP_ALIVE, [], Feature.NATIVE_TOOLS),
        (Text(text="x"), CitationDelta(0, 0, Citation(title="t")), [text_block(0), "x", "."], Feature.CITATIONS),
        (Text(text="x"), LogprobsDelta(0, ()), [text_block(0), "x", "."], Feature.LOGPROBS),
    ],
)
def test_what_has_no_place_is_told(content: Part, later: Event, expected: list[Any], told: Feature) -> None:
    report = LossReport("strict")
    assert inner([START, PartBegin(0, 0, content), later, PartEnd(0, 0), STOP], report) == expected
    assert [loss.feature for loss in report.entries] == [told]
    assert report.entries[0].outcome in (Outcome.DROPPED, Outcome.APPROXIMATED)


@pytest.mark.parametrize(
    ("finish", "members"),
    [
        (Finish(reason="stop", native="end_turn", dialect=NAME), {"stop_reason": "end_turn", "stop_sequence": None}),
        (Finish(reason="pause"), {"stop_reason": "pause_turn", "stop_sequence": None}),
        (Finish(reason="stop", stop_sequence="#"), {"stop_reason": "stop_sequence", "stop_sequence": "#"}),
        (
            Finish(
                reason="content_filter",
                native="refusal",
                dialect=NAME,
                extra=Extension(NAME, {"stop_details": Raw(b'{"type":"refusal"}')}),
            ),
            {"stop_reason": "refusal", "stop_sequence": None, "stop_details": {"type": "refusal"}},
        ),
    ],
)
def test_ends(finish: Finish, members: dict[str, Any]) -> None:
    assert write([START, finish])[-2]["delta"] == members


def test_a_call_is_what_stops_an_answer() -> None:
    call = part(ToolCall(id="t", name="f", arguments="{}"))
    assert write([START, *call, STOP])[-2]["delta"]["stop_reason"] == "tool_use"
    assert write([START, *call])[-2]["delta"]["stop_reason"] == "tool_use"


def test_members_beside_the_delta() -> None:
    extra = Extension(NAME, {"container": Raw(b'{"id":"c"}'), "context_management": Raw(b"{}")})
    event = write([START, Finish(reason="stop", extra=extra)])[-2]
    assert event["delta"]["container"] == {"id": "c"}
    assert event["context_management"] == {}


def test_what_is_missing_is_made() -> None:
    start = write([])[0]["message"]
    assert (start["id"], start["model"]) == ("msg_made", "published")
    assert [event["type"] for event in write([])] == ["message_start", "message_delta", "message_stop"]


def test_parts_left_open_are_closed() -> None:
    assert inner([START, PartBegin(0, 0, Text(text="x"))]) == [text_block(0), "x", "."]


def test_pings_and_other_choices() -> None:
    encoder = StreamEncoder(context())
    assert encoder.encode([KEEP_ALIVE]) == b'event: ping\ndata: {"type":"ping"}\n\n'
    assert inner([START, PartBegin(1, 0, Text(text="x")), Delta(1, 0, "y"), STOP]) == []


def test_a_failure_is_never_an_end() -> None:
    encoder = StreamEncoder(context())
    encoder.encode([START, *part(Text(text="x"))])
    [event] = parse(encoder.fail(GatewayError(Kind.UPSTREAM_OVERLOADED, "busy"), "req_1"))
    assert event == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "busy"},
        "request_id": "req_1",
    }


def test_a_complete_answer_streams() -> None:
    response = ChatResponse(
        id="x", model="m", choices=(Choice(parts=(Text(text="a"),), finish=CALLED),), usage=Usage(output_total=2)
    )
    assert [event["type"] for event in write(unfold(response))] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
