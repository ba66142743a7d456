"""Complete answers, both ways."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    ChatRequest,
    Citation,
    Extension,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
)
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice, Finish, TokenLogprob
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.anthropic.response import decode_response, encode_response
from gatewright.dialects.anthropic.vocabulary import JSON_TOOL, NAME

ANSWER: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "Eq"},
        {"type": "text", "text": "I look."},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}, "caller": {"type": "direct"}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "container": {"id": "c"},
    "usage": {
        "input_tokens": 5,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 3,
        "output_tokens": 7,
        "service_tier": "standard",
    },
}


def read(**members: Any) -> ChatResponse:
    return decode_response(msgspec.json.encode(ANSWER | members))


def write(
    *parts: Part, finish: Finish | None = None, **members: Any
) -> tuple[dict[str, Any], list[tuple[Feature, Outcome]]]:
    report = LossReport("strict")
    request = ChatRequest(model="published", messages=())
    context = StreamContext(request=request, response_id="msg_made", created=0, report=report)
    choices = (Choice(parts=parts, finish=finish),)
    body = encode_response(ChatResponse(**{"id": "x", "model": "m", "choices": choices} | members), context)
    return msgspec.json.decode(body), [(loss.feature, loss.outcome) for loss in report.entries]


def test_an_answer_is_read() -> None:
    native = Raw(b'{"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}}')
    assert read() == ChatResponse(
        id="msg_1",
        model="claude",
        choices=(
            Choice(
                parts=(
                    Reasoning(text="hm", signature=Opaque(NAME, "Eq")),
                    Text(text="I look."),
                    Native(dialect=NAME, kind="server_tool_use", raw=native),
                    ToolCall(
                        id="toolu_1",
                        name="f",
                        arguments='{"a":1}',
                        extra=Extension(NAME, {"caller": Raw(b'{"type":"direct"}')}),
                    ),
                ),
                finish=Finish(
                    reason="tool_calls",
                    native="tool_use",
                    dialect=NAME,
                    extra=Extension(NAME, {"container": Raw(b'{"id":"c"}')}),
                ),
            ),
        ),
        usage=Usage(input_total=8, input_cached_read=3, output_total=7, service="prices"),
        usage_extra=Extension(NAME, {"service_tier": Raw(b'"standard"')}),
    )


def test_an_answer_comes_back() -> None:
    response = read()
    choice = response.choices[0]
    body, losses = write(
        *choice.parts,
        finish=choice.finish,
        id=response.id,
        model=response.model,
        usage=response.usage,
        usage_extra=response.usage_extra,
    )
    assert body == ANSWER
    assert losses == []


def test_the_stand_ins_call_is_the_answer() -> None:
    call = {"type": "tool_use", "id": "t", "name": JSON_TOOL, "input": {"a": "b"}}
    choice = read(content=[call]).choices[0]
    assert choice.parts == (Text(text='{"a":"b"}'),)
    assert choice.finish is not None
    assert (choice.finish.reason, choice.finish.native) == ("stop", None)
    real = {"type": "tool_use", "id": "u", "name": "f", "input": {}}
    choice = read(content=[call, real]).choices[0]
    assert [type(part) for part in choice.parts] == [Text, ToolCall]
    assert choice.finish is not None
    assert choice.finish.reason == "tool_calls"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"content":7}',
        b'{"content":[7]}',
        b'{"content":[{"type":"text"}]}',
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        b'{"content":[],"model":7}',
        b'{"content":[],"stop_reason":7}',
        b"\xff",
    ],
)
def test_what_no_client_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_usage_that_makes_no_sense_costs_only_itself() -> None:
    assert read(usage={"input_tokens": -5}).usage is None
    assert read(usage=None).usage is None


@settings(max_examples=150, derandomize=True)
@given(cut=st.integers(0, 500), junk=st.binary(max_size=3))
def test_no_answer_is_too_odd(cut: int, junk: bytes) -> None:
    body = msgspec.json.encode(ANSWER)
    caught = None
    try:
        decode_response(body[:cut] + junk + body[cut + len(junk) :])
    except GatewayError as error:
        caught = error
    assert caught is None or caught.kind is Kind.UPSTREAM_BAD_RESPONSE


FOREIGN: list[tuple[Part, list[dict[str, Any]], list[tuple[Feature, Outcome]]]] = [
    (Text(text=""), [], []),
    (
        Text(text="x", citations=(Citation(title="no address"),)),
        [{"type": "text", "text": "x"}],
        [(Feature.CITATIONS, Outcome.DROPPED)],
    ),
    (
        ToolCall(id="a.b", name="f", arguments="{"),
        [{"type": "tool_use", "id": "toolu_e1ba38a8c4e7bd1a9b7bd3a3", "name": "f", "input": {"_raw": "{"}}],
        [(Feature.TOOLS, Outcome.APPROXIMATED)],
    ),
    (
        ToolCall(id="c", name="f", arguments="ls", is_custom=True),
        [{"type": "tool_use", "id": "c", "name": "f", "input": {"input": "ls"}}],
        [(Feature.CUSTOM_TOOLS, Outcome.APPROXIMATED)],
    ),
    (Refusal(text="no"), [{"type": "text", "text": "no"}], [(Feature.REFUSAL, Outcome.APPROXIMATED)]),
    (Image(source=Source(data="x")), [], [(Feature.MEDIA_OUTPUT, Outcome.DROPPED)]),
    (
        Audio(source=Source(data="x"), transcript="said"),
        [{"type": "text", "text": "said"}],
        [(Feature.MEDIA_OUTPUT, Outcome.DROPPED)],
    ),
    (Native(dialect="openai.responses", kind="k", raw=Raw(b"{}")), [], [(Feature.NATIVE_TOOLS, Outcome.DROPPED)]),
]


@pytest.mark.parametrize(("part", "blocks", "told"), FOREIGN)
def test_parts_of_others(part: Part, blocks: Any, told: list[tuple[Feature, Outcome]]) -> None:
    body, losses = write(part)
    if isinstance(part, ToolCall) and not part.is_custom:
        blocks[0]["id"] = body["content"][0]["id"]
        assert blocks[0]["id"] != part.id
    assert (body["content"], losses) == (blocks, told)


def test_what_is_missing_is_made() -> None:
    body, losses = write(id="", model="")
    assert (body["id"], body["model"], body["stop_reason"]) == ("msg_made", "published", "end_turn")
    assert (body["usage"]["input_tokens"], body["usage"]["output_tokens"]) == (0, 0)
    assert losses == []


def test_one_answer_has_a_place() -> None:
    one = Choice(parts=(Text(text="a"),), logprobs=(TokenLogprob("a", -0.1),))
    body, losses = write(choices=(one, Choice(index=1, parts=(Text(text="b"),))))
    assert [block["text"] for block in body["content"]] == ["a"]
    assert losses == [(Feature.N, Outcome.DROPPED), (Feature.LOGPROBS, Outcome.DROPPED)]
    assert write(choices=())[0]["content"] == []


def test_a_refusal_is_a_stop_reason() -> None:
    assert write(Refusal(text="no"), finish=Finish(reason="stop"))[0]["stop_reason"] == "refusal"
