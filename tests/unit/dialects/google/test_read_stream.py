import random
import time
from typing import Any

import msgspec
import pytest
from tests.unit.dialects.google.wires import answer, candidate, events_of, sse

from gatewright.core.chat import Citation, Extension, Native, Opaque, Reasoning, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
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
from gatewright.core.usage import Usage
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.read_stream import stream_decoder

OWN = Opaque(NAME, "c2ln")
COUNTED = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
TEXTS = [
    {**candidate({"text": "Par"}), "modelVersion": "g", "usageMetadata": {**COUNTED, "candidatesTokenCount": 1}},
    {**candidate({"text": "is"}), "modelVersion": "g", "usageMetadata": COUNTED},
    {
        **candidate({"text": ""}, finishReason="STOP"),
        "modelVersion": "g",
        "usageMetadata": {**COUNTED, "trafficType": "T"},
    },
]
CALL = {"functionCall": {"name": "f", "args": {"a": 1}, "id": "c"}}


def parts_of(*chunks: object) -> tuple[object, ...]:
    """The parts of an answer whose last chunk ends it."""
    *others, last = chunks
    assert isinstance(last, dict)
    last = msgspec.json.decode(msgspec.json.encode(last))
    last["candidates"][0].setdefault("finishReason", "STOP")
    events = events_of(sse(*others, last))
    check_grammar(events)
    return fold(events).choices[0].parts


def check_grammar(events: list[Event]) -> None:
    """Parts begin in order, one at a time, and end before their choice does."""
    open_parts: dict[int, int | None] = {}
    begun: dict[int, int] = {}
    for event in events:
        match event:
            case PartBegin():
                assert open_parts.get(event.choice) is None
                assert event.part == begun.get(event.choice, -1) + 1
                open_parts[event.choice], begun[event.choice] = event.part, event.part
            case Delta() | SignatureDelta():
                assert open_parts[event.choice] == event.part
            case PartEnd():
                assert open_parts[event.choice] == event.part
                open_parts[event.choice] = None
            case Finish():
                assert open_parts.get(event.choice) is None
            case _:
                pass


def test_a_stream_of_text() -> None:
    assert events_of(sse(*TEXTS)) == [
        Start(id="r", model="g"),
        PartBegin(0, 0, Text(text="Par")),
        UsageReport(usage=Usage(input_total=5, output_total=1)),
        Delta(0, 0, "is"),
        UsageReport(usage=Usage(input_total=5, output_total=2)),
        UsageReport(usage=Usage(input_total=5, output_total=2)),
        PartEnd(0, 0),
        Finish(reason="stop", native="STOP", dialect=NAME),
        UsageReport(
            usage=Usage(input_total=5, output_total=2), extra=Extension(NAME, {"trafficType": msgspec.Raw(b'"T"')})
        ),
    ]


@pytest.mark.parametrize("size", [1, 2, 7, 64])
@pytest.mark.parametrize("ending", [b"\r\n\r\n", b"\n\n", b"\r\r"])
def test_bytes_may_be_cut_anywhere_whatever_ends_the_lines(size: int, ending: bytes) -> None:
    data = sse(*TEXTS).replace(b"\r\n\r\n", ending)
    assert events_of(data, size) == events_of(sse(*TEXTS))


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_json_array_is_the_same_stream(size: int) -> None:
    array = b"\n[" + b"\r\n,\r\n".join(msgspec.json.encode(chunk) for chunk in TEXTS) + b"\n]"
    assert events_of(array, size) == events_of(sse(*TEXTS))


def test_events_that_say_nothing_are_passed_over() -> None:
    first, second, third = (sse(chunk) for chunk in TEXTS)
    data = b": ping\r\n\r\n" + first + b"event: x\r\nid: 1\r\n\r\n" + second + b"data: [DONE]\n\n" + third
    assert events_of(data) == events_of(sse(*TEXTS))


def test_data_over_several_lines_and_a_last_event_without_its_blank_line() -> None:
    pretty = b"".join(
        b"data: " + line + b"\n" for line in msgspec.json.format(msgspec.json.encode(TEXTS[0])).split(b"\n")
    )
    data = pretty + b"\n" + sse(*TEXTS[1:]).rstrip()
    assert events_of(data) == events_of(sse(*TEXTS))


def test_thoughts_then_text_then_a_call() -> None:
    chunks = [
        candidate({"text": "h", "thought": True}),
        candidate({"text": "m", "thought": True}),
        candidate({"text": "x"}),
        candidate(CALL),
    ]
    assert parts_of(*chunks) == (
        Reasoning(text="hm", is_summary=True),
        Text(text="x"),
        ToolCall(id="c", name="f", arguments='{"a":1}'),
    )


def test_a_call_is_remembered_until_the_end() -> None:
    events = events_of(sse(candidate(CALL), candidate({"text": ""}, finishReason="STOP")))
    assert [event.reason for event in events if isinstance(event, Finish)] == ["tool_calls"]


def test_an_end_that_every_chunk_tells_is_told_once_at_the_end() -> None:
    chunks = [candidate({"text": text}, finishReason="STOP") for text in ("a", "b", "c")]
    events = events_of(sse(*chunks))
    assert [type(event) for event in events].count(Finish) == 1
    assert fold(events).choices[0].parts == (Text(text="abc"),)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        # A signature with an empty text is of the text before it.
        ([{"text": "ab"}, {"text": "", "thoughtSignature": "c2ln"}], [Text(text="ab", signature=OWN)]),
        (
            [{"text": "hm", "thought": True}, {"text": "", "thought": True, "thoughtSignature": "c2ln"}],
            [Reasoning(text="hm", signature=OWN, is_summary=True)],
        ),
        (
            [{"text": "hm", "thought": True}, {"thoughtSignature": "c2ln"}],
            [Reasoning(text="hm", signature=OWN, is_summary=True)],
        ),
        # A text with a signature is a part by itself.
        (
            [{"text": "a"}, {"text": "b", "thoughtSignature": "c2ln"}, {"text": "c"}],
            [Text(text="a"), Text(text="b", signature=OWN), Text(text="c")],
        ),
        (
            [{"text": "hm", "thought": True}, {"text": "", "thoughtSignature": "c2ln"}],
            [Reasoning(text="hm", is_summary=True), Text(text="", signature=OWN)],
        ),
        ([{"text": "", "thoughtSignature": "c2ln"}], [Text(text="", signature=OWN)]),
        (
            [{"text": ""}, {"text": "", "thought": True, "thoughtSignature": "c2ln"}],
            [
                Reasoning(
                    signature=OWN,
                    is_summary=True,
                    extra=Extension(NAME, {"thought": msgspec.Raw(b"true"), "text": msgspec.Raw(b'""')}),
                )
            ],
        ),
        (
            [{**CALL, "thoughtSignature": "c2ln"}, CALL],
            [
                ToolCall(id="c", name="f", arguments='{"a":1}', signature=OWN),
                ToolCall(id="c", name="f", arguments='{"a":1}'),
            ],
        ),
    ],
)
def test_signatures_stay_where_they_belong(chunks: list[object], expected: list[object]) -> None:
    assert list(parts_of(*(candidate(chunk) for chunk in chunks))) == expected
    assert list(parts_of(candidate(*chunks))) == expected


def test_parts_of_hosted_tools_are_native() -> None:
    [text, native, after] = parts_of(
        candidate({"text": "a"}), candidate({"executableCode": {"code": "1"}}, {"text": "b"})
    )
    assert (text, after) == (Text(text="a"), Text(text="b"))
    assert isinstance(native, Native)


def test_several_candidates_come_mixed() -> None:
    def chunk(*texts: tuple[int, str], **members: object) -> dict[str, Any]:
        return {
            "candidates": [{"content": {"parts": [{"text": text}]}, "index": index, **members} for index, text in texts]
        }

    events = events_of(sse(chunk((0, "a"), (1, "x")), chunk((1, "y")), chunk((0, "b"), (1, "z"), finishReason="STOP")))
    check_grammar(events)
    assert [choice.parts for choice in fold(events).choices] == [(Text(text="ab"),), (Text(text="xyz"),)]


def test_a_candidate_without_an_end_is_a_cut() -> None:
    one = {"content": {"parts": [{"text": "a"}]}}
    events = events_of(sse({"candidates": [{**one, "index": 0, "finishReason": "STOP"}, {**one, "index": 1}]}))
    assert isinstance(events[-1], Failure)


def piece(**call: object) -> dict[str, Any]:
    return candidate({"functionCall": call})


def test_arguments_in_pieces() -> None:
    def more(path: str, value: str) -> object:
        return piece(partialArgs=[{"jsonPath": path, "stringValue": value, "willContinue": True}], willContinue=True)

    chunks = [
        candidate({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "c2ln"}),
        more("$.city", "Bos"),
        more("$.city", "ton"),
        piece(),
        piece(name="g", id="c2", willContinue=True),
        piece(partialArgs=[{"jsonPath": "$.n", "numberValue": 2}]),
        piece(),
    ]
    first, second = parts_of(*chunks)
    assert isinstance(first, ToolCall)
    assert (first.name, first.arguments, first.signature) == ("f", '{"city":"Boston"}', OWN)
    assert second == ToolCall(id="c2", name="g", arguments='{"n":2}')


def test_arguments_in_pieces_that_something_else_ends() -> None:
    for after in ({"text": "x"}, CALL, {"functionCall": {"name": "g", "willContinue": True}}):
        first, *_ = parts_of(piece(name="f", id="c1", willContinue=True), candidate(after))
        assert first == ToolCall(id="c1", name="f", arguments="{}")
    assert parts_of(piece(name="f", id="c1", args={"a": 1}, willContinue=True)) == (
        ToolCall(id="c1", name="f", arguments='{"a":1}'),
    )


def test_log_probabilities_are_told_as_they_come_and_kept_whole() -> None:
    def chunk(token: str, **members: object) -> object:
        result = {"chosenCandidates": [{"token": token, "tokenId": 1, "logProbability": -1}]}
        return candidate({"text": token}, logprobsResult=result, **members)

    events = events_of(sse(chunk("a"), chunk("b", finishReason="STOP")))
    told = [event.tokens for event in events if isinstance(event, LogprobsDelta)]
    assert told == [(TokenLogprob("a", -1.0),), (TokenLogprob("b", -1.0),)]
    finish = fold(events).choices[0].finish
    assert finish is not None
    assert finish.extra is not None
    assert bytes(finish.extra.members["logprobsResult"]).count(b"tokenId") == 2


def test_citations_come_with_the_end() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a"}}],
        "groundingSupports": [{"segment": {"endIndex": 5, "text": "Paris"}, "groundingChunkIndices": [0]}],
    }
    chunks = [
        candidate({"text": "Par"}),
        candidate({"text": "is"}),
        candidate({"text": "", "thoughtSignature": "c2ln"}, groundingMetadata=grounding),
    ]
    assert parts_of(*chunks) == (
        Text(text="Paris", citations=(Citation(url="https://a", start=0, end=5),), signature=OWN),
    )


def test_a_blocked_prompt_is_an_end() -> None:
    body = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
        "modelVersion": "g",
        "responseId": "r",
    }
    assert fold(events_of(sse(body))) == answer(body)


@pytest.mark.parametrize(
    "cut",
    [
        sse(),
        sse(TEXTS[0]),
        sse(*TEXTS[:2]),
        sse(*TEXTS)[:-40],
        b"data: {",
        b"[",
        b"\n",
        sse({"usageMetadata": COUNTED}),
    ],
)
def test_a_stream_without_its_end_is_a_failure(cut: bytes) -> None:
    events = events_of(cut)
    check_grammar(events)
    assert isinstance(events[-1], Failure)
    assert events[-1].kind is Kind.UPSTREAM_CUT
    assert not any(isinstance(event, Finish) for event in events)


def test_an_array_that_breaks_off_in_an_element_is_a_failure() -> None:
    array = b"[" + b",".join(msgspec.json.encode(chunk) for chunk in TEXTS) + b',{"candidates":'
    assert isinstance(events_of(array)[-1], Failure)


ERROR = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    "data",
    [
        sse(TEXTS[0], ERROR),
        sse(TEXTS[0], [ERROR]),
        sse(TEXTS[0]) + msgspec.json.encode(ERROR),
        sse(TEXTS[0]) + msgspec.json.format(msgspec.json.encode([ERROR])) + b"\n",
        b"[" + msgspec.json.encode(TEXTS[0]) + b"," + msgspec.json.encode(ERROR) + b"]",
    ],
)
@pytest.mark.parametrize("size", [0, 1])
def test_an_error_in_a_stream_is_a_failure_with_what_was_used(data: bytes, size: int) -> None:
    *_, usage, failure = events_of(data, size)
    assert failure == Failure(kind=Kind.UPSTREAM_OVERLOADED, message="busy", code="UNAVAILABLE")
    assert isinstance(usage, UsageReport)


def test_nothing_follows_a_failure() -> None:
    decoder = stream_decoder()
    assert isinstance(decoder.feed(sse(ERROR, TEXTS[0]))[-1], Failure)
    assert decoder.feed(sse(TEXTS[0])) == []
    assert decoder.end() == []


@pytest.mark.parametrize(
    "data",
    [
        b"data: x\n\n",
        b"data: 5\n\n",
        b'data: {"candidates":5}\n\n',
        b'data: {"candidates":[{"index":-1}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":5}]}}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":"x"}]},"index":5000}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}\n\n',
        b'data: {"candidates":[{"content":{"parts":[{"text":"\xff"}]}}]}\n\n',
        b"data: [5]\n\n",
        b"[{5}]",
    ],
)
def test_what_no_client_could_read(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        events_of(data)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_whatever_comes_nothing_else_is_raised() -> None:
    chance = random.Random(7)
    good = sse(*TEXTS, candidate(CALL), piece(name="f", willContinue=True), piece(partialArgs=[{"jsonPath": "$.a"}]))
    array = b"[" + msgspec.json.encode(TEXTS[0]) + b"]"
    for _ in range(1500):
        data = bytearray(chance.choice((good, array)))
        for _ in range(chance.randint(1, 5)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.randrange(256)
                case 1:
                    del data[at : at + chance.randint(1, 20)]
                case 2:
                    data[at:at] = chance.choice((b"{", b"}", b'"', b"null", b"[]", b"\\", b"5", b"\r\n\r\n"))
                case _:
                    data[at:at] = data[: chance.randint(1, 200)]
            data = data or bytearray(b"x")
        try:
            check_grammar(events_of(bytes(data), chance.choice((0, 13))))
        except GatewayError as error:
            assert error.kind is Kind.UPSTREAM_BAD_RESPONSE  # noqa: PT017 - most inputs raise nothing


def test_a_long_answer_costs_its_length() -> None:
    def seconds(count: int) -> float:
        data = sse(*[candidate({"text": "word "})] * count, candidate({"text": ""}, finishReason="STOP"))
        best = 9.0
        for _ in range(3):
            start = time.perf_counter()
            events_of(data, 1000)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(4000) < 12 * seconds(1000) + 0.05
