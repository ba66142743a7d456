"""Events become frames: as the provider writes them, whoever's events they are."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import context, losses, read, unframed

from gatewright.core.chat import (
    Audio,
    Citation,
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
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    AudioDelta,
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
)
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.write_stream import ConverseStreamEncoder

START, STOP = ("messageStart", {"role": "assistant"}), ("messageStop", {"stopReason": "end_turn"})


def written(*events: Event, report: LossReport | None = None) -> list[tuple[str, Any]]:
    encoder = ConverseStreamEncoder(context(report))
    return unframed(encoder.encode(events) + encoder.end())


def body(*events: Event, report: LossReport | None = None) -> list[tuple[str, Any]]:
    """The frames between the first and the last."""
    frames = written(Start(id="x", model="m"), *events, Finish(reason="stop"), report=report)
    assert frames[0] == START
    assert frames[-1] == STOP
    return frames[1:-1]


def delta(index: int, **content: Any) -> tuple[str, Any]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": content}


def start(index: int, **content: Any) -> tuple[str, Any]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": content}


def stop(index: int) -> tuple[str, Any]:
    return "contentBlockStop", {"contentBlockIndex": index}


def test_an_answer_in_pieces() -> None:
    usage = Usage(input_total=5, output_total=3)
    assert written(
        Start(id="x", model="m"),
        PartBegin(0, 0, Reasoning()),
        Delta(0, 0, "hm"),
        SignatureDelta(0, 0, Opaque("google.generate_content", "s")),
        PartEnd(0, 0),
        KEEP_ALIVE,
        PartBegin(0, 1, Text(text="")),
        Delta(0, 1, "Hé"),
        Delta(0, 1, ""),
        Delta(0, 1, '"'),
        PartEnd(0, 1),
        PartBegin(0, 2, ToolCall(id="t", name="f", arguments="")),
        Delta(0, 2, '{"a":'),
        Delta(0, 2, "1}"),
        PartEnd(0, 2),
        UsageReport(usage=Usage(input_total=1)),
        Finish(reason="tool_calls", native="tool_calls", dialect="openai.chat"),
        UsageReport(usage=usage),
    ) == [
        START,
        delta(0, reasoningContent={"text": "hm"}),
        delta(0, reasoningContent={"signature": "gatewright.google.generate_content:s"}),
        stop(0),
        delta(1, text="Hé"),
        delta(1, text='"'),
        stop(1),
        start(2, toolUse={"toolUseId": "t", "name": "f"}),
        delta(2, toolUse={"input": '{"a":'}),
        delta(2, toolUse={"input": "1}"}),
        stop(2),
        ("messageStop", {"stopReason": "tool_use"}),
        (
            "metadata",
            {"usage": {"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}, "metrics": {"latencyMs": 0}},
        ),
    ]


@pytest.mark.parametrize(
    ("part", "frames"),
    [
        (Text(text="Hi"), [delta(0, text="Hi"), stop(0)]),
        (Text(text=""), []),
        (
            Text(text="5", citations=(Citation(title="t"),)),
            [delta(0, text="5"), delta(0, citation={"title": "t"}), stop(0)],
        ),
        (
            ToolCall(id="t", name="f", arguments='{"a":1}'),
            [start(0, toolUse={"toolUseId": "t", "name": "f"}), delta(0, toolUse={"input": '{"a":1}'}), stop(0)],
        ),
        (
            ToolCall(id="t", name="f", arguments=""),
            [start(0, toolUse={"toolUseId": "t", "name": "f"}), delta(0, toolUse={"input": "{}"}), stop(0)],
        ),
        (
            Reasoning(text="hm", signature=Opaque(NAME, "s")),
            [delta(0, reasoningContent={"text": "hm"}), delta(0, reasoningContent={"signature": "s"}), stop(0)],
        ),
        (
            Reasoning(text="hm", encrypted=Opaque(NAME, "AAAA")),
            [
                delta(0, reasoningContent={"text": "hm"}),
                stop(0),
                delta(1, reasoningContent={"redactedContent": "AAAA"}),
                stop(1),
            ],
        ),
        (
            Image(source=Source(media_type="image/png", data="AAAA")),
            [start(0, image={"format": "png"}), delta(0, image={"source": {"bytes": "AAAA"}}), stop(0)],
        ),
        (
            Native(
                dialect=NAME,
                kind="toolUse",
                raw=msgspec.Raw(b'{"toolUse":{"toolUseId":"t","name":"c","type":"server_tool_use","input":{"x":1}}}'),
            ),
            [
                start(0, toolUse={"toolUseId": "t", "name": "c", "type": "server_tool_use"}),
                delta(0, toolUse={"input": '{"x":1}'}),
                stop(0),
            ],
        ),
        (
            Native(
                dialect=NAME,
                kind="toolResult",
                raw=msgspec.Raw(b'{"toolResult":{"toolUseId":"t","type":"c","content":[{"json":{}}]}}'),
            ),
            [start(0, toolResult={"toolUseId": "t", "type": "c"}), delta(0, toolResult=[{"json": {}}]), stop(0)],
        ),
    ],
)
def test_whole_parts(part: Part, frames: list[Any]) -> None:
    assert body(PartBegin(0, 0, part), PartEnd(0, 0)) == frames


@pytest.mark.parametrize(
    ("events", "frames", "told"),
    [
        (
            [PartBegin(0, 0, Refusal(text="")), Delta(0, 0, "no"), PartEnd(0, 0)],
            [delta(0, text="no"), stop(0)],
            [(Feature.REFUSAL, Outcome.APPROXIMATED)],
        ),
        (
            [PartBegin(0, 0, Audio(source=Source())), AudioDelta(0, 0, "AAAA", "hel"), AudioDelta(0, 0, "", "lo")],
            [delta(0, text="hel"), delta(0, text="lo"), stop(0)],
            [(Feature.MEDIA_OUTPUT, Outcome.APPROXIMATED)],
        ),
        (
            [PartBegin(0, 0, Native(dialect="x", kind="search", raw=msgspec.Raw(b"{}"))), PartEnd(0, 0)],
            [],
            [(Feature.NATIVE_TOOLS, Outcome.DROPPED)],
        ),
        (
            [PartBegin(0, 0, Native(dialect=NAME, kind="new", raw=msgspec.Raw(b'{"new":{}}'))), PartEnd(0, 0)],
            [],
            [(Feature.NATIVE_TOOLS, Outcome.DROPPED)],
        ),
        (
            [
                PartBegin(0, 0, Text(text="a")),
                PartEnd(0, 0),
                PartBegin(1, 0, Text(text="b")),
                Delta(1, 0, "c"),
                PartEnd(1, 0),
            ],
            [delta(0, text="a"), stop(0)],
            [(Feature.N, Outcome.DROPPED)],
        ),
    ],
)
def test_what_has_no_frame_is_told(events: list[Event], frames: list[Any], told: list[Any]) -> None:
    report = LossReport()
    assert body(*events, report=report) == frames
    assert [(feature, outcome) for feature, outcome, _ in losses(report)] == told


def test_blocks_are_numbered_without_holes() -> None:
    frames = body(
        PartBegin(0, 0, Text(text="")),
        PartEnd(0, 0),
        PartBegin(0, 1, Text(text="a")),
        CitationDelta(0, 1, Citation(url="u")),
        PartEnd(0, 1),
        PartBegin(0, 2, Text(text="b")),
    )
    assert frames == [
        delta(0, text="a"),
        delta(0, citation={"location": {"web": {"url": "u"}}}),
        stop(0),
        delta(1, text="b"),
        stop(1),
    ]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOGLE = Opaque("google.generate_content", "s1")


@pytest.mark.parametrize(
    ("events", "frames"),
    [
        (
            [PartBegin(0, 0, Text(text="a")), SignatureDelta(0, 0, GOOGLE), Delta(0, 0, "b"), PartEnd(0, 0)],
            [
                delta(0, text="a"),
                delta(0, text="b"),
                stop(0),
                delta(1, reasoningContent={"redactedContent": b64("gatewright.google.generate_content@text:s1")}),
                stop(1),
            ],
        ),
        (
            [PartBegin(0, 0, ToolCall(id="t", name="f", arguments="", signature=GOOGLE)), SignatureDelta(0, 0, GOOGLE)],
            [
                start(0, toolUse={"toolUseId": "t", "name": "f"}),
                delta(0, toolUse={"input": "{}"}),
                stop(0),
                delta(1, reasoningContent={"redactedContent": b64("gatewright.google.generate_content@call/t:s1s1")}),
                stop(1),
            ],
        ),
        (
            [PartBegin(0, 0, Reasoning(signature=GOOGLE)), Delta(0, 0, "hm"), SignatureDelta(0, 0, GOOGLE)],
            [
                delta(0, reasoningContent={"text": "hm"}),
                delta(0, reasoningContent={"signature": "gatewright.google.generate_content:s1s1"}),
                stop(0),
            ],
        ),
        (
            [
                PartBegin(0, 0, Reasoning(encrypted=Opaque("openai.responses", "g"), id="rs_1", is_summary=True)),
                Delta(0, 0, "hm"),
            ],
            [
                delta(0, reasoningContent={"text": "hm"}),
                delta(0, reasoningContent={"signature": "gatewright.openai.responses@summary/rs_1:g"}),
                stop(0),
            ],
        ),
        (
            [PartBegin(0, 0, Reasoning(encrypted=Opaque("openai.responses", "g"))), PartEnd(0, 0)],
            [
                delta(0, reasoningContent={"redactedContent": b64("gatewright.openai.responses@sealed:g")}),
                stop(0),
            ],
        ),
    ],
)
def test_blobs_of_others_are_carried(events: list[Event], frames: list[Any]) -> None:
    assert body(*events) == frames


def test_an_answer_of_nothing_is_still_whole() -> None:
    assert written() == [START, STOP]


def test_an_own_word_stays() -> None:
    assert written(Finish(reason="length", native="model_context_window_exceeded", dialect=NAME))[-1] == (
        "messageStop",
        {"stopReason": "model_context_window_exceeded"},
    )


def test_a_failure_cannot_be_taken_for_an_end() -> None:
    encoder = ConverseStreamEncoder(context())
    events: list[Event] = [Start(id="", model=""), PartBegin(0, 0, Text(text="Hi")), Finish(reason="stop")]
    data = encoder.encode(events) + encoder.fail(GatewayError(Kind.UPSTREAM_OVERLOADED, "busy"), "r")
    assert unframed(data)[-1] == ("serviceUnavailableException", {"message": "busy"})
    got = read(data)
    assert got[-1] == Failure(kind=Kind.UPSTREAM_OVERLOADED, message="busy", code="serviceUnavailableException")
    assert not any(isinstance(event, Finish) for event in got)
