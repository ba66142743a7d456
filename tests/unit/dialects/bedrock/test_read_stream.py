"""Streamed answers: any cutting gives the same events, and no end that is none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.dialects.bedrock.exchanges import delta, frame, read, stop

from gatewright.core.chat import Citation, Extension, Image, Native, Opaque, Part, Reasoning, Source, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    CitationDelta,
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
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME
from gatewright.dialects.bedrock.read_blocks import OWN
from gatewright.dialects.bedrock.read_stream import ConverseStreamDecoder

START = frame("messageStart", {"role": "assistant", "p": "abc"})
STOP = frame("messageStop", {"stopReason": "end_turn", "p": "abc"})
USAGE = frame(
    "metadata", {"usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}, "metrics": {"latencyMs": 9}, "p": ""}
)
TOOL_STOP = frame("messageStop", {"stopReason": "tool_use"})


def tool_start(index: int, name: str = "f", **members: Any) -> bytes:
    use = {"toolUseId": f"t{index}", "name": name, **members}
    return frame("contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": use}, "p": "a"})


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value, separators=(",", ":")).encode())


def parts(*frames: bytes) -> tuple[Part, ...]:
    """The parts of the answer that the frames make."""
    response = fold(read(b"".join((START, *frames, STOP))))
    assert response.failure is None
    return response.choices[0].parts


TALK = b"".join(
    (
        START,
        delta(0, reasoningContent={"text": "h"}),
        delta(0, reasoningContent={"text": "m"}),
        delta(0, reasoningContent={"signature": "s1"}),
        stop(0),
        delta(1, text="Hel"),
        delta(1, text="lo"),
        stop(1),
        tool_start(2),
        delta(2, toolUse={"input": '{"a":'}),
        delta(2, toolUse={"input": "1}"}),
        stop(2),
        TOOL_STOP,
        USAGE,
    )
)
EVENTS: list[Event] = [
    Start(id="", model=""),
    PartBegin(0, 0, Reasoning(extra=OWN)),
    Delta(0, 0, "h"),
    Delta(0, 0, "m"),
    SignatureDelta(0, 0, Opaque(NAME, "s1")),
    PartEnd(0, 0),
    PartBegin(0, 1, Text(text="")),
    Delta(0, 1, "Hel"),
    Delta(0, 1, "lo"),
    PartEnd(0, 1),
    PartBegin(0, 2, ToolCall(id="t2", name="f", arguments="")),
    Delta(0, 2, '{"a":'),
    Delta(0, 2, "1}"),
    PartEnd(0, 2),
    Finish(reason="tool_calls", native="tool_use", dialect=NAME),
    UsageReport(usage=Usage(input_total=5, output_total=3), extra=Extension(NAME, {"metrics": raw({"latencyMs": 9})})),
]


def spelled(events: list[Event]) -> list[Event]:
    """The same events with JSON spelled in one way."""
    return [
        msgspec.structs.replace(
            event, extra=Extension(NAME, {n: raw(msgspec.json.decode(v)) for n, v in event.extra.members.items()})
        )
        if isinstance(event, UsageReport) and event.extra is not None
        else event
        for event in events
    ]


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_any_cutting_gives_the_same_events(size: int) -> None:
    assert spelled(read(TALK, size)) == EVENTS


def test_every_end_before_the_message_s_is_a_cut() -> None:
    end = TALK.index(TOOL_STOP) + len(TOOL_STOP)
    for at in range(end):
        events = read(TALK[:at])
        assert events[-1] == Failure(
            kind=Kind.UPSTREAM_CUT, message="The provider's stream ended before the answer was complete."
        )
        assert not any(isinstance(event, Finish) for event in events)
    assert isinstance(read(TALK[:end])[-1], Finish)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ((delta(0, text=""), stop(0), delta(1, text="Hi"), stop(1)), (Text(text="Hi"),)),
        (
            (delta(0, text="a"), delta(1, text="b"), delta(2, text="c")),
            (Text(text="a"), Text(text="b"), Text(text="c")),
        ),
        (
            (delta(0, reasoningContent={"text": "a"}), delta(0, text="b")),
            (Reasoning(text="a", extra=OWN), Text(text="b")),
        ),
        (
            (delta(0, reasoningContent={"signature": "s"}), stop(0)),
            (Reasoning(signature=Opaque(NAME, "s"), extra=OWN),),
        ),
        (
            (delta(0, reasoningContent={"redactedContent": "AAAA"}), stop(0)),
            (Reasoning(encrypted=Opaque(NAME, "AAAA"), extra=OWN),),
        ),
        ((tool_start(0), stop(0)), (ToolCall(id="t0", name="f", arguments="{}"),)),
        ((tool_start(0), delta(0, toolUse={"input": ""}), stop(0)), (ToolCall(id="t0", name="f", arguments="{}"),)),
        ((tool_start(0, "gwx-a-2Eb"), stop(0)), (ToolCall(id="t0", name="a.b", arguments="{}"),)),
        (
            (tool_start(0, type="tool_use"), stop(0)),
            (ToolCall(id="t0", name="f", arguments="{}", extra=Extension(NAME, {"type": raw("tool_use")})),),
        ),
        (
            # Calls whose pieces cross each other: told apart by their index.
            (
                tool_start(0),
                tool_start(1, "g"),
                delta(0, toolUse={"input": "{}"}),
                delta(1, toolUse={"input": '{"b":2}'}),
                stop(1),
                stop(0),
            ),
            (ToolCall(id="t0", name="f", arguments="{}"), ToolCall(id="t1", name="g", arguments='{"b":2}')),
        ),
        (
            (delta(0, text="5"), delta(0, citation={"title": "t", "location": {"web": {"url": "u"}}}), stop(0)),
            (
                Text(
                    text="5",
                    citations=(
                        Citation(
                            url="u",
                            title="t",
                            extra=Extension(
                                NAME,
                                {
                                    "title": msgspec.Raw(b'"t"'),
                                    "location": msgspec.Raw(b'{"web": {"url": "u"}}'),
                                },
                            ),
                        ),
                    ),
                ),
            ),
        ),
        (
            (
                tool_start(0, JSON_TOOL),
                delta(0, toolUse={"input": '{"a"'}),
                delta(0, toolUse={"input": ":1}"}),
                stop(0),
            ),
            (Text(text='{"a":1}'),),
        ),
        (
            (tool_start(0, "code", type="server_tool_use"), delta(0, toolUse={"input": '{"x":1}'}), stop(0)),
            (
                Native(
                    dialect=NAME,
                    kind="toolUse",
                    raw=raw(
                        {"toolUse": {"toolUseId": "t0", "name": "code", "type": "server_tool_use", "input": {"x": 1}}}
                    ),
                ),
            ),
        ),
        (
            (
                frame("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
                delta(0, image={"source": {"bytes": "AAAA"}}),
                stop(0),
            ),
            (Image(source=Source(media_type="image/png", data="AAAA")),),
        ),
    ],
)
def test_blocks(frames: tuple[bytes, ...], expected: tuple[Part, ...]) -> None:
    assert parts(*frames) == expected


def test_results_of_the_vendor_s_tools_are_collected() -> None:
    start = {"toolResult": {"toolUseId": "t", "type": "code_result", "status": "success"}}
    (part,) = parts(
        frame("contentBlockStart", {"contentBlockIndex": 0, "start": start}),
        delta(0, toolResult=[{"json": {"out": 1}}]),
        delta(0, toolResult=[{"text": "a"}]),
        stop(0),
    )
    assert isinstance(part, Native)
    assert msgspec.json.decode(part.raw) == {
        "toolResult": {**start["toolResult"], "content": [{"json": {"out": 1}}, {"text": "a"}]}
    }


def test_a_picture_that_failed_stays_the_vendor_s() -> None:
    (part,) = parts(
        frame("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}), stop(0)
    )
    assert isinstance(part, Native)


def test_the_tool_that_is_the_answer_finishes_as_words() -> None:
    events = read(b"".join((START, tool_start(0, JSON_TOOL), stop(0), TOOL_STOP)))
    assert events[-1] == Finish(reason="stop", dialect=NAME)
    events = read(b"".join((START, tool_start(0, JSON_TOOL), stop(0), tool_start(1), stop(1), TOOL_STOP)))
    assert events[-1] == Finish(reason="tool_calls", native="tool_use", dialect=NAME)


def test_usage_may_come_before_the_end() -> None:
    events = read(b"".join((delta(0, text="Hi"), USAGE, STOP)))
    assert [type(event) for event in events] == [Start, PartBegin, Delta, UsageReport, PartEnd, Finish]


def test_citations_may_come_before_words() -> None:
    events = read(b"".join((START, delta(0, citation={"title": "t"}), delta(0, text="a"), STOP)))
    assert [type(event) for event in events] == [Start, PartBegin, CitationDelta, Delta, PartEnd, Finish]


def test_what_is_not_known_is_passed_over() -> None:
    frames = (
        START,
        frame("initial-response", {}),
        frame("somethingNew", {"a": 1}),
        frame("contentBlockStart", {"contentBlockIndex": 0, "start": {}}),
        delta(0, somethingNew={}),
        delta(0, citation=None, image=None),
        delta(0, text="Hi"),
        stop(5),
        STOP,
        delta(3, text="too late"),
        frame("metadata", {"metrics": {}}),
    )
    assert read(b"".join(frames)) == [
        Start(id="", model=""),
        PartBegin(0, 0, Text(text="")),
        Delta(0, 0, "Hi"),
        PartEnd(0, 0),
        Finish(reason="stop", native="end_turn", dialect=NAME),
    ]


def test_fields_the_client_asked_for_come_with_the_finish() -> None:
    payload = {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "X"}}
    finish = read(START + frame("messageStop", payload))[-1]
    assert isinstance(finish, Finish)
    assert finish.extra is not None
    assert list(finish.extra.members) == ["additionalModelResponseFields"]


@pytest.mark.parametrize("size", [1, 100_000])
def test_an_exception_is_a_failure_and_the_end(size: int) -> None:
    exception = frame("throttlingException", {"message": "slow"}, "exception")
    data = b"".join((START, delta(0, text="Hi"), exception, STOP, USAGE))
    events = read(data, size)
    assert events[-1] == Failure(kind=Kind.UPSTREAM_RATE_LIMITED, message="slow", code="throttlingException")
    assert [type(event) for event in events] == [Start, PartBegin, Delta, Failure]


def test_half_surrogates_are_mended() -> None:
    payload = b'{"contentBlockIndex":0,"delta":{"text":"a\\ud83d"}}'
    assert Delta(0, 0, "a�") in read(START + frame("contentBlockDelta", payload) + STOP)


@pytest.mark.parametrize(
    "data",
    [
        b"data: {}\n\n" + b"x" * 20,
        frame("contentBlockDelta", b"{"),
        frame("contentBlockDelta", b""),
        frame("contentBlockDelta", b"\xff"),
        frame("contentBlockDelta", [1]),
        frame("contentBlockDelta", {"delta": 5}),
        delta(0, text=5),
        delta(0, toolUse={"input": "{"}),
        delta(0, citation=5),
        frame("contentBlockStart", {"start": {"toolUse": {"name": "f"}}}),
        tool_start(0, "code", type="server_tool_use") + delta(0, toolUse={"input": "{"}) + stop(0),
        frame("messageStop", b"x"),
        frame("messageStop", {"stopReason": 5}),
        frame("metadata", b"[]"),
        frame("contentBlockStop", b"x"),
        delta(0, text="a")[:-1] + b"x",
    ],
)
def test_what_nobody_could_read_is_an_error(data: bytes) -> None:
    decoder = ConverseStreamDecoder()
    with pytest.raises(GatewayError) as caught:
        decoder.feed(START + data)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = """
    contentBlockIndex delta start text toolUse input name toolUseId reasoningContent signature redactedContent citation
    image source toolResult stopReason usage format location content
""".split()
members = st.dictionaries(st.sampled_from(NAMES), json_values, max_size=4)
kinds = st.sampled_from(["contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "x"])


@given(st.lists(st.tuples(kinds, st.fixed_dictionaries({}, optional={"delta": members, "start": members}) | members)))
def test_no_shape_is_worse_than_an_error(frames: list[tuple[str, dict[str, Any]]]) -> None:
    data = START + b"".join(frame(kind, payload) for kind, payload in frames)
    kinds = set()
    try:
        fold(read(data))
    except GatewayError as error:
        kinds.add(error.kind)
    assert kinds <= {Kind.UPSTREAM_BAD_RESPONSE}
