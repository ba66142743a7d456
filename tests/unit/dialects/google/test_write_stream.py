from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import candidate, chunks_of, context, events_of, sse

from gatewright.core.chat import (
    Audio,
    Citation,
    Extension,
    Image,
    Opaque,
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
    Finish,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    TokenLogprob,
    UsageReport,
)
from gatewright.core.usage import Usage
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.signatures import read_signature, read_thought
from gatewright.dialects.google.write_stream import stream_encoder

START = Start(id="r", model="claude")
STOP = Finish(reason="stop")
LAST = {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}


def parts_of(*events: Event) -> list[dict[str, Any]]:
    """The parts of all chunks but the last, which is checked to be that of a plain stop."""
    *chunks, last = chunks_of([START, *events, STOP])
    assert last == {"candidates": [LAST], "modelVersion": "claude", "responseId": "r"}
    return [part for chunk in chunks for each in chunk["candidates"] for part in each["content"]["parts"]]


def test_a_stream_of_text() -> None:
    encoder = stream_encoder(context())
    assert encoder.encode([START]) == b""
    assert encoder.encode([PartBegin(0, 0, Text(text=""))]) == b""
    assert encoder.encode([KEEP_ALIVE]) == b""
    assert (
        encoder.encode([Delta(0, 0, "hé\n")])
        == (
            'data: {"candidates":[{"content":{"parts":[{"text":"hé\\n"}],"role":"model"},"index":0}],'
            '"modelVersion":"claude","responseId":"r"}\r\n\r\n'
        ).encode()
    )
    assert encoder.encode([PartEnd(0, 0), STOP, UsageReport(usage=Usage(input_total=5, output_total=2))]) == b""
    assert msgspec.json.decode(encoder.end().removeprefix(b"data: ")) == {
        "candidates": [LAST],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7},
        "modelVersion": "claude",
        "responseId": "r",
    }


def test_a_batch_is_one_chunk() -> None:
    batch = [
        START,
        PartBegin(0, 0, Reasoning(text="hm")),
        PartEnd(0, 0),
        PartBegin(0, 1, Text(text="a")),
        Delta(0, 1, "b"),
        PartEnd(0, 1),
        STOP,
    ]
    first, _ = chunks_of(batch, together=True)
    assert first["candidates"] == [
        {
            "content": {"parts": [{"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"}], "role": "model"},
            "index": 0,
        }
    ]


def test_an_answer_without_an_id_gets_the_exchanges() -> None:
    [only] = chunks_of([Start(id="", model=""), STOP])
    assert only == {"candidates": [LAST], "responseId": "made-up"}


@pytest.mark.parametrize(
    ("content", "deltas", "expected"),
    [
        (
            ToolCall(id="c", name="f", arguments=""),
            ['{"a"', ":1}"],
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}},
        ),
        (
            ToolCall(id="c", name="f", arguments='{"a":1}'),
            [],
            {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}},
        ),
        (ToolCall(id="c", name="f", arguments=""), [], {"functionCall": {"name": "f", "args": {}, "id": "c"}}),
        (
            ToolCall(id="c", name="f", arguments=""),
            ['{"a":'],
            {"functionCall": {"name": "f", "args": {"_raw": '{"a":'}, "id": "c"}},
        ),
    ],
)
def test_a_call_is_written_when_it_is_complete(content: ToolCall, deltas: list[str], expected: object) -> None:
    events = [Delta(0, 0, delta) for delta in deltas]
    assert parts_of(PartBegin(0, 0, content), *events, PartEnd(0, 0)) == [expected]


def test_a_signature_follows_its_part() -> None:
    own = Opaque(NAME, "c2ln")
    assert parts_of(PartBegin(0, 0, Text(text="x")), SignatureDelta(0, 0, own), PartEnd(0, 0)) == [
        {"text": "x"},
        {"text": "", "thoughtSignature": "c2ln"},
    ]
    assert parts_of(PartBegin(0, 0, Text(text="", signature=own)), PartEnd(0, 0)) == [
        {"text": "", "thoughtSignature": "c2ln"}
    ]
    assert parts_of(PartBegin(0, 0, Reasoning(text="hm")), SignatureDelta(0, 0, own), PartEnd(0, 0)) == [
        {"text": "hm", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
    ]
    [call] = parts_of(PartBegin(0, 0, ToolCall(id="c", name="f", arguments="{}", signature=own)), PartEnd(0, 0))
    assert call["thoughtSignature"] == "c2ln"


def test_a_foreign_signature_in_pieces_comes_back_whole() -> None:
    events = [SignatureDelta(0, 0, Opaque("anthropic.messages", piece)) for piece in ("Eu", "YB", "+/")]
    *_, last = parts_of(PartBegin(0, 0, Reasoning(text="")), Delta(0, 0, "hm"), *events, PartEnd(0, 0))
    assert last["thought"] is True
    assert read_signature(last["thoughtSignature"]) == Opaque("anthropic.messages", "EuYB+/")


def test_a_hidden_thought_comes_back() -> None:
    hidden = Reasoning(encrypted=Opaque("openai.responses", "gAAA"), id="rs_1", is_summary=True)
    [part] = parts_of(PartBegin(0, 0, hidden), PartEnd(0, 0))
    assert read_thought(part["text"], part["thoughtSignature"]) == hidden


def test_pictures_sounds_and_refusals() -> None:
    png = Image(source=Source(data="AAAA", media_type="image/png"))
    wav = Audio(source=Source(media_type="audio/wav"))
    assert parts_of(
        PartBegin(0, 0, png),
        PartEnd(0, 0),
        PartBegin(0, 1, wav),
        AudioDelta(0, 1, "AA"),
        AudioDelta(0, 1, "BB", "hi"),
        PartEnd(0, 1),
        PartBegin(0, 2, Refusal(text="")),
        Delta(0, 2, "no"),
        PartEnd(0, 2),
    ) == [
        {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AABB"}},
        {"text": "no"},
    ]


def test_an_extension_of_this_api_is_written() -> None:
    part = Text(text="x", extra=Extension(NAME, {"partMetadata": Raw(b"{}")}))
    assert parts_of(PartBegin(0, 0, part), PartEnd(0, 0)) == [{"text": "x"}, {"text": "", "partMetadata": {}}]
    foreign = Text(text="x", extra=Extension("x", {"y": Raw(b"{}")}))
    assert parts_of(PartBegin(0, 0, foreign), PartEnd(0, 0)) == [{"text": "x"}]


def test_several_answers_end_together() -> None:
    events: list[Event] = [START]
    for index in (0, 1):
        events += [PartBegin(index, 0, Text(text=str(index))), PartEnd(index, 0)]
    events += [Finish(choice=1, reason="length"), Finish(choice=0, reason="tool_calls")]
    first, second, last = chunks_of(events)
    assert [chunk["candidates"][0]["index"] for chunk in (first, second)] == [0, 1]
    assert [(each["index"], each["finishReason"]) for each in last["candidates"]] == [(0, "STOP"), (1, "MAX_TOKENS")]


def test_citations_and_log_probabilities_stand_in_the_last_chunk() -> None:
    events: list[Event] = [
        START,
        PartBegin(0, 0, Text(text="Für ")),
        PartEnd(0, 0),
        PartBegin(0, 1, Text(text="")),
        Delta(0, 1, "Köln"),
        LogprobsDelta(0, (TokenLogprob("a", -0.5),)),
        LogprobsDelta(0, (TokenLogprob("no", -0.5),), is_refusal=True),
        CitationDelta(0, 1, Citation(url="https://a", title="A", start=0, end=4)),
        PartEnd(0, 1),
        STOP,
    ]
    last = chunks_of(events)[-1]["candidates"][0]
    assert last["logprobsResult"] == {"chosenCandidates": [{"token": "a", "logProbability": -0.5}]}
    assert last["groundingMetadata"]["groundingSupports"] == [
        {"segment": {"startIndex": 5, "endIndex": 10, "text": "Köln"}, "groundingChunkIndices": [0]}
    ]


def test_googles_own_metadata_is_not_written_twice() -> None:
    extra = Extension(NAME, {"groundingMetadata": Raw(b'{"x":1}'), "logprobsResult": Raw(b'{"y":1}')})
    events: list[Event] = [
        PartBegin(0, 0, Text(text="x", citations=(Citation(url="https://a"),))),
        LogprobsDelta(0, (TokenLogprob("a", -0.5),)),
        PartEnd(0, 0),
        Finish(reason="stop", native="STOP", dialect=NAME, extra=extra),
    ]
    last = chunks_of(events)[-1]["candidates"][0]
    assert (last["groundingMetadata"], last["logprobsResult"]) == ({"x": 1}, {"y": 1})


def test_a_blocked_prompt_has_no_candidates() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "g", "responseId": "r"}
    assert chunks_of(events_of(sse(body))) == [body]


def test_a_stream_of_this_api_comes_out_as_it_went_in() -> None:
    chunks = [
        {**candidate({"text": "hm", "thought": True}), "modelVersion": "g", "createTime": "2026-05-04T20:01:02Z"},
        candidate({"text": "a"}),
        candidate({"text": "", "thoughtSignature": "c2ln"}),
        candidate({"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}, "thoughtSignature": "c2ln"}),
        candidate({"text": ""}, finishReason="STOP", finishMessage="done"),
    ]
    events = events_of(sse(*chunks))
    *others, last = chunks_of(events)
    parts = [part for chunk in others for part in chunk["candidates"][0]["content"]["parts"]]
    assert parts == [part for chunk in chunks[:-1] for part in chunk["candidates"][0]["content"]["parts"]]
    assert all(chunk["createTime"] == "2026-05-04T20:01:02Z" for chunk in (*others, last))
    assert last["candidates"] == [{**LAST, "finishMessage": "done"}]


def test_a_failure_is_an_error_and_no_end() -> None:
    event = stream_encoder(context()).fail(GatewayError(Kind.UPSTREAM_CUT, "broke off"), "req-1")
    assert event.startswith(b'data: {"error":')
    assert event.endswith(b"\r\n\r\n")
    assert b"finishReason" not in event
