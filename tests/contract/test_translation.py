"""Laws of translation, for every dialect there is: whatever goes through the hub means the same on the other side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract import hub_strategies as hub
from tests.contract.hub_normal import Plain, equivalent, normal_answer, normal_request

from gatewright.core.chat import ChatRequest, Message, Part, Text, ToolCall, ToolResult
from gatewright.core.codec import ChatCodec, StreamContext
from gatewright.core.errors import KINDS, GatewayError, Kind
from gatewright.core.events import (
    ChatResponse,
    Choice,
    Delta,
    Event,
    Failure,
    Finish,
    FinishReason,
    KeepAlive,
    PartBegin,
    PartEnd,
    Start,
    UsageReport,
    fold,
    unfold,
)
from gatewright.core.loss import Feature, LossReport
from gatewright.core.surface import Dialect
from gatewright.core.traits import DEFAULT
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.testing.feature_probes import PROBES, probe
from gatewright.translate.framing import framing_of
from gatewright.translate.identity import parse_fields
from gatewright.translate.sequence import Sequencer

CHAT = [dialect for dialect in DIALECTS if dialect.chat is not None]
CUTS = (1, 7, 64)
WHOLE = 1 << 30

every_chat_dialect = pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])
few = settings(max_examples=12, derandomize=True)


def codec_of(dialect: Dialect) -> ChatCodec:
    assert dialect.chat is not None
    return dialect.chat


@cache
def exact(dialect: Dialect) -> frozenset[Feature]:
    return frozenset(feature for feature in PROBES if probe(dialect, feature) is None)


def has_tools(dialect: Dialect) -> bool:
    return Feature.TOOLS in exact(dialect)


def context(report: LossReport | None = None) -> StreamContext:
    request = ChatRequest(model="m", messages=())
    return StreamContext(request=request, response_id="made-1", created=1, report=report or LossReport())


def body_of(dialect: Dialect, request: ChatRequest, report: LossReport) -> bytes:
    return msgspec.json.encode(codec_of(dialect).encode_request(request, DEFAULT, report))


def read_request(dialect: Dialect, body: bytes) -> ChatRequest:
    return codec_of(dialect).decode_request(parse_fields(body), "m", False)


def read_stream(dialect: Dialect, data: bytes, size: int = WHOLE) -> list[Event]:
    decoder = codec_of(dialect).stream_decoder()
    events: list[Event] = []
    for at in range(0, len(data), size):
        events += decoder.feed(data[at : at + size])
    return [event for event in events + decoder.end() if not isinstance(event, KeepAlive)]


def in_sequence(dialect: Dialect, events: Sequence[Event]) -> list[Event]:
    return list(events) if codec_of(dialect).can_overlap else Sequencer().feed(events)


def written(dialect: Dialect, events: Sequence[Event]) -> bytes:
    encoder = codec_of(dialect).stream_encoder(context())
    sequencer = None if codec_of(dialect).can_overlap else Sequencer()
    pieces = [encoder.encode([event] if sequencer is None else sequencer.feed([event])) for event in events]
    return b"".join([*pieces, encoder.end()])


def events_on(dialect: Dialect, data: bytes) -> list[bytes]:
    """The events of a stream as they stand on the wire."""
    framing = framing_of(dialect.stream_type)
    return framing.split(framing.feed(data))


# -- requests


@every_chat_dialect
@few
@given(drawn=st.data())
def test_what_is_carried_without_loss_comes_back(dialect: Dialect, drawn: st.DataObject) -> None:
    request = drawn.draw(hub.requests(exact(dialect), name=dialect.name))
    report = LossReport("permissive")
    back = read_request(dialect, body_of(dialect, request, report))
    if not report.entries:  # what is exact by itself may exclude another: one of two penalties
        assert said(dialect, back) == said(dialect, request)


@every_chat_dialect
@few
@given(drawn=st.data())
def test_what_was_read_is_written_without_loss(dialect: Dialect, drawn: st.DataObject) -> None:
    """Whatever became of a request the first time, nothing more is lost the second time."""
    request = drawn.draw(hub.requests(name=dialect.name))
    once = read_request(dialect, body_of(dialect, request, LossReport("permissive")))
    report = LossReport("permissive")
    body = body_of(dialect, once, report)
    assert report.entries == []
    assert said(dialect, read_request(dialect, body)) == said(dialect, once)


def said(dialect: Dialect, request: ChatRequest) -> Plain:
    return equivalent(normal_request(request), dialect.name)


@every_chat_dialect
def test_arguments_may_be_empty_or_giant(dialect: Dialect) -> None:
    if not has_tools(dialect):
        return
    giant = json.dumps({"text": "é\n" * 350_000}, ensure_ascii=False)
    assert len(giant.encode()) > 1_000_000
    for arguments in ("", "{}", giant):
        call = ToolCall(id="call_1", name="f", arguments=arguments)
        messages = (
            Message(role="user", parts=(Text(text="go"),)),
            Message(role="assistant", parts=(call,)),
            Message(role="user", parts=(ToolResult(call_id="call_1", content=(Text(text=arguments),)),)),
        )
        request = ChatRequest(model="m", messages=messages, tools=hub.tools(["f"]), max_output_tokens=9)
        back = read_request(dialect, body_of(dialect, request, LossReport("permissive")))
        assert [call.arguments for call in calls_of(back.messages)] == [compact(arguments)]
        answer = an_answer(call)
        whole = codec_of(dialect).decode_response(codec_of(dialect).encode_response(answer, context()))
        pieces = [arguments[at : at + 100_000] for at in range(0, len(arguments), 100_000)]
        events: list[Event] = [
            Start(id="answer-1", model="m"),
            PartBegin(0, 0, msgspec.structs.replace(call, arguments="")),
            *[Delta(0, 0, piece) for piece in pieces],
            PartEnd(0, 0),
            Finish(reason="tool_calls"),
            UsageReport(usage=Usage(input_total=1, output_total=1)),
        ]
        for found in (whole, fold(read_stream(dialect, written(dialect, events), 10_000))):
            assert [call.arguments for call in calls_of(found.choices)] == [compact(arguments)]


def compact(arguments: str) -> str:
    return json.dumps(json.loads(arguments or "{}"), ensure_ascii=False, separators=(",", ":"))


def calls_of(holders: Sequence[Message | Choice]) -> list[ToolCall]:
    found = [part for holder in holders for part in holder.parts if isinstance(part, ToolCall)]
    return [msgspec.structs.replace(call, arguments=compact(call.arguments)) for call in found]


def an_answer(*parts: Part) -> ChatResponse:
    kind: FinishReason = "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"
    return ChatResponse(
        id="answer-1",
        model="m",
        choices=(Choice(parts=parts, finish=Finish(reason=kind)),),
        usage=Usage(input_total=3, output_total=2),
    )


# -- answers and streams


@every_chat_dialect
@few
@given(drawn=st.data())
def test_an_answer_comes_back(dialect: Dialect, drawn: st.DataObject) -> None:
    response = drawn.draw(hub.responses(has_tools=has_tools(dialect)))
    codec = codec_of(dialect)
    report = LossReport()
    back = codec.decode_response(codec.encode_response(response, context(report)))
    if not report.entries:
        assert content(back) == content(response)
    assert_counts(back.usage, response.usage)
    again = codec.decode_response(codec.encode_response(back, context()))
    assert normal_answer(again) == normal_answer(back)


@every_chat_dialect
@few
@given(drawn=st.data())
def test_a_stream_and_its_complete_answer_are_one(dialect: Dialect, drawn: st.DataObject) -> None:
    response = drawn.draw(hub.responses(has_tools=has_tools(dialect)))
    events = drawn.draw(hub.streams(response))
    codec = codec_of(dialect)
    whole = codec.decode_response(codec.encode_response(fold(events), context()))
    data = written(dialect, events)
    read = read_stream(dialect, data)
    assert normal_answer(fold(read)) == normal_answer(whole)
    cuts = sorted(drawn.draw(st.lists(st.integers(0, len(data)), max_size=6)))
    decoder = codec.stream_decoder()
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    in_pieces = [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()
    assert [event for event in in_pieces if not isinstance(event, KeepAlive)] == read
    assert [size for size in CUTS if read_stream(dialect, data, size) != read] == []


def content(response: ChatResponse) -> Any:
    return normal_answer(response)["choices"]


def assert_counts(found: Usage | None, expected: Usage | None) -> None:
    """Totals are kept; a part of them that the dialect does not tell is 0, never another number."""
    assert found is not None
    assert expected is not None
    assert (found.input_total, found.output_total) == (expected.input_total, expected.output_total)
    for name in (field.name for field in fields(Usage)):
        # Of the service a dialect may have to say something: then it is the usual one.
        allowed = ("", "prices") if name == "service" else (0, None)
        assert getattr(found, name) in (getattr(expected, name), *allowed), name


@every_chat_dialect
@few
@given(drawn=st.data())
def test_events_keep_their_grammar(dialect: Dialect, drawn: st.DataObject) -> None:
    """Start first, parts numbered in the order they begin and ended before the finish, nothing after it but usage."""
    response = drawn.draw(hub.responses(has_tools=has_tools(dialect)))
    events = read_stream(dialect, written(dialect, drawn.draw(hub.streams(response))))
    assert isinstance(events[0], Start)
    begun: list[int] = []
    ended: list[int] = []
    finished = False
    for event in events[1:]:
        assert not isinstance(event, Start | Failure)
        if isinstance(event, PartBegin):
            assert event.part == len(begun)
            begun.append(event.part)
        elif isinstance(event, PartEnd):
            assert event.part in set(begun) - set(ended)
            ended.append(event.part)
        elif isinstance(event, Delta):
            assert event.part in set(begun) - set(ended)
            assert event.text
        elif isinstance(event, Finish):
            assert not finished
            assert sorted(ended) == begun
            finished = True
        assert not finished or isinstance(event, Finish | UsageReport)
    assert finished


@every_chat_dialect
@few
@given(drawn=st.data())
def test_a_stream_that_is_cut_is_no_answer(dialect: Dialect, drawn: st.DataObject) -> None:
    """A beginning of a stream either fails or has everything but usage: never is half an answer taken for one."""
    response = drawn.draw(hub.responses(has_tools=has_tools(dialect)))
    data = written(dialect, drawn.draw(hub.streams(response)))
    whole = content(fold(read_stream(dialect, data)))
    pieces = events_on(dialect, data)
    places = {len(b"".join(pieces[:count])) for count in range(len(pieces))}
    places |= set(drawn.draw(st.lists(st.integers(0, len(data) - 1), max_size=5)))
    for place in places:
        events = read_stream(dialect, data[:place])
        if not isinstance(events[-1], Failure):
            assert content(fold(events)) == whole
            continue
        assert events[-1].kind is Kind.UPSTREAM_CUT
        assert not any(isinstance(event, Finish) for event in events) or content(fold(events)) == whole
    nothing = read_stream(dialect, b"")
    assert [type(event) for event in nothing] == [Failure]


@every_chat_dialect
@pytest.mark.parametrize("kind", Kind)
def test_every_failure_is_told_in_the_stream(dialect: Dialect, kind: Kind) -> None:
    """Wherever an answer fails, its client is told, and can never take what it has for the whole."""
    error = GatewayError(kind, 'what "was" wrong:\n\nand how to mend it é', cause=RuntimeError("inner"))
    parts = (Text(text="one"), ToolCall(id="c", name="f", arguments='{"a":1}'))
    events = unfold(an_answer(*parts[: 2 if has_tools(dialect) else 1]))
    begun = [event for event in events if not isinstance(event, Finish | UsageReport)]
    for count in range(len(begun) + 1):
        encoder = codec_of(dialect).stream_encoder(context())
        data = encoder.encode(begun[:count]) + encoder.fail(error, "req-1")
        assert b"inner" not in data
        for size in (WHOLE, 7):
            read = read_stream(dialect, data, size)
            assert not any(isinstance(event, Finish) for event in read)
            assert [event for event in read if isinstance(event, Failure)] == read[-1:]
            failure = read[-1]
            assert isinstance(failure, Failure)
            assert KINDS[kind].exposed is (error.message in failure.message)
            assert error.public_message in failure.message


@every_chat_dialect
def test_several_answers_stay_apart(dialect: Dialect) -> None:
    response = msgspec.structs.replace(
        an_answer(Text(text="one")),
        choices=tuple(
            Choice(index=index, parts=(Text(text=text),), finish=Finish(choice=index, reason="stop"))
            for index, text in enumerate(("one", "two"))
        ),
    )
    codec = codec_of(dialect)
    whole = codec.decode_response(codec.encode_response(response, context()))
    streamed = fold(read_stream(dialect, written(dialect, unfold(response))))
    kept = content(response)[: 2 if Feature.N in exact(dialect) else 1]
    assert content(whole) == kept
    assert content(streamed) == kept
