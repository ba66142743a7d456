from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Citation, Extension, Native, Opaque, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    CitationDelta,
    Delta,
    Event,
    Failure,
    Finish,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    TokenLogprob,
    UsageReport,
    fold,
)
from gatewright.core.loss import Feature, LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.cohere.decode_stream import StreamDecoder
from gatewright.dialects.cohere.encode_stream import StreamEncoder
from gatewright.dialects.cohere.names import NAME, PLAN
from gatewright.wire.sse import event_data, split_events


def context() -> StreamContext:
    request = ChatRequest(model="published", messages=())
    return StreamContext(request=request, response_id="r1", created=1_700_000_000, report=LossReport("strict"))


def written(*events: Event) -> tuple[list[dict[str, Any]], list[Feature]]:
    """The events between the first and the last, and what was lost."""
    around = context()
    encoder = StreamEncoder(around)
    data = b"".join(encoder.encode([event]) for event in (Start(id="a1", model="m"), *events)) + encoder.end()
    found = split_events(data)
    assert found.pop() == b"data: [DONE]\n\n"
    bodies = []
    for event in found:
        body = msgspec.json.decode(event_data(event))
        assert event.startswith(b"event: %b\n" % body["type"].encode())
        bodies.append(body)
    assert bodies[0]["type"] == "message-start"
    assert bodies[0]["id"] == "a1"
    assert bodies[-1]["type"] == "message-end"
    return bodies[1:], [loss.feature for loss in around.report.entries]


def in_short(bodies: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (body["type"], body.get("index"), *body.get("delta", {}).get("message", {}).values())
        for body in bodies
        if body["type"] != "message-end"
    ]


def test_a_stream_of_another_dialect() -> None:
    bodies, losses = written(
        PartBegin(0, 0, Reasoning(text="H")),
        Delta(0, 0, "m."),
        PartEnd(0, 0),
        PartBegin(0, 1, Text(text="")),
        Delta(0, 1, 'a "quoted"\n word'),
        Delta(0, 1, ""),
        PartEnd(0, 1),
        PartBegin(0, 2, ToolCall(id="t1", name="f", arguments='{"a"')),
        Delta(0, 2, ":1}"),
        PartEnd(0, 2),
        PartBegin(0, 3, ToolCall(id="t2", name="g", arguments="")),
        PartEnd(0, 3),
        UsageReport(usage=Usage(input_total=3, output_total=5)),
        Finish(reason="tool_calls", native="tool_use", dialect="x"),
    )
    assert losses == []
    counts = {"input_tokens": 3, "output_tokens": 5}
    assert bodies[-1]["delta"] == {"finish_reason": "TOOL_CALL", "usage": {"billed_units": counts, "tokens": counts}}
    first, second = ({"name": "f", "arguments": ""}, {"name": "g", "arguments": ""})
    assert in_short(bodies) == [
        ("content-start", 0, {"type": "thinking", "thinking": ""}),
        ("content-delta", 0, {"thinking": "H"}),
        ("content-delta", 0, {"thinking": "m."}),
        ("content-end", 0),
        ("content-start", 1, {"type": "text", "text": ""}),
        ("content-delta", 1, {"text": 'a "quoted"\n word'}),
        ("content-end", 1),
        ("tool-call-start", 0, {"id": "t1", "type": "function", "function": first}),
        ("tool-call-delta", 0, {"function": {"arguments": '{"a"'}}),
        ("tool-call-delta", 0, {"function": {"arguments": ":1}"}}),
        ("tool-call-end", 0),
        ("tool-call-start", 1, {"id": "t2", "type": "function", "function": second}),
        ("tool-call-delta", 1, {"function": {"arguments": "{}"}}),
        ("tool-call-end", 1),
    ]


def test_plans_have_events_of_their_own() -> None:
    bodies, _ = written(PartBegin(0, 0, Reasoning(text="I ", extra=PLAN)), Delta(0, 0, "will."), PartEnd(0, 0))
    assert in_short(bodies) == [("tool-plan-delta", None, "I "), ("tool-plan-delta", None, "will.")]


def test_free_text_calls_come_whole() -> None:
    call = ToolCall(id="t", name="f", arguments="sa", is_custom=True)
    bodies, losses = written(PartBegin(0, 0, call), Delta(0, 0, "y"), PartEnd(0, 0))
    assert losses == [Feature.CUSTOM_TOOLS]
    spelled = {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"input":"say"}'}}
    assert in_short(bodies) == [("tool-call-start", 0, spelled), ("tool-call-end", 0)]


def test_citations() -> None:
    own = Citation(start=0, end=1, extra=Extension(NAME, {"text": Raw(b'"a"')}))
    bodies, losses = written(
        PartBegin(0, 0, Text(text="ab", citations=(own,))),
        CitationDelta(0, 0, Citation(url="https://a.example", start=1, end=3)),
        Delta(0, 0, "cd"),
        PartEnd(0, 0),
    )
    assert losses == []
    found = in_short(bodies)
    assert [event[0] for event in found] == [
        "content-start",
        "content-delta",
        "citation-start",
        "citation-end",
        "content-delta",
        "citation-start",
        "citation-end",
        "content-end",
    ]
    assert found[2][2] == {"text": "a", "start": 0, "end": 1}
    assert found[5][2]["text"] == "bc"
    assert [event[1] for event in found if event[0] == "citation-start"] == [0, 1]


def test_citations_of_long_texts() -> None:
    pieces: list[Event] = [Delta(0, 0, f"{number:04} ") for number in range(1000)]
    cited = CitationDelta(0, 0, Citation(url="https://a.example", start=4990, end=4999))
    bodies, _ = written(PartBegin(0, 0, Text(text="")), *pieces, cited, PartEnd(0, 0))
    found = [event[2]["text"] for event in in_short(bodies) if event[0] == "citation-start"]
    assert found == ["0998 0999"]


def test_members_in_several_lines_stay_on_one() -> None:
    own = Citation(extra=Extension(NAME, {"sources": Raw(b'[\r\n  {"id": "\\n"}\n\n]')}))
    bodies, _ = written(PartBegin(0, 0, Text(text="a", citations=(own,))), PartEnd(0, 0))
    assert in_short(bodies)[2][2] == {"sources": [{"id": "\n"}]}


@pytest.mark.parametrize(
    ("events", "feature"),
    [
        ([PartBegin(0, 0, Reasoning()), SignatureDelta(0, 0, Opaque("x", "s"))], Feature.REASONING_REPLAY),
        ([PartBegin(0, 0, Refusal(text="no"))], Feature.REFUSAL),
        ([PartBegin(0, 0, Native(dialect="x", kind="k", raw=Raw(b"{}")))], Feature.NATIVE_TOOLS),
        ([PartBegin(1, 0, Text(text="b")), Delta(1, 0, "c"), PartEnd(1, 0)], Feature.N),
    ],
)
def test_what_is_lost_is_told(events: list[Event], feature: Feature) -> None:
    assert written(*events)[1] == [feature]


def test_log_probabilities_and_keep_alives() -> None:
    bodies, _ = written(PartBegin(0, 0, Text(text="a")), LogprobsDelta(0, (TokenLogprob("a", -0.5),)), PartEnd(0, 0))
    assert bodies[2]["logprobs"] == {"text": "a", "token_ids": [], "logprobs": [-0.5]}
    assert StreamEncoder(context()).encode([KEEP_ALIVE]) == b": keep-alive\n\n"


def test_an_answer_of_nothing_is_whole() -> None:
    data = StreamEncoder(context()).end()
    decoder = StreamDecoder()
    found = fold(decoder.feed(data) + decoder.end())
    assert found.id == "r1"
    assert found.failure is None


def test_a_failure_is_no_end() -> None:
    encoder = StreamEncoder(context())
    data = encoder.encode([Start(id="a", model="m"), PartBegin(0, 0, Text(text="a"))])
    data += encoder.fail(GatewayError(Kind.UPSTREAM_CUT, "broken off"), "r")
    assert b"[DONE]" not in data
    decoder = StreamDecoder()
    found = [*decoder.feed(data), *decoder.end()]
    assert found[-1] == Failure(kind=Kind.UPSTREAM_FAILED, message="broken off", code="ERROR")
