"""Requests, answers and event streams of the hub, for laws that hold for all of them.

What a dialect is asked to carry is chosen by the features its support table calls exact, so that the laws of loss-free
translation are tried on rich values, and by all of them, for laws that hold whatever is lost.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import Raw

from gatewright.core.chat import (
    ChatRequest,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    ReasoningConfig,
    Refusal,
    ResponseFormat,
    Sampling,
    Source,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
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
    Start,
    TokenLogprob,
    UsageReport,
)
from gatewright.core.loss import Feature
from gatewright.core.usage import Usage

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = Raw(b'{"type":"object","properties":{"q":{"type":"string"}},"required":["q"],"additionalProperties":false}')
NAMES = ("get_weather", "look_up", "Run-it")

words = st.text(min_size=1, max_size=12)
"""Any Unicode: line ends of every kind, NUL, astral characters; a `str` of the hub holds no lone surrogates."""
odd_words = words | st.sampled_from(
    ["\r\n\r\n", "data: [DONE]", "\u2028", "\x00", "\N{GRINNING FACE}é", '"\\', "{}", " "]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
objects = st.dictionaries(st.text(min_size=1, max_size=6), json_values, max_size=3)
arguments = objects.map(lambda value: json.dumps(value, ensure_ascii=False))


def texts() -> st.SearchStrategy[Text]:
    return odd_words.map(lambda text: Text(text=text))


def tools(names: Collection[str]) -> tuple[Tool, ...]:
    return tuple(Tool(name=name, description=f"Does {name}.", parameters=SCHEMA) for name in names)


@st.composite
def requests(draw: st.DrawFn, exact: Collection[Feature] = tuple(Feature), *, name: str = "") -> ChatRequest:
    """A conversation made of features in `exact`; opaque blobs are those of the dialect `name`."""

    def has(feature: Feature) -> bool:
        return feature in exact and draw(st.booleans())

    messages: list[Message] = []
    if has(Feature.SYSTEM):
        messages.append(Message(role="system", parts=(draw(texts()),)))
    used: list[str] = []
    turns = draw(st.integers(1, 3)) if Feature.TOOLS in exact else 1
    for turn in range(turns):
        parts: list[Part] = [draw(texts())]
        if has(Feature.IMAGE_DATA):
            parts.append(Image(source=Source(data=PIXEL, media_type="image/png")))
        messages.append(Message(role="user", parts=tuple(parts)))
        if turn + 1 < turns:
            messages += _answered(draw, turn, has(Feature.TOOLS), used, has(Feature.REASONING_REPLAY) and name)
    wanted = set(used) | ({draw(st.sampled_from(NAMES))} if has(Feature.TOOLS) else set())
    request = ChatRequest(
        model="m",
        messages=tuple(messages),
        tools=tools(sorted(wanted)),
        max_output_tokens=4096,
        sampling=_sampling(draw, exact),
    )
    return msgspec.structs.replace(request, **_options(draw, exact, sorted(wanted)))


def _answered(draw: st.DrawFn, turn: int, calls: bool, used: list[str], blob: str | bool) -> list[Message]:
    parts: list[Part] = []
    if blob:
        parts.append(Reasoning(text=draw(words), signature=Opaque(str(blob), f"c2ln{turn}AAA")))
    parts.append(draw(texts()))
    if not calls:
        return [Message(role="assistant", parts=tuple(parts))]
    made = [
        ToolCall(id=f"call_{turn}_{index}", name=draw(st.sampled_from(NAMES)), arguments=draw(arguments))
        for index in range(draw(st.integers(1, 3)))
    ]
    used += [call.name for call in made]
    results = [
        Message(role="user", parts=(ToolResult(call_id=call.id, name=call.name, content=(draw(texts()),)),))
        for call in made
    ]
    return [Message(role="assistant", parts=(*parts, *made)), *results]


def _sampling(draw: st.DrawFn, exact: Collection[Feature]) -> Sampling:
    choices: dict[Feature, dict[str, st.SearchStrategy[Any]]] = {
        Feature.TEMPERATURE: {"temperature": st.sampled_from([0.0, 0.25, 1.0])},
        Feature.TOP_P: {"top_p": st.sampled_from([0.5, 1.0])},
        Feature.TOP_K: {"top_k": st.integers(1, 100)},
        Feature.SEED: {"seed": st.integers(0, 2**31 - 1)},
        Feature.PENALTIES: {"frequency_penalty": st.sampled_from([-0.5, 0.5]), "presence_penalty": st.just(0.25)},
        Feature.STOP: {"stop": st.lists(words, min_size=1, max_size=3, unique=True).map(tuple)},
    }
    chosen = {
        member: draw(values)
        for feature, members in choices.items()
        if feature in exact and draw(st.booleans())
        for member, values in members.items()
    }
    return Sampling(**chosen)


def _options(draw: st.DrawFn, exact: Collection[Feature], names: list[str]) -> dict[str, Any]:
    choices: dict[Feature, tuple[str, st.SearchStrategy[Any]]] = {
        Feature.REASONING_EFFORT: (
            "reasoning",
            st.sampled_from(["low", "medium", "high"]).map(lambda it: ReasoningConfig(effort=it)),
        ),
        Feature.JSON_MODE: ("response_format", st.just(ResponseFormat(kind="json"))),
        Feature.JSON_SCHEMA: (
            "response_format",
            st.just(ResponseFormat(kind="json_schema", name="answer", schema=SCHEMA, strict=True)),
        ),
        Feature.USER: ("user", st.just("user-1")),
        Feature.VERBOSITY: ("verbosity", st.sampled_from(["low", "high"])),
        Feature.STORE: ("store", st.booleans()),
        Feature.METADATA: ("metadata", st.just({"ticket": "42"})),
    }
    if names:
        choices |= {
            Feature.TOOL_CHOICE_REQUIRED: ("tool_choice", st.just(ToolChoice(mode="required"))),
            Feature.TOOL_CHOICE_NAMED: ("tool_choice", st.just(ToolChoice(mode="named", name=names[0]))),
            Feature.PARALLEL_TOOLS: ("parallel_tool_calls", st.just(False)),
        }
    options: dict[str, Any] = {}
    for feature, (member, values) in choices.items():
        if feature in exact and draw(st.booleans()):
            options[member] = draw(values)
    return options


usages = st.builds(
    lambda read, write, other, thought, said: Usage(
        input_total=read + write + other,
        input_cached_read=read,
        input_cache_write=write,
        output_total=thought + said,
        output_reasoning=thought,
    ),
    *[st.integers(0, 1000)] * 3,
    *[st.integers(0, 500)] * 2,
)


@st.composite
def responses(draw: st.DrawFn, *, has_tools: bool = True, choices: int = 1) -> ChatResponse:
    """A complete answer of thoughts, texts, words of refusal and calls, in the order models give them."""
    return ChatResponse(
        id="answer-1",
        model="m",
        created=1_700_000_000,
        choices=tuple(draw(_choice(index, has_tools)) for index in range(choices)),
        usage=draw(usages),
    )


@st.composite
def _choice(draw: st.DrawFn, index: int, has_tools: bool) -> Choice:
    parts: list[Part] = []
    reason: FinishReason = draw(st.sampled_from(["stop", "length"]))
    if has_tools and draw(st.booleans()):
        parts.append(Reasoning(text=draw(odd_words)))
    if draw(st.booleans()) or not has_tools:
        parts.append(draw(texts()))
    if has_tools and draw(st.booleans()):
        parts += [
            ToolCall(id=f"call_{index}_{number}", name=draw(st.sampled_from(NAMES)), arguments=draw(arguments))
            for number in range(draw(st.integers(1, 3)))
        ]
        reason = "tool_calls"
    elif has_tools and not parts:
        parts.append(Refusal(text=draw(words)))
        reason = "stop"
    return Choice(index=index, parts=tuple(parts), finish=Finish(choice=index, reason=reason))


@st.composite
def streams(draw: st.DrawFn, response: ChatResponse, *, overlap: bool = True) -> list[Event]:
    """Events that make `response`: texts cut anywhere, parts begun with some of their text, calls that overlap."""
    events: list[Event] = [Start(id=response.id, model=response.model, created=response.created)]
    if draw(st.booleans()) and response.usage is not None:
        events.append(UsageReport(usage=Usage(input_total=response.usage.input_total)))
    for choice in response.choices:
        told = [_part_events(draw, choice.index, number, part) for number, part in enumerate(choice.parts)]
        calls = [number for number, part in enumerate(choice.parts) if isinstance(part, ToolCall)]
        if overlap and len(calls) > 1:
            rest = [told[number] for number in calls]
            for number in range(calls[0]):
                events += told[number]
            events += _interleaved(draw, rest)
        else:
            for piece in told:
                events += piece
        if choice.logprobs:
            events.append(LogprobsDelta(choice.index, choice.logprobs))
        if choice.finish is not None:
            events.append(choice.finish)
    if response.usage is not None:
        events.append(UsageReport(usage=response.usage))
    return events


def _interleaved(draw: st.DrawFn, lists: list[list[Event]]) -> list[Event]:
    """Parts begin in order; what follows comes in any order."""
    events: list[Event] = [each.pop(0) for each in lists]
    while left := [each for each in lists if each]:
        events.append(left[draw(st.integers(0, len(left) - 1))].pop(0))
    return events


def _part_events(draw: st.DrawFn, choice: int, number: int, part: Part) -> list[Event]:
    member = "arguments" if isinstance(part, ToolCall) else "text"
    text: str = getattr(part, member)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    first, *pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    return [
        PartBegin(choice, number, msgspec.structs.replace(part, **{member: first})),
        *[Delta(choice, number, piece) for piece in pieces if piece],
        PartEnd(choice, number),
    ]


tokens = st.lists(
    st.builds(TokenLogprob, token=st.just("a"), logprob=st.sampled_from([-0.5, -1.0])), min_size=1, max_size=2
).map(tuple)
