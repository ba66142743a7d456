from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.dialects.openai.chat.answers import chunks_of, context, decode, encode, through_client

from gatewright.core.chat import (
    Audio,
    Citation,
    Image,
    Message,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    Tool,
    ToolCall,
)
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    ChatResponse,
    Choice,
    Delta,
    Event,
    Finish,
    FinishReason,
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
from gatewright.core.usage import Usage
from gatewright.dialects.openai.chat.read_message import MessageReader
from gatewright.dialects.openai.chat.stream_encoder import ChatEncoder
from gatewright.dialects.openai.chat.words import extended
from gatewright.wire.json_object import JsonObject

START = Start(id="r1", model="m", created=5)


def response(*parts: Part, reason: FinishReason = "stop", **more: Any) -> ChatResponse:
    finish = Finish(reason=reason, native="theirs", dialect="another")
    return ChatResponse(id="r1", model="m", created=5, choices=(Choice(parts=parts, finish=finish),), **more)


def deltas(data: bytes) -> list[dict[str, Any]]:
    return [item["choices"][0]["delta"] for item in chunks_of(data) if item["choices"]]


def test_a_plain_answer() -> None:
    events: list[Event] = [
        START,
        PartBegin(0, 0, Text(text="")),
        Delta(0, 0, 'H"ä'),
        PartEnd(0, 0),
        UsageReport(usage=Usage(input_total=1, output_total=2)),
        Finish(reason="stop"),
    ]
    chunks = chunks_of(encode(events, context()))
    assert [item["choices"][0]["delta"] for item in chunks[:-1]] == [
        {"role": "assistant", "content": ""},
        {"content": 'H"ä'},
        {},
    ]
    assert {(item["id"], item["created"], item["model"]) for item in chunks} == {("r1", 5, "m")}
    assert [item["choices"][0]["finish_reason"] for item in chunks[:-1]] == [None, None, "stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 3
    assert encode(events, context()).endswith(b"data: [DONE]\n\n")


def test_usage_is_told_to_who_asked() -> None:
    events: list[Event] = [START, UsageReport(usage=Usage(input_total=1)), Finish(reason="stop")]
    assert b"prompt_tokens" not in encode(events, context(include_usage=False))


def test_a_failure_is_no_end() -> None:
    encoder = ChatEncoder(context())
    encoder.encode([START, PartBegin(0, 0, Text(text="a"))])
    told = encoder.fail(GatewayError(Kind.UPSTREAM_CUT, "it broke off"), "req")
    assert b'data: {"error":' in told
    assert b"[DONE]" not in told


def test_calls_are_numbered_among_themselves_and_may_overlap() -> None:
    events: list[Event] = [
        START,
        PartBegin(0, 0, Text(text="a")),
        PartEnd(0, 0),
        PartBegin(0, 1, ToolCall(id="x", name="f", arguments="")),
        PartBegin(0, 2, ToolCall(id="y", name="g", arguments='{"b":2}')),
        Delta(0, 1, '{"a":'),
        PartEnd(0, 2),
        Delta(0, 1, "1}"),
        PartEnd(0, 1),
        PartBegin(0, 3, ToolCall(id="z", name="h", arguments="")),
        PartEnd(0, 3),
        Finish(reason="tool_calls"),
    ]
    found = [delta["tool_calls"][0] for delta in deltas(encode(events, context())) if "tool_calls" in delta]
    assert [call["index"] for call in found] == [0, 1, 0, 0, 2, 2]
    assert found[-1]["function"] == {"arguments": "{}"}
    *others, last = fold(decode(encode(events, context()))).choices[0].parts
    assert tuple(others) == fold(events).choices[0].parts[:3]
    assert last == ToolCall(id="z", name="h", arguments="{}")


def assistant_of(data: bytes) -> dict[str, Any]:
    """The message that a client puts together from a stream, as the vendor's own libraries do: by index."""
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    for delta in deltas(data):
        for name, value in delta.items():
            if isinstance(value, str) and name != "role":
                message[name] = (message.get(name) or "") + value
            elif name == "tool_calls":
                for call in value:
                    calls = message.setdefault(name, [])
                    if call["index"] == len(calls):
                        calls.append(call)
                    else:
                        calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            elif isinstance(value, list):
                message.setdefault(name, []).extend(value)
            elif isinstance(value, dict):
                message[name] = value
    return message


ECHOES: list[tuple[Part, ...]] = [
    (
        Reasoning(text="I must call.", signature=Opaque("anthropic.messages", "Eu+/==")),
        Reasoning(encrypted=Opaque("anthropic.messages", "redacted+/=")),
        Text(text="Calling."),
        ToolCall(id="toolu_1", name="f", arguments='{"a":1}'),
    ),
    (
        Text(text="Look:", signature=Opaque("google.generate_content", "t+/=")),
        ToolCall(id="c1", name="f", arguments="{}", signature=Opaque("google.generate_content", "c1+/=")),
        ToolCall(id="c2", name="g", arguments="{}", signature=Opaque("google.generate_content", "c2+/=")),
    ),
    (
        Reasoning(text="unsigned"),
        Reasoning(text="signed", signature=Opaque("anthropic.messages", "s")),
        Reasoning(text="after"),
        Reasoning(text="named", id="rs_2"),
        Text(text="x"),
    ),
    (
        Reasoning(text="one", signature=Opaque("anthropic.messages", "s1")),
        Reasoning(text="two", signature=Opaque("anthropic.messages", "s2")),
        Text(text="x"),
    ),
    (Reasoning(text="sum", is_summary=True, id="rs_1", encrypted=Opaque("openai.responses", "gAAA")), Text(text="x")),
]


@pytest.mark.parametrize("parts", ECHOES)
@pytest.mark.parametrize("in_pieces", [False, True])
def test_what_must_come_back_comes_back_with_the_clients_next_request(parts: tuple[Part, ...], in_pieces: bool) -> None:
    events = unfold(response(*parts))
    if in_pieces:
        events = [piece for event in events for piece in split(event)]
    echoed = assistant_of(encode(events, context()))
    body = JsonObject.parse(msgspec.json.encode({"messages": [echoed]}))
    (message,) = MessageReader().read_all(body)
    assert message == Message(role="assistant", parts=parts)


def split(event: Event) -> list[Event]:
    """The same content, begun empty and signed at the end."""
    if not isinstance(event, PartBegin):
        return [event]
    content = event.content
    if isinstance(content, Reasoning | Text) and content.text:
        empty = msgspec.structs.replace(content, text="", signature=None)
        pieces: list[Event] = [PartBegin(event.choice, event.part, empty)]
        pieces += [Delta(event.choice, event.part, letter) for letter in content.text]
        if content.signature is not None:
            pieces.append(SignatureDelta(event.choice, event.part, content.signature))
        return pieces
    return [event]


@pytest.mark.parametrize("parts", [ECHOES[0], ECHOES[1], ECHOES[3]])
def test_a_gateway_behind_a_gateway_reads_it_too(parts: tuple[Part, ...]) -> None:
    assert through_client(response(*parts)).choices[0].parts == parts


def test_thoughts_are_apart() -> None:
    data = encode(unfold(response(Reasoning(text="a"), Reasoning(text=""), Reasoning(text="b"))), context())
    assert "".join(delta.get("reasoning_content", "") for delta in deltas(data)) == "a\n\nb"


def test_rare_parts() -> None:
    parts = (
        Text(text="ab", citations=(Citation(url="u", start=0, end=1), Citation(title="no address"))),
        Text(text="c", citations=(Citation(url="v", start=0, end=1),)),
        Refusal(text="no"),
        Audio(source=Source(data="AAAA"), transcript="t", id="a1"),
        Image(source=Source(url="u")),
        Native(dialect="another", kind="search", raw=msgspec.Raw(b"{}")),
    )
    ask = context()
    found = deltas(encode(unfold(response(*parts)), ask))
    notes = [delta["annotations"][0]["url_citation"] for delta in found if "annotations" in delta]
    assert [(note["url"], note["start_index"]) for note in notes] == [("u", 0), ("v", 2)]
    assert [note["index"] for delta in found for note in delta.get("annotations", ())] == [0, 1]
    assert {"refusal": "no"} in found
    assert {"audio": {"id": "a1", "data": "AAAA", "transcript": "t"}} in found
    assert any("images" in delta for delta in found)
    assert len(ask.report.entries) == 2


def test_log_probabilities() -> None:
    events: list[Event] = [START, LogprobsDelta(0, (TokenLogprob("a", -1.0),)), Finish(reason="stop")]
    data = encode(events, context())
    assert [item["choices"][0]["logprobs"] for item in chunks_of(data)][1]["content"][0]["token"] == "a"
    assert fold(decode(data)).choices[0].logprobs == (TokenLogprob("a", -1.0),)


def test_clients_of_functions_get_one() -> None:
    tools = (Tool(name="f", extra=extended(None, form="functions")),)
    call = ToolCall(id="x", name="f", arguments='{"a":1}')
    chunks = chunks_of(encode(unfold(response(call, reason="tool_calls")), context(tools=tools)))
    assert chunks[1]["choices"][0]["delta"] == {"function_call": {"name": "f", "arguments": '{"a":1}'}}
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


@settings(max_examples=60, deadline=None)
@given(
    st.text(),
    st.text(min_size=1),
    st.lists(st.tuples(st.text(min_size=1), st.dictionaries(st.text(), st.integers(), max_size=3)), max_size=3),
)
def test_any_text_goes_through(thoughts: str, text: str, calls: list[tuple[str, dict[str, int]]]) -> None:
    made = tuple(
        ToolCall(id=f"c{index}", name=name, arguments=msgspec.json.encode(arguments).decode())
        for index, (name, arguments) in enumerate(calls)
    )
    parts: tuple[Part, ...] = (Text(text=text), *made)
    if thoughts:
        parts = (Reasoning(text=thoughts), *parts)
    assert through_client(response(*parts)).choices[0].parts == parts
