"""Streams of the Responses API, written; the openai SDK's own types and accumulator judge them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import httpx2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from openai import APIError, OpenAI
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from gatewright.core.chat import (
    Audio,
    ChatRequest,
    Citation,
    File,
    Image,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
)
from gatewright.core.codec import StreamContext
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
    fold,
    unfold,
)
from gatewright.core.loss import Feature, LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.openai.responses.read_request import decode_request
from gatewright.dialects.openai.responses.read_stream import ResponsesDecoder
from gatewright.dialects.openai.responses.write_response import encode_response
from gatewright.dialects.openai.responses.write_stream import ResponsesEncoder

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
REQUEST = ChatRequest(
    model="assistant",
    messages=(Message(role="user", parts=(Text(text="q"),)),),
    tools=(Tool(name="f", parameters=Raw(b'{"type":"object"}')),),
)
START = Start(id="chatcmpl-1", model="assistant")
STOP = Finish(reason="stop")
USAGE = UsageReport(usage=Usage(input_total=3, output_total=4))
CLAUDE = Opaque("anthropic.messages", "S")
SEARCH = Raw(b'{"type":"web_search_call","id":"w","status":"completed","action":{"type":"search","query":"q"}}')
PNG = Source(media_type="image/png", data="AAAA")


def context() -> StreamContext:
    return StreamContext(request=REQUEST, response_id="resp_0f", created=5, report=LossReport("strict"))


def read(data: bytes) -> list[Any]:
    events = []
    for block in data.decode().removesuffix("\n\n").split("\n\n"):
        name, _, value = block.partition("\ndata: ")
        events.append(json.loads(value))
        assert name == "event: " + events[-1]["type"]
    return events


def write(events: list[Event], size: int = 1_000) -> list[Any]:
    encoder = ResponsesEncoder(context())
    pieces = [encoder.encode(events[start : start + size]) for start in range(0, len(events), size)]
    return read(b"".join(pieces) + encoder.end())


def judge(told: list[Any]) -> Any:
    """What the SDK makes of a stream: it must know every event and member, and agree to their order."""
    state: ResponseStreamState[Any] = ResponseStreamState(text_format=omit, input_tools=omit)
    made: list[Any] = []
    for one in told:
        event = EVENTS.validate_python(one)
        assert not event.model_extra, (event.type, event.model_extra)
        made = state.handle_event(event)
    return made[-1].response


def part(content: Part, *events: Event, number: int = 0) -> list[Event]:
    return [PartBegin(0, number, content), *events, PartEnd(0, number)]


def kinds(told: list[Any]) -> list[str]:
    return [one["type"].removeprefix("response.") for one in told]


def test_a_plain_answer() -> None:
    told = write([START, *part(Text(text=""), Delta(0, 0, "hel"), Delta(0, 0, "lo")), STOP, USAGE])
    assert kinds(told) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    response = judge(told)
    assert (response.output_text, response.id, response.model) == ("hello", "resp_0f", "assistant")
    assert response.usage.total_tokens == 7


CASES: dict[str, list[Event]] = {
    "whole text": part(Text(text="hello")),
    "begun text": part(Text(text="hel"), Delta(0, 0, "lo")),
    "two texts": [*part(Text(text="a")), *part(Text(text="b"), number=1)],
    "empty": part(Text(text="")),
    "refusal": part(Refusal(text=""), Delta(0, 0, "no")),
    "call": part(ToolCall(id="c", name="f", arguments=""), Delta(0, 0, '{"a"'), Delta(0, 0, ":1}")),
    "whole calls": [
        *part(ToolCall(id="c", name="f", arguments='{"a":1}')),
        *part(ToolCall(id="d", name="f", arguments=""), number=1),
    ],
    "free text call": part(ToolCall(id="c", name="f", arguments="", is_custom=True), Delta(0, 0, "x")),
    "thoughts": [
        *part(Reasoning(text=""), Delta(0, 0, "hm"), SignatureDelta(0, 0, CLAUDE)),
        *part(Reasoning(encrypted=CLAUDE), number=1),
        *part(Text(text="a"), number=2),
    ],
    "summary": part(Reasoning(text="", is_summary=True), Delta(0, 0, "hm")),
    "signed call": part(ToolCall(id="c", name="f", arguments="{}", signature=Opaque("google", "G"))),
    "late signature": part(Text(text="a"), SignatureDelta(0, 0, Opaque("google", "G"))),
    "cited": part(Text(text=""), Delta(0, 0, "abc"), CitationDelta(0, 0, Citation(url="u", title="t", start=0, end=3))),
    "cited whole": part(Text(text="abc", citations=(Citation(url="u"),))),
    "logprobs": part(Text(text=""), LogprobsDelta(0, (TokenLogprob("a", -0.5),)), Delta(0, 0, "a")),
    "late logprobs": [*part(Text(text="a")), LogprobsDelta(0, (TokenLogprob("a", -0.5),))],
    "image": part(Image(source=PNG)),
    "speech": part(Audio(source=Source()), AudioDelta(0, 0, "AA", "hello")),
    "own native": part(Native(dialect="openai.responses", kind="web_search_call", raw=SEARCH)),
    "nothing": [],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [1, 1_000])
def test_the_sdk_takes_it_and_the_whole_answer_agrees(name: str, size: int) -> None:
    events = [START, *CASES[name], Finish(reason="stop"), USAGE]
    told = write(events, size)
    judge(told)
    assert told[-1]["response"] == json.loads(encode_response(fold(events), context()))
    done = [one["item"] for one in told if one["type"] == "response.output_item.done"]
    assert done == told[-1]["response"]["output"]
    deltas = "".join(one["delta"] for one in told if one["type"].endswith("output_text.delta"))
    texts = [part["text"] for item in done for part in item.get("content", ()) if part["type"] == "output_text"]
    assert deltas == "".join(texts)


def test_an_answer_in_one_piece_may_be_streamed() -> None:
    response = fold([START, *CASES["logprobs"], STOP, USAGE])
    assert write(unfold(response))[-1]["response"] == json.loads(encode_response(response, context()))


def test_what_comes_back_from_the_client_is_what_was_sent() -> None:
    parts: list[Part] = [
        Reasoning(text="hm", signature=CLAUDE),
        Reasoning(encrypted=CLAUDE),
        Reasoning(text="unsigned"),
        Text(text="a"),
        ToolCall(id="c", name="f", arguments='{"a":1}', signature=Opaque("google", "G")),
        ToolCall(id="d", name="f", arguments="x", is_custom=True),
    ]
    events = [one for number, content in enumerate(parts) for one in part(content, number=number)]
    output = write([START, *events, STOP])[-1]["response"]["output"]
    [message] = decode_request({"input": Raw(json.dumps(output).encode())}, "m", False).messages
    assert [bare(one) for one in message.parts] == [bare(one) for one in parts]


def bare(content: Part) -> tuple[Any, ...]:
    names = ("text", "signature", "encrypted", "is_summary", "name", "arguments", "is_custom")
    call_id = content.id if isinstance(content, ToolCall) else None
    return type(content), call_id, *(getattr(content, name, None) for name in names)


@pytest.mark.parametrize(("summary", "place"), [(None, "content"), ("auto", "summary"), ("omitted", "content")])
def test_thoughts_stand_where_the_client_looks_for_them(summary: str | None, place: str) -> None:
    request = msgspec.structs.replace(REQUEST, reasoning=ReasoningConfig(summary=summary))
    encoder = ResponsesEncoder(msgspec.structs.replace(context(), request=request))
    thoughts = part(Reasoning(text=""), Delta(0, 0, "hm"))
    told = read(encoder.encode([START, *thoughts, STOP]) + encoder.end())
    judge(told)
    [item] = told[-1]["response"]["output"]
    assert [text["text"] for text in item[place]] == ["hm"]
    assert any(one["type"].startswith("response.reasoning_summary_text") for one in told) == (place == "summary")


@pytest.mark.parametrize(
    ("reason", "last", "status"),
    [
        ("stop", "completed", "completed"),
        ("tool_calls", "completed", "completed"),
        ("length", "incomplete", "incomplete"),
        ("content_filter", "incomplete", "incomplete"),
        ("error", "failed", "failed"),
    ],
)
def test_how_it_ends(reason: Any, last: str, status: str) -> None:
    told = write([START, *part(Text(text="a")), Finish(reason=reason)])
    assert (kinds(told)[-1], told[-1]["response"]["status"]) == (last, status)
    assert told[-1]["response"]["output"][0]["status"] == ("incomplete" if reason == "length" else "completed")
    if last != "failed":
        judge(told)


@pytest.mark.parametrize(
    "begun", [[], [START], [START, *part(Text(text="a"))], [START, PartBegin(0, 0, Text(text=""))]]
)
def test_failures_are_what_the_sdks_raise_on(begun: list[Event]) -> None:
    encoder = ResponsesEncoder(context())
    error = GatewayError(Kind.UPSTREAM_CUT, "broke off")
    told = read(encoder.encode(begun) + encoder.fail(error, "req_1"))
    assert kinds(told)[:2] == ["created", "in_progress"]
    event, failed = told[-2:]
    assert [one["sequence_number"] for one in told] == list(range(len(told)))
    assert event["type"] == "error"
    assert event["error"]["message"] == event["message"] == "broke off"  # the SDKs raise on the nested form
    assert failed["type"] == "response.failed"
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "broke off"}
    EVENTS.validate_python(failed)


def client(body: bytes) -> OpenAI:
    """The SDK, on a connection that answers with `body`."""
    headers = {"content-type": "text/event-stream"}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=body))
    return OpenAI(api_key="k", base_url="http://x/v1", http_client=httpx2.Client(transport=transport), max_retries=0)


def test_the_sdks_stream_helper_gives_the_answer() -> None:
    encoder = ResponsesEncoder(context())
    body = encoder.encode([START, *CASES["thoughts"], STOP, USAGE]) + encoder.end()
    with client(body) as sdk, sdk.responses.stream(model="m", input="q") as stream:
        texts = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert (texts, final.output_text, final.status) == (["a"], "a", "completed")


def test_the_sdk_raises_on_a_failure() -> None:
    encoder = ResponsesEncoder(context())
    body = encoder.encode([START, *part(Text(text="a"))])
    body += encoder.fail(GatewayError(Kind.UPSTREAM_CUT, "broke off"), "req_1")
    with client(body) as sdk, sdk.responses.create(model="m", input="q", stream=True) as stream:
        with pytest.raises(APIError, match="broke off") as caught:
            list(stream)
    assert caught.value.code == "upstream_cut"


@pytest.mark.parametrize(
    ("events", "feature"),
    [
        (part(Native(dialect="google", kind="code", raw=Raw(b"{}"))), Feature.NATIVE_TOOLS),
        (part(Image(source=Source(url="https://x"))), Feature.MEDIA_OUTPUT),
        (part(File(source=Source(url="https://x"))), Feature.MEDIA_OUTPUT),
        (part(Audio(source=Source(data="A"), transcript="t")), Feature.MEDIA_OUTPUT),
        (part(Text(text="a"), CitationDelta(0, 0, Citation(quote="q"))), Feature.CITATIONS),
        ([PartBegin(1, 0, Text(text="a")), Delta(1, 0, "b"), PartEnd(1, 0)], Feature.N),
        ([LogprobsDelta(0, (TokenLogprob("a", -0.5),))], Feature.LOGPROBS),
    ],
)
def test_what_has_no_form_is_noted(events: list[Event], feature: Feature) -> None:
    around = context()
    encoder = ResponsesEncoder(around)
    out = encoder.encode([START, *events, STOP]) + encoder.end()
    judge(read(out))
    assert [loss.feature for loss in around.report.entries] == [feature]


def test_a_server_that_tells_no_status_has_completed_its_answer() -> None:
    decoder = ResponsesDecoder()
    events = decoder.feed(b'data: {"type":"response.completed","response":{"id":"r","model":"m","output":[]}}\n\n')
    assert kinds(write(events))[-1] == "completed"


def test_keep_alive_is_a_comment() -> None:
    assert ResponsesEncoder(context()).encode([KEEP_ALIVE]) == b": keep-alive\n\n"


PARTS = st.one_of(
    st.builds(lambda text: Text(text=text), st.text()),
    st.builds(lambda text: Reasoning(text=text, signature=CLAUDE), st.text(min_size=1)),
    st.builds(lambda text: Refusal(text=text), st.text()),
    st.builds(lambda text: ToolCall(id="c", name="f", arguments=json.dumps({"a": text})), st.text()),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PARTS, max_size=6), st.integers(1, 50))
def test_any_answer_is_read_back(parts: list[Part], size: int) -> None:
    events: list[Event] = [START]
    for number, content in enumerate(parts):
        events += part(content, number=number)
    encoder = ResponsesEncoder(context())
    data = encoder.encode([*events, STOP, USAGE]) + encoder.end()
    decoder = ResponsesDecoder()
    again = fold([one for start in range(0, len(data), size) for one in decoder.feed(data[start : start + size])])
    assert decoder.end() == []
    assert again.usage == dataclasses.replace(USAGE.usage, service="prices")
    assert [bare(one) for one in again.choices[0].parts] == [bare(one) for one in parts]
