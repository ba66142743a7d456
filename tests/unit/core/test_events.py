from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gatewright.core.chat import (
    Audio,
    Citation,
    Extension,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
)
from gatewright.core.errors import Kind
from gatewright.core.events import (
    KEEP_ALIVE,
    AudioDelta,
    ChatResponse,
    Choice,
    CitationDelta,
    Delta,
    Event,
    Failure,
    Finish,
    FinishReason,
    Fold,
    LogprobsDelta,
    PartBegin,
    PartEnd,
    SignatureDelta,
    Start,
    TokenLogprob,
    UsageReport,
    fold,
    merge_extensions,
    unfold,
)
from gatewright.core.usage import Usage

TEXTS = st.text(max_size=6)
BLOBS = st.none() | st.builds(Opaque, st.sampled_from(["a.b", "c.d"]), TEXTS)
EXTRAS = st.none() | st.just(Extension("a.b", {"x": msgspec.Raw(b"1")}))
SOURCES = st.builds(Source, data=st.just("AAAA"), media_type=st.none() | st.just("image/png"))
PARTS: st.SearchStrategy[Part] = st.one_of(
    st.builds(
        Text, text=TEXTS, signature=BLOBS, citations=st.lists(st.builds(Citation, url=TEXTS), max_size=2).map(tuple)
    ),
    st.builds(Reasoning, text=TEXTS, signature=BLOBS, encrypted=BLOBS, extra=EXTRAS),
    st.builds(Refusal, text=TEXTS),
    st.builds(ToolCall, id=TEXTS, name=TEXTS, arguments=TEXTS, signature=BLOBS),
    st.builds(Image, source=SOURCES),
    st.builds(Audio, source=SOURCES, transcript=st.none() | TEXTS),
)
REASONS: st.SearchStrategy[FinishReason] = st.sampled_from(
    ["stop", "length", "tool_calls", "content_filter", "pause", "error"]
)
TOKENS = st.lists(st.builds(TokenLogprob, TEXTS, st.just(-1.0)), max_size=2).map(tuple)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    choices = []
    for index in range(draw(st.integers(1, 3))):
        reason: FinishReason = draw(REASONS)
        finish = Finish(choice=index, reason=reason, native=draw(st.none() | TEXTS), extra=draw(EXTRAS))
        parts = tuple(draw(st.lists(PARTS, max_size=4)))
        choices.append(
            Choice(index=index, parts=parts, finish=finish, logprobs=draw(TOKENS), refusal_logprobs=draw(TOKENS))
        )
    usage = draw(st.none() | st.builds(Usage, input_total=st.integers(0, 9)))
    return ChatResponse(
        id=draw(TEXTS),
        model=draw(TEXTS),
        created=draw(st.none() | st.integers(0, 9)),
        choices=tuple(choices),
        usage=usage,
        usage_extra=None if usage is None else draw(EXTRAS),
        extra=draw(EXTRAS),
    )


@given(responses())
def test_folding_undoes_unfolding(response: ChatResponse) -> None:
    assert fold(unfold(response)) == response


def pieces(part: Part, choice: int, number: int) -> list[Event]:
    """The same part begun with nothing, then told bit by bit."""
    match part:
        case Text():
            begun: list[Event] = [PartBegin(choice, number, Text(text="", extra=part.extra))]
            begun += [Delta(choice, number, letter) for letter in part.text]
            begun += [CitationDelta(choice, number, citation) for citation in part.citations]
            if part.signature is not None:
                begun += [SignatureDelta(choice, number, Opaque(part.signature.dialect, half)) for half in halves(part)]
            return begun
        case ToolCall():
            empty = msgspec.structs.replace(part, arguments="")
            return [PartBegin(choice, number, empty), *(Delta(choice, number, letter) for letter in part.arguments)]
        case _:
            return [PartBegin(choice, number, part)]


def halves(part: Text) -> tuple[str, str]:
    value = part.signature.value if part.signature is not None else ""
    return value[:2], value[2:]


@given(responses())
def test_how_a_part_is_cut_makes_no_difference(response: ChatResponse) -> None:
    events: list[Event] = []
    for event in unfold(response):
        if isinstance(event, PartBegin):
            events += pieces(event.content, event.choice, event.part)
        else:
            events.append(event)
    assert fold(events) == response


def test_parts_may_overlap() -> None:
    events: list[Event] = [
        PartBegin(0, 0, ToolCall(id="a", name="f", arguments="")),
        PartBegin(0, 1, ToolCall(id="b", name="g", arguments="{")),
        Delta(0, 0, "{"),
        Delta(0, 1, "}"),
        Delta(0, 0, "}"),
    ]
    assert [part.arguments for part in fold(events).choices[0].parts if isinstance(part, ToolCall)] == ["{}", "{}"]


def test_sound_is_put_together() -> None:
    events: list[Event] = [
        PartBegin(0, 0, Audio(source=Source(data="AA"), id="a")),
        AudioDelta(0, 0, "BB", "hel"),
        AudioDelta(0, 0, transcript="lo"),
        PartEnd(0, 0, Extension("a.b", {"x": msgspec.Raw(b"1")})),
    ]
    (part,) = fold(events).choices[0].parts
    assert part == Audio(
        source=Source(data="AABB"), id="a", transcript="hello", extra=Extension("a.b", {"x": msgspec.Raw(b"1")})
    )


def test_the_last_usage_counts_and_signs_of_life_do_not() -> None:
    folded = Fold()
    folded.add([Start(id="i", model="m"), KEEP_ALIVE, UsageReport(usage=Usage(input_total=1))])
    folded.add([UsageReport(usage=Usage(input_total=2)), LogprobsDelta(0, (TokenLogprob("a", 0.0),))])
    folded.add([Finish(reason="stop")])
    response = folded.response()
    assert response.usage == Usage(input_total=2)
    assert response.choices[0].logprobs == (TokenLogprob("a", 0.0),)


def test_a_failure_is_kept_with_what_came_before() -> None:
    failure = Failure(kind=Kind.UPSTREAM_CUT, message="x")
    response = fold([Start(id="i", model="m"), PartBegin(0, 0, Text(text="half")), failure])
    assert response.failure == failure
    assert response.choices == (Choice(parts=(Text(text="half"),)),)
    assert unfold(response)[-1] == failure


def test_extensions_are_merged_within_a_dialect() -> None:
    one = Extension("a.b", {"x": msgspec.Raw(b"1"), "y": msgspec.Raw(b"1")})
    two = Extension("a.b", {"y": msgspec.Raw(b"2")})
    other = Extension("c.d", {"z": msgspec.Raw(b"3")})
    assert merge_extensions(one, two) == Extension("a.b", {"x": msgspec.Raw(b"1"), "y": msgspec.Raw(b"2")})
    assert merge_extensions(one, None) == merge_extensions(None, one) == one
    assert merge_extensions(one, other) == other
