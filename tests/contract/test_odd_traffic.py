"""Whatever comes over the wire, every dialect reads it, or says in the error table's words why not; in linear time."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract import hub_strategies as hub
from tests.contract.hub_normal import normal_request
from tests.contract.test_translation import (
    CHAT,
    an_answer,
    body_of,
    codec_of,
    context,
    events_on,
    every_chat_dialect,
    has_tools,
    read_request,
    read_stream,
    written,
)

from gatewright.core.chat import ChatRequest, Message, Part, Reasoning, Text, ToolCall, ToolResult
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Delta, Event, Failure, Finish, PartBegin, PartEnd, Start, UsageReport, fold, unfold
from gatewright.core.loss import Feature, LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import DEFAULT
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.translate.framing import framing_of
from gatewright.translate.identity import parse_fields
from gatewright.wire.aws_event_stream import MessageDecoder, render_headers, render_message

many = settings(max_examples=20, derandomize=True)
any_dialect = st.sampled_from(CHAT)
ODD: list[Any] = [
    *[None, True, False, 0, -1, 1.5, 10**30, "", "x", "\x00", "{}", "[", [], {}, [None], [[]], [{}], {"type": "x"}],
    *[{"type": "text", "text": 1}, [{"type": "text"}], {"text": "x"}, [1, "x"], {"": {}}, "data:;base64,", "model"],
]
"""Values of every shape, to stand where another shape is expected."""
JUNK = (
    *[b"", b"null", b"[]", b"{", b"{}", b'"x"', b"1e999", b"\xff\xfe", b"<html>busy</html>", b"[" * 100_000],
    *[b'{"choices":[{}]}', b'{"candidates":[1]}', b'{"output":{"message":[]}}', b'{"content":{}}', b'{"message":[]}'],
)

RICH = (Reasoning(text="hm"), Text(text="one"), ToolCall(id="call_1", name="f", arguments='{"q":"MARK"}'))


def some_parts(dialect: Dialect) -> tuple[Part, ...]:
    return RICH if has_tools(dialect) else RICH[1:2]


def a_request(dialect: Dialect) -> ChatRequest:
    asked = Message(role="user", parts=(Text(text="go"),))
    result = ToolResult(call_id="call_1", content=(Text(text="done"),))
    talk = [asked]
    if has_tools(dialect):
        talk += [Message(role="assistant", parts=RICH), Message(role="user", parts=(result,))]
    tools = hub.tools(["f"]) if has_tools(dialect) else ()
    sampling = msgspec.structs.replace(ChatRequest(model="m", messages=()).sampling, temperature=0.5, stop=("END",))
    return ChatRequest(model="m", messages=tuple(talk), tools=tools, sampling=sampling, max_output_tokens=9)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield (*path, key)
        yield from places(inner, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], new)
    return copy


@st.composite
def spoiled(draw: st.DrawFn, body: bytes) -> bytes:
    """A body with one or two values of another shape."""
    value = json.loads(body)
    for _ in range(draw(st.integers(1, 2))):
        there = list(places(value))
        if there:
            value = replaced(value, draw(st.sampled_from(there)), draw(st.sampled_from(ODD) | hub.json_values))
    return json.dumps(value).encode()


def tried(expected: set[Kind], call: Callable[[], Any]) -> Any:
    """What a call gives; None when it raises one of the errors it may raise."""
    try:
        return call()
    except GatewayError as error:
        if error.kind in expected and error.message:
            return None
        raise


WRONG = {Kind.MALFORMED_REQUEST, Kind.UNSUPPORTED_FEATURE}
BAD = {Kind.UPSTREAM_BAD_RESPONSE}


@every_chat_dialect
@many
@given(drawn=st.data())
def test_requests_of_wrong_shape_are_malformed(dialect: Dialect, drawn: st.DataObject) -> None:
    """And those that are read can be written for any provider, or are refused in the client's words."""
    body = drawn.draw(spoiled(body_of(dialect, a_request(dialect), LossReport("permissive"))))
    request = tried(WRONG, lambda: read_request(dialect, body))
    if request is not None:
        other = drawn.draw(any_dialect)
        tried(WRONG, partial(body_of, other, request, LossReport("permissive")))


@every_chat_dialect
@many
@given(drawn=st.data())
def test_answers_of_wrong_shape_are_bad_answers(dialect: Dialect, drawn: st.DataObject) -> None:
    """And those that are read can be written for any client."""
    codec = codec_of(dialect)
    body = drawn.draw(spoiled(codec.encode_response(an_answer(*some_parts(dialect)), context())))
    response = tried(BAD, lambda: codec.decode_response(body))
    if response is not None and response.failure is None:
        other = drawn.draw(any_dialect)
        codec_of(other).encode_response(response, context())
        written(other, unfold(response))


@every_chat_dialect
@many
@given(drawn=st.data())
def test_streams_of_wrong_shape_are_bad_answers(dialect: Dialect, drawn: st.DataObject) -> None:
    """And those that are read can be written for any client, as far as they go."""
    events = events_on(dialect, written(dialect, unfold(an_answer(*some_parts(dialect)))))
    number = drawn.draw(st.integers(0, len(events) - 1))
    match drawn.draw(st.sampled_from(["spoil", "repeat", "leave out", "move"])):
        case "spoil":
            events[number] = drawn.draw(in_event(dialect, events[number]))
        case "repeat":
            events.insert(number, events[number])
        case "move":
            events.append(events.pop(number))
        case _:
            del events[number]
    read = tried(BAD, lambda: read_stream(dialect, b"".join(events), 64))
    assert tried(BAD, lambda: read_stream(dialect, b"".join(events))) == read
    if read is not None:
        written(drawn.draw(any_dialect), [event for event in read if not isinstance(event, Failure)])


def in_event(dialect: Dialect, event: bytes) -> st.SearchStrategy[bytes]:
    """An event of a stream with its JSON spoiled."""
    if dialect.stream_type == b"application/vnd.amazon.eventstream":
        (message,) = MessageDecoder().feed(event)
        headers = render_headers(message.headers)
        return spoiled(message.payload).map(lambda payload: render_message(headers, payload))
    data = framing_of(dialect.stream_type).data(event)
    if not data.startswith(b"{"):
        return st.just(event)
    return spoiled(data).map(lambda new: event.replace(data, new))


@every_chat_dialect
@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_junk_is_a_bad_answer(dialect: Dialect, junk: bytes) -> None:
    codec = codec_of(dialect)
    tried(BAD, lambda: codec.decode_response(junk))
    for ending in (b"", b"\n", b"\n\n"):
        for start in (b"", b"data: ", b"event: error\ndata: "):
            events = tried(BAD, partial(read_stream, dialect, start + junk + ending))
            assert events is None or isinstance(events[-1], Failure)
            assert not any(isinstance(event, Finish) for event in events or ())


SURROGATES = ("\\ud83d", "\\udc00x", "\\ud83d\\u0041", "\\ude00\\ud83d", "\\uD83Dx\\uDE00")


@every_chat_dialect
@pytest.mark.parametrize("spelled", SURROGATES)
def test_halves_of_surrogate_pairs_become_characters(dialect: Dialect, spelled: str) -> None:
    """RFC 8259 §8.2 lets them stand in JSON; no UTF-8 text can hold them."""
    parts = tuple(msgspec.structs.replace(p, text="MARK") if isinstance(p, Text) else p for p in some_parts(dialect))
    ask = ChatRequest(model="m", messages=(Message(role="user", parts=(Text(text="MARK"),)),), max_output_tokens=9)
    codec = codec_of(dialect)
    request = read_request(dialect, marked(body_of(dialect, ask, LossReport("permissive")), spelled))
    answer = codec.decode_response(marked(codec.encode_response(an_answer(*parts), context()), spelled))
    stream = fold(read_stream(dialect, in_stream(dialect, written(dialect, unfold(an_answer(*parts))), spelled)))
    for found in (request.messages[-1].parts, answer.choices[0].parts, stream.choices[0].parts):
        text = "".join(part.text for part in found if isinstance(part, Text))
        assert text == json.loads(f'"{spelled}"').encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    for other in CHAT:
        msgspec.json.decode(body_of(other, request, LossReport("permissive")))
        for response in (answer, stream):
            codec_of(other).encode_response(response, context()).decode()
            written(other, unfold(response))


def marked(data: bytes, spelled: str) -> bytes:
    """The mark replaced by escapes, which inside JSON that stands in a string are escaped themselves."""
    inner = spelled.encode()
    return data.replace(b'\\"MARK\\"', b'\\"' + inner.replace(b"\\", b"\\\\") + b'\\"').replace(b"MARK", inner)


def in_stream(dialect: Dialect, data: bytes, spelled: str) -> bytes:
    if dialect.stream_type != b"application/vnd.amazon.eventstream":
        return marked(data, spelled)
    return b"".join(
        render_message(render_headers(message.headers), marked(message.payload, spelled))
        for message in MessageDecoder().feed(data)
    )


# -- linear time


def seconds(work: Callable[[], object]) -> float:
    gc.disable()  # what other tests left behind is not part of the work
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()


def is_linear(small: Callable[[], object], large: Callable[[], object]) -> bool:
    """Whether four times the work takes less than eight times as long, in the best of three tries."""
    return any(seconds(large) < 8 * max(seconds(small), 1e-4) for _ in range(3))


def long_stream(count: int) -> list[Event]:
    return [
        Start(id="answer-1", model="m"),
        PartBegin(0, 0, Text(text="")),
        *[Delta(0, 0, "word ")] * count,
        PartEnd(0, 0),
        Finish(reason="stop"),
        UsageReport(usage=Usage(input_total=1, output_total=count)),
    ]


def long_arguments(count: int) -> list[Event]:
    call = ToolCall(id="c", name="f", arguments='{"q":"')
    return [
        Start(id="answer-1", model="m"),
        PartBegin(0, 0, call),
        *[Delta(0, 0, "word ")] * count,
        Delta(0, 0, '"}'),
        PartEnd(0, 0),
        Finish(reason="tool_calls"),
    ]


@every_chat_dialect
@pytest.mark.parametrize("make", [long_stream, long_arguments], ids=["text", "arguments"])
def test_a_stream_takes_as_long_as_it_is(dialect: Dialect, make: Callable[[int], list[Event]]) -> None:
    if make is long_arguments and not has_tools(dialect):
        return
    small, large = make(2_500), make(10_000)
    encode = codec_of(dialect).stream_encoder
    data = [
        b"".join([encoder.encode([event]) for event in each] + [encoder.end()])
        for each, encoder in ((small, encode(context())), (large, encode(context())))
    ]
    assert is_linear(lambda: written(dialect, small), lambda: written(dialect, large))
    assert is_linear(lambda: fold(read_stream(dialect, data[0], 500)), lambda: fold(read_stream(dialect, data[1], 500)))


@every_chat_dialect
def test_a_history_takes_as_long_as_it_is(dialect: Dialect) -> None:
    def history(turns: int) -> ChatRequest:
        talk: list[Message] = []
        for turn in range(turns):
            call = ToolCall(id=f"call_{turn}", name="f", arguments='{"q":1}')
            result = ToolResult(call_id=f"call_{turn}", content=(Text(text="done"),))
            parts: tuple[Part, ...] = (Text(text="word"), call) if has_tools(dialect) else (Text(text="word"),)
            talk.append(Message(role="user", parts=(Text(text="go"),)))
            talk.append(Message(role="assistant", parts=parts))
            if has_tools(dialect):
                talk.append(Message(role="user", parts=(result,)))
        tools = hub.tools(["f"]) if has_tools(dialect) else ()
        return ChatRequest(model="m", messages=tuple(talk), tools=tools, max_output_tokens=9)

    small, large = history(125), history(500)

    def there_and_back(request: ChatRequest) -> ChatRequest:
        return read_request(dialect, body_of(dialect, request, LossReport("permissive")))

    assert is_linear(lambda: there_and_back(small), lambda: there_and_back(large))


# -- embeddings and counts

EMBEDDINGS = [dialect for dialect in DIALECTS if dialect.embeddings is not None]
COUNTS = [dialect for dialect in DIALECTS if dialect.count is not None]
every_embeddings_dialect = pytest.mark.parametrize("dialect", EMBEDDINGS, ids=[dialect.name for dialect in EMBEDDINGS])


@every_embeddings_dialect
@many
@given(drawn=st.data())
def test_embeddings_come_back(dialect: Dialect, drawn: st.DataObject) -> None:
    codec = dialect.embeddings
    assert codec is not None
    asked = EmbeddingRequest(
        model="m",
        texts=tuple(drawn.draw(st.lists(hub.odd_words, min_size=1, max_size=3))),
        dimensions=drawn.draw(st.none() | st.integers(1, 3000)),
        task=drawn.draw(st.none() | st.sampled_from(["query", "document"])),
    )
    report = LossReport("permissive")
    body = msgspec.json.encode(codec.encode_request(asked, DEFAULT, report))
    back = codec.decode_request(parse_fields(body), "m")
    assert back.texts == asked.texts
    if not report.entries:
        assert (back.dimensions, back.task) == (asked.dimensions, asked.task)
    again = LossReport("permissive")
    assert msgspec.json.encode(codec.encode_request(back, DEFAULT, again)) == body
    assert again.entries == []
    made = EmbeddingResponse(
        model="m",
        vectors=tuple(drawn.draw(st.tuples(*[st.sampled_from([0.5, -1.0, 0.0])] * 2)) for _ in asked.texts),
        usage=Usage(input_total=drawn.draw(st.integers(1, 99))),
    )
    answer = codec.decode_response(codec.encode_response(made, back))
    assert answer.vectors == made.vectors
    assert answer.usage in (made.usage, None)
    spoiled_answer = drawn.draw(spoiled(codec.encode_response(made, back)))
    tried(BAD, lambda: codec.decode_response(spoiled_answer))
    spoiled_body = drawn.draw(spoiled(body))
    tried(WRONG, lambda: codec.decode_request(parse_fields(spoiled_body), "m"))


@pytest.mark.parametrize("dialect", COUNTS, ids=[dialect.name for dialect in COUNTS])
@many
@given(drawn=st.data())
def test_counts_come_back(dialect: Dialect, drawn: st.DataObject) -> None:
    codec = dialect.count
    assert codec is not None
    tokens = drawn.draw(st.integers(0, 10**9))
    body = codec.encode_response(tokens)
    assert codec.decode_response(body) == tokens
    spoiled_answer = drawn.draw(spoiled(body))
    tried(BAD, lambda: codec.decode_response(spoiled_answer))
    asked = drawn.draw(hub.requests(frozenset((Feature.SYSTEM, Feature.IMAGE_DATA, Feature.TOOLS))))
    report = LossReport("permissive")
    back = codec.decode_request(parse_fields(msgspec.json.encode(codec.encode_request(asked, DEFAULT, report))), "m")
    assert len(normal_request(back)["messages"]) == len(normal_request(asked)["messages"])
