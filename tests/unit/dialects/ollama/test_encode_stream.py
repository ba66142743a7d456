from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Citation,
    Image,
    Native,
    Opaque,
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
    ChatResponse,
    Choice,
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
    unfold,
)
from gatewright.core.loss import Feature, LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.ollama.decode_stream import StreamDecoder
from gatewright.dialects.ollama.encode_stream import StreamEncoder


def context() -> StreamContext:
    request = ChatRequest(model="published", messages=())
    return StreamContext(request=request, response_id="r1", created=1_700_000_000, report=LossReport("strict"))


def lines(*events: Event) -> tuple[list[dict[str, Any]], list[Feature]]:
    around = context()
    encoder = StreamEncoder(around)
    data = b"".join(encoder.encode([event]) for event in events) + encoder.end()
    assert data.endswith(b"\n")
    return [msgspec.json.decode(line) for line in data.splitlines()], [loss.feature for loss in around.report.entries]


def messages(*events: Event) -> list[dict[str, Any]]:
    found, _ = lines(*events)
    assert all(line["done"] is False for line in found[:-1])
    return [line["message"] for line in found[:-1]]


SAID = {"role": "assistant"}


def test_a_stream_of_another_dialect() -> None:
    found, losses = lines(
        Start(id="x", model="published", created=1_700_000_001),
        PartBegin(0, 0, Reasoning(text="H")),
        Delta(0, 0, "m."),
        PartEnd(0, 0),
        PartBegin(0, 1, Text(text="")),
        Delta(0, 1, 'a "quoted"\n word'),
        Delta(0, 1, ""),
        PartEnd(0, 1),
        UsageReport(usage=Usage(input_total=3, output_total=5)),
        Finish(reason="length", native="max_tokens", dialect="x"),
    )
    assert losses == []
    head = {"model": "published", "created_at": "2023-11-14T22:13:21Z"}
    assert found == [
        {**head, "message": {**SAID, "content": "", "thinking": "H"}, "done": False},
        {**head, "message": {**SAID, "content": "", "thinking": "m."}, "done": False},
        {**head, "message": {**SAID, "content": 'a "quoted"\n word'}, "done": False},
        {
            **head,
            "message": {**SAID, "content": ""},
            "done": True,
            "done_reason": "length",
            "prompt_eval_count": 3,
            "eval_count": 5,
        },
    ]


def test_calls_come_whole() -> None:
    found = messages(
        PartBegin(0, 0, ToolCall(id="a", name="f", arguments="")),
        Delta(0, 0, '{"y"'),
        Delta(0, 0, ":2}"),
        PartEnd(0, 0),
        PartBegin(0, 1, ToolCall(id="b", name="g", arguments='{"x"')),
        Delta(0, 1, ":1}"),
        PartEnd(0, 1),
        PartBegin(0, 2, ToolCall(id="c", name="h", arguments="")),
        PartEnd(0, 2),
    )
    calls = [message["tool_calls"] for message in found]
    assert calls == [
        [{"id": "a", "function": {"name": "f", "arguments": {"y": 2}}}],
        [{"id": "b", "function": {"name": "g", "arguments": {"x": 1}}}],
        [{"id": "c", "function": {"name": "h", "arguments": {}}}],
    ]


def test_what_its_own_decoder_reads_comes_back() -> None:
    response = ChatResponse(
        id="",
        model="m",
        created=1_700_000_000,
        choices=(
            Choice(
                parts=(Text(text="a"), Image(source=Source(media_type="image/png", data="iVBORw0KGgo="))),
                finish=Finish(reason="stop", native="stop", dialect="ollama.chat"),
                logprobs=(TokenLogprob("a", -0.5),),
            ),
        ),
        usage=Usage(output_total=1),
    )
    encoder = StreamEncoder(context())
    decoder = StreamDecoder()
    found = fold(decoder.feed(encoder.encode(unfold(response)) + encoder.end()) + decoder.end())
    assert found.choices == response.choices
    assert found.usage == response.usage


def test_arguments_in_several_lines_stay_on_one() -> None:
    found = messages(
        PartBegin(0, 0, ToolCall(id="a", name="f", arguments='{\r\n  "x": 1.50,\n "y": "\\n" }')), PartEnd(0, 0)
    )
    assert found[0]["tool_calls"][0]["function"]["arguments"] == {"x": 1.5, "y": "\n"}


@pytest.mark.parametrize(
    ("events", "feature"),
    [
        ([PartBegin(0, 0, Text(text="")), CitationDelta(0, 0, Citation())], Feature.CITATIONS),
        ([PartBegin(0, 0, Reasoning()), SignatureDelta(0, 0, Opaque("x", "s"))], Feature.REASONING_REPLAY),
        ([PartBegin(0, 0, Refusal(text="no"))], Feature.REFUSAL),
        ([PartBegin(0, 0, Native(dialect="x", kind="k", raw=Raw(b"{}")))], Feature.NATIVE_TOOLS),
        ([PartBegin(1, 0, Text(text="b")), Delta(1, 0, "c"), PartEnd(1, 0)], Feature.N),
    ],
)
def test_what_is_lost_is_told(events: list[Event], feature: Feature) -> None:
    assert lines(*events)[1] == [feature]


def test_keep_alives_have_no_form() -> None:
    assert StreamEncoder(context()).encode([KEEP_ALIVE]) == b""


def test_log_probabilities() -> None:
    found, _ = lines(LogprobsDelta(0, (TokenLogprob("a", -0.5, bytes=(97,)),)))
    assert found[0]["logprobs"] == [{"token": "a", "logprob": -0.5, "bytes": [97]}]


def test_a_failure_is_no_end() -> None:
    encoder = StreamEncoder(context())
    data = encoder.encode([Start(id="", model="m"), PartBegin(0, 0, Text(text="a"))])
    data += encoder.fail(GatewayError(Kind.UPSTREAM_CUT, "broken off"), "r")
    assert data.endswith(b'{"error":"broken off"}\n')
    assert b'"done":true' not in data
    decoder = StreamDecoder()
    assert isinstance([*decoder.feed(data), *decoder.end()][-1], Failure)
