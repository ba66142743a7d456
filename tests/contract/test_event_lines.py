"""Members that are kept as somebody spelled them may hold line breaks, which no stream's framing may trip over."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import ChatRequest, Extension, Native, Reasoning, Text, ToolCall
from gatewright.core.codec import ChatCodec, StreamContext
from gatewright.core.events import (
    ChatResponse,
    Delta,
    Event,
    Finish,
    PartBegin,
    PartEnd,
    Start,
    UsageReport,
    fold,
)
from gatewright.core.loss import LossReport
from gatewright.core.surface import Dialect
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.framing import framing_of

CHAT = [dialect for dialect in DIALECTS if dialect.chat is not None]
FRAMED = [dialect for dialect in CHAT if dialect.stream_type != b"application/vnd.amazon.eventstream"]
ARGUMENTS = {
    "LF": '{\n  "city": "Oslo",\n  "days": 1.50\n}',
    "CR": '{\r"city":\r"Oslo"\r}',
    "CRLF": '{\r\n\r\n"city":1}',
}


def codec_of(dialect: Dialect) -> ChatCodec:
    assert dialect.chat is not None
    return dialect.chat


def kept(dialect: Dialect) -> Extension:
    """A member of a later version of the API, in several lines."""
    return Extension(dialect.name, {"later": Raw(b'{\r\n  "a": [\n\n    1\r  ]\n}')})


def answer(dialect: Dialect, *events: Event) -> bytes:
    """A whole stream, every event of it written by itself."""
    request = ChatRequest(model="published", messages=())
    report = LossReport()
    context = StreamContext(request=request, response_id="r1", created=1_700_000_000, report=report)
    encoder = codec_of(dialect).stream_encoder(context)
    return b"".join(encoder.encode([event]) for event in events) + encoder.end()


def read(dialect: Dialect, stream: bytes) -> ChatResponse:
    decoder = codec_of(dialect).stream_decoder()
    return fold([*decoder.feed(stream), *decoder.end()])


def as_json(dialect: Dialect, stream: bytes) -> None:
    """Every event of the stream holds JSON, read as a client cuts it."""
    framing = framing_of(dialect.stream_type)
    events = framing.split(stream)
    assert len(events) > 1
    for event in events:
        data = framing.data(event)
        if data not in (b"", b"[DONE]"):
            msgspec.json.decode(data)
            assert event.count(data) == 1


@pytest.mark.parametrize("dialect", FRAMED, ids=[dialect.name for dialect in FRAMED])
def test_kept_members_in_several_lines_stay_in_one_event(dialect: Dialect) -> None:
    extra = kept(dialect)
    native = Raw(b'{"type":\n"later_part",\r\n"id":"x1",\n"input":{\n"a":1\n}}')
    stream = answer(
        dialect,
        Start(id="a1", model="m", extra=extra),
        PartBegin(0, 0, Reasoning(text="", extra=extra)),
        Delta(0, 0, "Let me\nsee"),
        PartEnd(0, 0, extra=extra),
        PartBegin(0, 1, Native(dialect=dialect.name, kind="later_part", raw=native)),
        PartEnd(0, 1, extra=extra),
        PartBegin(0, 2, Text(text="", extra=extra)),
        Delta(0, 2, "two\r\nlines"),
        PartEnd(0, 2, extra=extra),
        Finish(reason="stop", native="stop", dialect=dialect.name, extra=extra),
        UsageReport(usage=Usage(input_total=1, output_total=2), extra=extra),
    )
    as_json(dialect, stream)
    response = read(dialect, stream)
    assert response.failure is None
    assert "two\r\nlines" in [part.text for part in response.choices[0].parts if isinstance(part, Text)]


@pytest.mark.parametrize("spelled", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("is_begun", [True, False], ids=["whole", "in deltas"])
@pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])
def test_arguments_in_several_lines_reach_the_client(dialect: Dialect, spelled: str, is_begun: bool) -> None:
    if dialect.name == "openai.completions":
        pytest.skip("text completions have no calls")
    call = ToolCall(id="call_1", name="weather", arguments=spelled if is_begun else "")
    deltas = [] if is_begun else [Delta(0, 0, spelled[:9]), Delta(0, 0, spelled[9:])]
    stream = answer(
        dialect,
        Start(id="a1", model="m"),
        PartBegin(0, 0, call),
        *deltas,
        PartEnd(0, 0),
        Finish(reason="tool_calls"),
        UsageReport(usage=Usage(input_total=1, output_total=2)),
    )
    response = read(dialect, stream)
    assert response.failure is None
    (part,) = response.choices[0].parts
    assert isinstance(part, ToolCall)
    assert msgspec.json.decode(part.arguments) == msgspec.json.decode(spelled)
    if dialect in FRAMED:
        as_json(dialect, stream)
