"""Streams of the Responses API, read."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.chat import Native, Opaque, Reasoning, Refusal, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    ChatResponse,
    Delta,
    Event,
    Failure,
    Finish,
    PartBegin,
    Start,
    TokenLogprob,
    UsageReport,
    fold,
)
from gatewright.core.usage import Usage
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_response import decode_response
from gatewright.dialects.openai.responses.read_stream import ResponsesDecoder

R = "response."


def event(kind: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, **members}


def at(index: int, content: int | None = None, **members: Any) -> dict[str, Any]:
    return {"output_index": index, "item_id": "x", **({} if content is None else {"content_index": content}), **members}


TEXT: dict[str, Any] = {"type": "output_text", "text": "hello", "annotations": []}
SAID: dict[str, Any] = {"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [TEXT]}
CALL: dict[str, Any] = {"type": "function_call", "id": "f1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}
FREE: dict[str, Any] = {"type": "custom_tool_call", "id": "t1", "call_id": "c2", "name": "g", "input": "free"}
THOUGHT: dict[str, Any] = {
    "type": "reasoning",
    "id": "r1",
    "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
    "encrypted_content": "E",
}
RAW_THOUGHT: dict[str, Any] = {
    "type": "reasoning",
    "id": "r2",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "hm"}],
}
REFUSED: dict[str, Any] = {**SAID, "id": "m2", "content": [{"type": "refusal", "refusal": "no"}]}
SEARCH: dict[str, Any] = {"type": "web_search_call", "id": "w1", "status": "completed", "action": {"type": "search"}}
USAGE = {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12}

CREATED = event(R + "created", response={"id": "resp_1", "model": "m", "created_at": 9, "status": "in_progress"})


def answer(*output: Any, **members: Any) -> dict[str, Any]:
    head = {"id": "resp_1", "object": "response", "model": "m", "created_at": 9, "status": "completed"}
    return {**head, "output": list(output), "usage": USAGE, **members}


def completed(*output: Any, **members: Any) -> dict[str, Any]:
    whole = answer(*output, **members)
    return event(R + ("incomplete" if whole["status"] == "incomplete" else "completed"), response=whole)


def added(index: int, item: dict[str, Any], **empty: Any) -> dict[str, Any]:
    return event(R + "output_item.added", output_index=index, item={**item, "status": "in_progress", **empty})


def done(index: int, item: dict[str, Any]) -> dict[str, Any]:
    return event(R + "output_item.done", output_index=index, item=item)


MESSAGE = [
    added(0, SAID, content=[]),
    event(R + "content_part.added", **at(0, 0), part={**TEXT, "text": ""}),
    event(R + "output_text.delta", **at(0, 0), delta="hel", logprobs=[]),
    event(R + "output_text.delta", **at(0, 0), delta="lo", logprobs=[]),
    event(R + "output_text.done", **at(0, 0), text="hello"),
    event(R + "content_part.done", **at(0, 0), part=TEXT),
    done(0, SAID),
]
CALLS = [
    added(0, CALL, arguments=""),
    event(R + "function_call_arguments.delta", **at(0), delta='{"a"'),
    event(R + "function_call_arguments.delta", **at(0), delta=":1}"),
    event(R + "function_call_arguments.done", **at(0), arguments='{"a":1}'),
    done(0, CALL),
    added(1, FREE, input=""),
    event(R + "custom_tool_call_input.delta", **at(1), delta="free"),
    event(R + "custom_tool_call_input.done", **at(1), input="free"),
    done(1, FREE),
]
THOUGHTS = [
    added(0, THOUGHT, summary=[], encrypted_content="other"),
    event(R + "reasoning_summary_part.added", **at(0), summary_index=0, part={"type": "summary_text", "text": ""}),
    event(R + "reasoning_summary_text.delta", **at(0), summary_index=0, delta="one"),
    event(R + "reasoning_summary_text.done", **at(0), summary_index=0, text="one"),
    event(R + "reasoning_summary_part.done", **at(0), summary_index=0, part=THOUGHT["summary"][0]),
    event(R + "reasoning_summary_part.added", **at(0), summary_index=1, part={"type": "summary_text", "text": ""}),
    event(R + "reasoning_summary_text.delta", **at(0), summary_index=1, delta="two"),
    done(0, THOUGHT),
    added(1, RAW_THOUGHT, content=[]),
    event(R + "content_part.added", **at(1, 0), part={"type": "reasoning_text", "text": ""}),
    event(R + "reasoning_text.delta", **at(1, 0), delta="hm"),
    event(R + "content_part.done", **at(1, 0), part={"type": "reasoning_text", "text": "hm"}),
    done(1, RAW_THOUGHT),
]
REFUSALS = [
    added(0, REFUSED, content=[]),
    event(R + "content_part.added", **at(0, 0), part={"type": "refusal", "refusal": ""}),
    event(R + "refusal.delta", **at(0, 0), delta="n"),
    event(R + "refusal.done", **at(0, 0), refusal="no"),
    done(0, REFUSED),
]
SEARCHES = [
    added(0, SEARCH),
    event(R + "web_search_call.searching", **at(0)),
    event(R + "something.new", output_index={"odd": True}),
    done(0, SEARCH),
]
STREAMS: dict[str, tuple[list[Any], list[Any]]] = {
    "message": (MESSAGE, [SAID]),
    "calls": (CALLS, [CALL, FREE]),
    "thoughts": (THOUGHTS, [THOUGHT, RAW_THOUGHT]),
    "refusal": (REFUSALS, [REFUSED]),
    "hosted tool": (SEARCHES, [SEARCH]),
    "nothing": ([], []),
}


def wire(events: list[Any], *, end: str = "\n", named: bool = True) -> bytes:
    lines = [[f"event: {one['type']}"] * named + [f"data: {json.dumps(one)}"] for one in events]
    return "".join(end.join([*block, "", ""]) for block in lines).encode()


def decode(data: bytes, size: int = 1_000_000) -> list[Event]:
    decoder = ResponsesDecoder()
    events = [one for start in range(0, len(data), size) for one in decoder.feed(data[start : start + size])]
    return events + decoder.end()


def whole(*output: Any) -> ChatResponse:
    return decode_response(json.dumps(answer(*output)).encode())


def spelled(response: ChatResponse) -> Any:
    """A response for comparison: extensions by what they say, not by how it is spelled."""

    def plain(value: Any) -> Any:
        if hasattr(value, "__struct_fields__"):
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__} | {"": type(value).__name__}
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, Usage):
            return value
        return value if value is None or isinstance(value, str | int | float) else json.loads(bytes(value))

    return plain(response)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 7, 64, 1_000_000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_stream_folds_to_the_complete_answer(name: str, size: int, end: str) -> None:
    events, output = STREAMS[name]
    data = wire([CREATED, *events, completed(*output)], end=end)
    assert spelled(fold(decode(data, size))) == spelled(whole(*output))


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("kept", ["done", "completed", "no added", "no deltas", "no done", "not numbered", "no ids"])
def test_servers_that_leave_events_out(name: str, kept: str) -> None:
    events, output = STREAMS[name]
    keeps: dict[str, Callable[[str], bool]] = {
        "done": lambda kind: kind == R + "output_item.done",
        "completed": lambda kind: False,
        "no added": lambda kind: not kind.endswith(".added"),
        "no deltas": lambda kind: not kind.endswith(".delta"),
        "no done": lambda kind: not kind.endswith("output_item.done"),
    }
    told = [dict(one) for one in events if kept not in keeps or keeps[kept](one["type"])]
    if kept == "not numbered":
        for one in told:
            if "item" not in one:
                one.pop("item_id", None)
            one.pop("output_index", None)
    if kept == "no ids":  # or other ids each time
        told = [
            {**one, "item": {**one["item"], "id": f"id-{i}"}} if "item" in one else one for i, one in enumerate(told)
        ]
    response = fold(decode(wire([CREATED, *told, completed(*output)], named=False)))
    found, expected = content(response), content(whole(*output))
    if kept == "no done":  # what only the end tells comes after what was told before
        found, expected = sorted(found, key=str), sorted(expected, key=str)
    assert found == expected


def content(response: ChatResponse) -> list[Any]:
    shown: list[Any] = []
    for part in response.choices[0].parts:
        match part:
            case Text(text=text) | Refusal(text=text):
                shown.append(text)
            case Reasoning():
                shown.append((part.text, part.is_summary, part.encrypted))
            case ToolCall():
                shown.append((part.id, part.name, part.arguments))
            case Native(kind=kind):
                shown.append(kind)
            case _:
                raise AssertionError
    return shown


def test_what_the_parts_are() -> None:
    thoughts = fold(decode(wire([CREATED, *THOUGHTS, completed(THOUGHT, RAW_THOUGHT)])))
    assert content(thoughts) == [
        ("one", True, None),
        ("two", True, None),
        ("", False, Opaque(NAME, "E")),
        ("hm", False, None),
    ]


def test_the_events_of_a_plain_answer() -> None:
    events = decode(wire([CREATED, *MESSAGE, completed(SAID)]))
    assert [type(one).__name__ for one in events] == [
        "Start",
        "PartBegin",
        "Delta",
        "Delta",
        "PartEnd",
        "UsageReport",
        "Finish",
    ]
    start, begin, first, *_ = events
    assert isinstance(start, Start)
    assert (start.id, start.model, start.created) == ("resp_1", "m", 9)
    assert isinstance(begin, PartBegin)
    assert first == Delta(0, 0, "hel")
    assert events[-2] == UsageReport(usage=Usage(input_total=5, output_total=7), extra=events[-2].extra)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (completed(SAID), "stop"),
        (completed(CALL), "tool_calls"),
        (completed(SAID, status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
        (completed(SAID, status="incomplete", incomplete_details={"reason": "content_filter"}), "content_filter"),
    ],
)
def test_how_it_ends(last: Any, reason: str) -> None:
    finish = decode(wire([CREATED, last]))[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == reason


def test_interleaved_calls_stay_apart() -> None:
    second = {**CALL, "id": "f2", "call_id": "c9", "arguments": "[]"}
    events = [
        added(0, CALL, arguments=""),
        added(1, second, arguments=""),
        event(R + "function_call_arguments.delta", **at(1), delta="["),
        event(R + "function_call_arguments.delta", **at(0), delta='{"a":'),
        event(R + "function_call_arguments.delta", **at(1), delta="]"),
        event(R + "function_call_arguments.delta", **at(0), delta="1}"),
        done(1, second),
        done(0, CALL),
    ]
    response = fold(decode(wire([CREATED, *events, completed(CALL, second)])))
    assert content(response) == [("c1", "f", '{"a":1}'), ("c9", "f", "[]")]


def test_log_probabilities_and_citations_come_once() -> None:
    token = {"token": "hello", "logprob": -0.5, "bytes": None, "top_logprobs": []}
    cited = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 5}
    text = {**TEXT, "logprobs": [token], "annotations": [cited, cited]}
    said = {**SAID, "content": [text]}
    events = [
        added(0, SAID, content=[]),
        event(R + "output_text.delta", **at(0, 0), delta="hello", logprobs=[token]),
        event(R + "output_text.annotation.added", **at(0, 0), annotation_index=0, annotation=cited),
        event(R + "content_part.done", **at(0, 0), part=text),
        done(0, said),
    ]
    response = fold(decode(wire([CREATED, *events, completed(said)])))
    [choice] = response.choices
    [part] = choice.parts
    assert isinstance(part, Text)
    assert choice.logprobs == (TokenLogprob("hello", -0.5),)
    assert len(part.citations) == 2


FAULT = {"type": "insufficient_quota", "code": "insufficient_quota", "message": "no money", "param": None}


@pytest.mark.parametrize(
    "events",
    [
        [CREATED, event("error", sequence_number=2, error=FAULT), event(R + "failed", response={"status": "failed"})],
        [CREATED, event("error", code="insufficient_quota", message="no money")],
        [CREATED, event(R + "failed", response=answer(status="failed", error=FAULT, usage=None))],
        [{"error": FAULT}],
    ],
)
def test_failures_inside_a_stream_end_it(events: list[Any]) -> None:
    data = b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in events)
    found = [one for one in decode(data) if not isinstance(one, Start)]
    assert found == [Failure(kind=Kind.UPSTREAM_RATE_LIMITED, message="no money", code="insufficient_quota")]


def test_a_failure_tells_what_was_used() -> None:
    events = decode(wire([CREATED, event(R + "failed", response=answer(status="failed", error=FAULT))]))
    assert [type(one).__name__ for one in events] == ["Start", "UsageReport", "Failure"]


@pytest.mark.parametrize("count", range(len(MESSAGE) + 2))
def test_a_stream_without_its_end_is_cut(count: int) -> None:
    last = decode(wire([CREATED, *MESSAGE, completed(SAID)][:count]))[-1]
    assert isinstance(last, Failure)
    assert last.kind is Kind.UPSTREAM_CUT


def test_the_last_blank_line_may_be_missing() -> None:
    data = wire([CREATED, *MESSAGE, completed(SAID)])
    assert isinstance(decode(data.rstrip())[-1], Finish)
    assert isinstance(decode(data[:-20])[-1], Failure)


def test_pings_keep_alive_and_nothing_follows_the_end() -> None:
    decoder = ResponsesDecoder()
    assert decoder.feed(b": ping\n\n") == [KEEP_ALIVE]
    decoder.feed(wire([CREATED, completed()]))
    assert decoder.feed(wire(MESSAGE) + b"data: [DONE]\n\n") == []
    assert decoder.end() == []


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n",
        b"data: 5\n\n",
        b'data: {"type":"response.output_text.delta","delta":5}\n\n',
        b'data: {"type":"response.completed"}\n\n',
        b'data: {"type":"response.completed","response":5}\n\n',
        b'data: {"type":"response.completed","response":{"output":5}}\n\n',
        b'data: {"type":"response.output_item.done","item":5}\n\n',
        b'data: {"type":"response.output_item.done","item":{"type":"function_call"}}\n\n',
        b'data: {"type":"response.created","response":[]}\n\n',
        b'data: {"type":"\xff"}\n\n',
    ],
)
def test_what_no_client_could_read(data: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        ResponsesDecoder().feed(data)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "text"]), inner, max_size=2)
    ),
    max_leaves=4,
)
ODD = st.dictionaries(
    st.sampled_from(
        [
            "type",
            "item",
            "part",
            "response",
            "delta",
            "text",
            "output_index",
            "content_index",
            "annotation",
            "logprobs",
            "error",
        ]
    ),
    VALUES,
    max_size=5,
)
BASES = st.sampled_from([CREATED, *MESSAGE, *CALLS, *THOUGHTS, *REFUSALS, completed(SAID, CALL)])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(BASES, ODD | st.just({})), max_size=6))
def test_nothing_but_a_gateway_error_ever_comes_out(changes: list[tuple[Any, Any]]) -> None:
    data = wire([{**base, **odd} for base, odd in changes if isinstance(odd.get("type", ""), str)])
    with suppress(GatewayError):
        fold(decode(data))


def test_half_surrogates_become_replacement_characters() -> None:
    data = wire([CREATED]) + b'data: {"type":"response.output_text.delta","output_index":0,"delta":"a\\ud800b"}\n\n'
    assert Delta(0, 0, "a\ufffdb") in ResponsesDecoder().feed(data)
