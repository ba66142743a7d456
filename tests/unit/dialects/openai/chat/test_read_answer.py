from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.dialects.openai.chat.answers import chunk, decode, stream

from gatewright.core.chat import Audio, Image, Native, Opaque, Reasoning, Refusal, Text, ToolCall
from gatewright.core.errors import Kind
from gatewright.core.events import Delta, Failure, Finish, PartBegin, PartEnd, Start, UsageReport, fold
from gatewright.core.usage import Usage
from gatewright.dialects.openai.chat.answer import decode_response


def parts_of(*deltas: dict[str, Any]) -> tuple[Any, ...]:
    (choice,) = fold(decode(stream(*(chunk(delta) for delta in deltas), chunk({}, "stop")))).choices
    return choice.parts


def call(
    index: int | None = 0, id: str | None = None, name: str | None = None, arguments: Any = None
) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    given = {"index": index, "id": id, "function": {k: v for k, v in function.items() if v is not None}}
    return {"tool_calls": [{k: v for k, v in given.items() if v is not None}]}


def test_thoughts_then_text_then_a_call() -> None:
    events = decode(
        stream(
            chunk({"role": "assistant", "content": ""}),
            chunk({"reasoning_content": "h"}),
            chunk({"reasoning_content": "m"}),
            chunk({"content": "Hel"}),
            chunk({"content": "lo"}),
            chunk(call(0, "c1", "f", "")),
            chunk(call(0, arguments='{"a"')),
            chunk(call(0, arguments=":1}")),
            chunk({}, "tool_calls"),
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
        )
    )
    assert events[:3] == [
        Start(id="c1", model="m", created=7),
        PartBegin(0, 0, Reasoning(text="h")),
        Delta(0, 0, "m"),
    ]
    assert events[3:7] == [PartEnd(0, 0), PartBegin(0, 1, Text(text="Hel")), Delta(0, 1, "lo"), PartEnd(0, 1)]
    assert isinstance(events[-1], Finish)
    response = fold(events)
    assert response.choices[0].parts == (
        Reasoning(text="hm"),
        Text(text="Hello"),
        ToolCall(id="c1", name="f", arguments='{"a":1}'),
    )
    assert response.usage == Usage(input_total=1, output_total=2)


CALLS: list[tuple[list[dict[str, Any]], list[tuple[str, str, str]]]] = [
    # by index, in turn
    (
        [call(0, "a", "f", '{"x":'), call(1, "b", "g", "{}"), call(0, arguments="1}")],
        [("a", "f", '{"x":1}'), ("b", "g", "{}")],
    ),
    # no index: a new id is a new call, no id is the last one
    (
        [call(None, "a", "f", "{"), call(None, arguments="}"), call(None, "b", "g", "{}")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    # every call whole, all with index 0
    ([call(0, "a", "f", "{}"), call(0, "b", "f", '{"y":2}')], [("a", "f", "{}"), ("b", "f", '{"y":2}')]),
    # name repeated as an empty string, arguments as an object, none at all
    ([call(0, "a", "f", ""), call(0, name="", arguments='{"q":1}')], [("a", "f", '{"q":1}')]),
    ([call(0, "a", "f", {"q": 1})], [("a", "f", '{"q":1}')]),
    ([call(0, "a", "f")], [("a", "f", "{}")]),
    # the name comes late
    ([call(0, "a", "", ""), call(0, name="f", arguments="{}")], [("a", "f", "{}")]),
    # an id that is told again
    ([call(0, "a", "f", "{"), call(0, "a", "f", "}")], [("a", "f", "{}")]),
]


@pytest.mark.parametrize(("deltas", "expected"), CALLS)
def test_calls_in_the_forms_of_hosts(deltas: list[dict[str, Any]], expected: list[tuple[str, str, str]]) -> None:
    events = decode(stream(*(chunk(delta) for delta in deltas), chunk({}, "stop")))
    (choice,) = fold(events).choices
    assert [(p.id, p.name, p.arguments) for p in choice.parts if isinstance(p, ToolCall)] == expected
    assert choice.finish is not None
    assert (choice.finish.reason, choice.finish.native) == ("tool_calls", "stop")
    assert sum(isinstance(event, PartEnd) for event in events) == len(expected)


def test_calls_without_ids_get_some_that_differ_and_stay() -> None:
    deltas = [call(0, "", "f", "{}"), call(0, "", "f", "{}")]
    ids = [part.id for part in parts_of(*deltas)]
    assert len(set(ids)) == 2
    assert ids == [part.id for part in parts_of(*deltas)]


def test_a_call_ends_when_the_next_begins_and_it_is_whole() -> None:
    events = decode(stream(chunk(call(0, "a", "f", "{}")), chunk(call(1, "b", "g", "{}")), done=False))
    assert events.index(PartEnd(0, 0)) < next(
        n for n, event in enumerate(events) if isinstance(event, PartBegin) and event.part == 1
    )


def test_entries_of_thoughts_are_put_together_by_type_and_index() -> None:
    def entry(**members: Any) -> dict[str, Any]:
        return {"reasoning": "dup", "reasoning_details": [{"index": 0, "format": "anthropic-claude-v1", **members}]}

    parts = parts_of(
        entry(type="reasoning.text", text="a", signature=""),
        entry(type="reasoning.text", text="b"),
        entry(type="reasoning.text", signature="s"),
        entry(type="reasoning.encrypted", data="d", id="rs"),
        {"content": "x"},
    )
    assert [type(part) for part in parts] == [Reasoning, Reasoning, Text]
    assert (parts[0].text, parts[0].signature) == ("ab", Opaque("openai.chat", "s"))
    assert (parts[1].encrypted, parts[1].id) == (Opaque("openai.chat", "d"), "rs")


def test_lists_of_content_hold_thoughts_and_text() -> None:
    parts = parts_of(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]},
        {"content": [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}, "b"]},
    )
    assert [type(part) for part in parts] == [Reasoning, Text, Native, Text]
    assert parts[0].text == "hm"


def test_rare_parts() -> None:
    (refusal,) = parts_of({"refusal": "I "}, {"refusal": "won't"})
    assert refusal == Refusal(text="I won't")
    (audio,) = parts_of({"audio": {"id": "a1", "transcript": "he"}}, {"audio": {"data": "AAAA", "transcript": "y"}})
    assert isinstance(audio, Audio)
    assert (audio.id, audio.source.data, audio.transcript) == ("a1", "AAAA", "hey")
    (image,) = parts_of({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]})
    assert isinstance(image, Image)
    assert image.source.data == "AA=="
    (text,) = parts_of({"content": "a"}, {"extra_content": {"google": {"thought_signature": "s"}}})
    assert text == Text(text="a", signature=Opaque("openai.chat", "s"))
    (legacy,) = parts_of({"function_call": {"name": "f", "arguments": "{"}}, {"function_call": {"arguments": "}"}})
    assert (legacy.name, legacy.arguments) == ("f", "{}")


def test_citations_wait_for_their_text() -> None:
    note = {
        "type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 1},
    }
    (text,) = parts_of({"content": "", "annotations": [note]}, {"content": "x"})
    assert [(c.url, c.title, c.start, c.end) for c in text.citations] == [("https://a", "A", 0, 1)]


def test_several_choices_and_log_probabilities() -> None:
    logprobs = {"content": [{"token": "a", "logprob": -1, "bytes": [97], "top_logprobs": []}]}
    response = fold(
        decode(
            stream(
                chunk({"content": "a"}, index=0, logprobs=logprobs),
                chunk({"content": "b"}, index=1),
                chunk({}, "stop", index=1),
                chunk({}, "length", index=0),
            )
        )
    )
    assert [choice.parts for choice in response.choices] == [(Text(text="a"),), (Text(text="b"),)]
    assert response.choices[0].logprobs[0].bytes == (97,)
    assert [choice.finish and choice.finish.reason for choice in response.choices] == ["length", "stop"]


def test_a_chunk_without_choices_names_nothing() -> None:
    first = {"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": []}
    events = decode(stream(first, chunk({"content": "a"}, "stop")))
    assert events[0] == Start(id="c1", model="m", created=7)


def test_usage_may_stand_beside_choices_or_with_groq() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    for last in ({**chunk({}, "stop"), "usage": usage}, {**chunk({}, "stop"), "x_groq": {"usage": usage}}):
        reports = [event for event in decode(stream(chunk({"content": "a"}), last)) if isinstance(event, UsageReport)]
        assert [report.usage for report in reports] == [Usage(input_total=3, output_total=4)]


def test_a_failure_after_the_finish_counts() -> None:
    events = decode(stream(chunk({"content": "a"}), chunk({}, "stop"), {"error": {"code": 429, "message": "slow"}}))
    assert events[-1] == Failure(kind=Kind.UPSTREAM_RATE_LIMITED, message="slow", code="429")
    assert not any(isinstance(event, Finish) for event in events)


def test_a_complete_answer_reads_like_its_stream() -> None:
    message = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": "Hello",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    answer = {**chunk({}), "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    whole = decode_response(msgspec.json.encode(answer))
    deltas = [{"reasoning_content": "hm"}, {"content": "Hel"}, {"content": "lo"}, call(0, "a", "f", "{}")]
    assert whole == fold(decode(stream(*(chunk(delta) for delta in deltas), chunk({}, "tool_calls"))))
