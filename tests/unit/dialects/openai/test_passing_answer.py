"""Usage in every shape hosts report it, whole and streamed; what was not reported stays unknown."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure, UsageReport
from gatewright.core.usage import Usage
from gatewright.dialects.openai.passing_answer import EventReader, Medium, read_answer, read_nothing

encode = msgspec.json.encode
INPUT_CACHED = {"image_tokens": 2, "audio_tokens": 1, "text_tokens": 0}
INPUT = {"image_tokens": 12, "text_tokens": 8, "cached_tokens": 3}


@pytest.mark.parametrize(
    ("answer", "output", "usage"),
    [
        # Images (platform.openai.com/docs/api-reference/images/object).
        (
            {"usage": {"input_tokens": 20, "output_tokens": 30, "total_tokens": 50, "input_tokens_details": INPUT}},
            "image",
            Usage(input_total=20, input_image=12, input_cached_read=3, output_total=30, output_image=30),
        ),
        (
            {"usage": {"input_tokens": 20, "input_tokens_details": {**INPUT, "cached_tokens_details": INPUT_CACHED}}},
            "image",
            Usage(input_total=20, input_image=12, input_cached_read=3, input_cached_audio=1, input_cached_image=2),
        ),
        (
            {
                "usage": {
                    "input_tokens": 20,
                    "output_tokens": 30,
                    "output_tokens_details": {"image_tokens": 25, "text_tokens": 5},
                }
            },
            "image",
            Usage(input_total=20, output_total=30, output_image=25),
        ),
        ({"created": 1, "data": [{"url": "https://a.test/usage"}]}, "image", Usage(images=1)),
        ({"data": [{"b64_json": "AA=="}] * 3, "usage": None}, "image", Usage(images=3)),
        ({"data": [{}, {}], "usage": {"output_tokens": 9}}, "image", Usage(images=2, output_total=9, output_image=9)),
        ({"data": []}, "image", Usage(images=0)),
        ({"data": {"url": 1}}, "image", None),
        ({"data": "AA"}, "image", None),
        ({"data": [1]}, "text", None),
        # Transcriptions (…/docs/api-reference/audio/json-object).
        (
            {
                "usage": {
                    "type": "tokens",
                    "input_tokens": 14,
                    "output_tokens": 45,
                    "total_tokens": 59,
                    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                }
            },
            "text",
            Usage(input_total=14, input_audio=10, output_total=45),
        ),
        ({"usage": {"type": "duration", "seconds": 37}}, "text", Usage(audio_s=37.0)),
        ({"usage": {"seconds": 1.5}}, "text", Usage(audio_s=1.5)),
        # Mistral's, with chat's names.
        (
            {"usage": {"prompt_audio_seconds": 36, "prompt_tokens": 13, "completion_tokens": 151, "total_tokens": 164}},
            "text",
            Usage(input_total=13, output_total=151, audio_s=36.0),
        ),
        # Speech.
        (
            {"usage": {"input_tokens": 2, "output_tokens": 9}},
            "audio",
            Usage(input_total=2, output_total=9, output_audio=9),
        ),
        # Reranks: Cohere's, Jina's, vLLM's.
        ({"meta": {"billed_units": {"search_units": 2}}}, "text", Usage(search_units=2.0)),
        (
            {"meta": {"billed_units": {"search_units": 1.0}, "tokens": {"input_tokens": 70, "output_tokens": 0}}},
            "text",
            Usage(input_total=70, search_units=1.0),
        ),
        ({"usage": {"total_tokens": 815}}, "text", Usage(input_total=815)),
        ({"usage": {"prompt_tokens": 8, "total_tokens": 8}}, "text", Usage(input_total=8)),
        # Nothing that makes sense.
        ({}, "text", None),
        ({"usage": None, "meta": None}, "text", None),
        ({"usage": {}}, "text", None),
        ({"usage": []}, "text", None),
        ({"usage": "much"}, "text", None),
        ({"usage": {"input_tokens": -1}}, "text", None),
        ({"usage": {"input_tokens": True}}, "text", None),
        ({"usage": {"input_tokens": 1.5}}, "text", None),
        ({"usage": {"input_tokens": 10**30}}, "text", None),
        ({"usage": {"seconds": "long"}}, "text", None),
        ({"usage": {"prompt_audio_seconds": {}, "prompt_tokens": 5}}, "text", Usage(input_total=5)),
        ({"meta": {"billed_units": [], "tokens": 7}}, "text", None),
        ({"duration": 3.5}, "text", None),
    ],
)
def test_usage(answer: dict[str, Any], output: Medium, usage: Usage | None) -> None:
    assert read_answer(encode(answer), output) == (None, usage)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (b'{"duration": 8.5, "text": ""}', Usage(audio_s=8.5)),
        (b'{"duration": "8.47", "text": ""}', Usage(audio_s=8.47)),
        (b'{"duration": 8.5, "usage": {"type": "duration", "seconds": 9}}', Usage(audio_s=9.0)),
        (b'{"duration": 8.5, "usage": {"input_tokens": 3}}', Usage(input_total=3, audio_s=8.5)),
        (b'{"duration": "a while"}', None),
        (b'{"duration": -1}', None),
        (b'{"duration": 1e999}', None),
        (b'{"duration": "NaN"}', None),
    ],
)
def test_the_length_of_what_was_heard(answer: bytes, usage: Usage | None) -> None:
    assert read_answer(answer, has_duration=True) == (None, usage)


def test_the_model_is_read_as_it_is_spelled() -> None:
    model, _ = read_answer(b'{"model": "m\\u0061", "data": [{"model": "other"}]}')
    assert model is not None
    assert bytes(model) == b'"m\\u0061"'


@pytest.mark.parametrize("body", [b"", b"[]", b"text", b'"text"', b"{", b"\xff"])
def test_what_is_no_object_is_told(body: bytes) -> None:
    for read in (read_answer, read_nothing):
        with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)):
            read(body)


def test_the_usage_of_a_batch_is_not_that_of_asking_for_it() -> None:
    assert read_nothing(b'{"model": "m", "usage": {"input_tokens": 7}}') == (None, None)


# -- streams ------------------------------------------------------------------------------------------------------


def event(kind: str, **more: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **more}))


DELTA = event("transcript.text.delta", delta='say "usage" and "error" and ".done"')
DONE = event("transcript.text.done", text="x", usage={"type": "tokens", "input_tokens": 14, "output_tokens": 2})
IMAGE = event("image_edit.partial_image", b64_json="A" * 1_000) + event(
    "image_edit.completed", usage={"output_tokens": 5}
)
CHUNKS = b"".join(
    b"data: %b\n\n" % data
    for data in (b'{"choices":[{"delta":{"content":"x"}}]}', b'{"choices":[],"usage":{"prompt_tokens":3}}', b"[DONE]")
)
CUT = Failure(kind=Kind.UPSTREAM_CUT, message="The provider ended the stream before the answer was complete.")


@pytest.mark.parametrize(
    ("data", "output", "events"),
    [
        (DELTA + DONE, "text", [UsageReport(usage=Usage(input_total=14, output_total=2))]),
        (
            event("image_generation.completed", b64_json="A") * 2,
            "image",
            [UsageReport(usage=Usage(images=1)), UsageReport(usage=Usage(images=2))],
        ),
        (IMAGE, "image", [UsageReport(usage=Usage(output_total=5, output_image=5, images=1))]),
        (CHUNKS, "text", [UsageReport(usage=Usage(input_total=3))]),
        (DELTA, "text", [CUT]),
        (DELTA + DONE.replace(b"\n", b"\r\n"), "text", [UsageReport(usage=Usage(input_total=14, output_total=2))]),
        (b": ping\n\ndata: hello\n\n", "text", []),
        (b'data: {"usage": nonsense}\n\n', "text", []),
        (b'data: {"usage": null}\n\n', "text", []),
        (
            DELTA + event("error", error={"message": "oops", "code": "bad"}),
            "text",
            [Failure(kind=Kind.UPSTREAM_CUT, message="oops", code="bad")],
        ),
        (b'data: {"error": "oops"}\n\n', "text", [Failure(kind=Kind.UPSTREAM_CUT, message="oops")]),
        (event("error", message="oops"), "text", [Failure(kind=Kind.UPSTREAM_CUT, message="oops")]),
        (b'data: {"error": null, "usage": {"input_tokens": 1}}\n\n', "text", [UsageReport(usage=Usage(input_total=1))]),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 64, 1_000_000])
def test_events(data: bytes, output: Medium, events: list[Any], size: int) -> None:
    reader = EventReader(output)
    found = [e for start in range(0, len(data), size) for e in reader.feed(data[start : start + size])]
    if not any(isinstance(e, Failure) for e in found):
        found += reader.end()
    assert found == events


def test_an_event_without_end_is_given_up() -> None:
    reader = EventReader()
    for _ in range(16):
        reader.feed(b"data: " + b"x" * 1_000_000)
    with pytest.raises(GatewayError) as refused:
        reader.feed(b"x" * 1_000_000)
    assert refused.value.kind is Kind.UPSTREAM_BAD_RESPONSE


NAMES = ("usage", "meta", "duration", "tokens", "input_tokens", "seconds", "error", "type", "message", "billed_units")
LEAVES = st.none() | st.integers() | st.floats() | st.text(max_size=5)


@settings(max_examples=200, derandomize=True)
@given(body=st.recursive(LEAVES, lambda inner: st.dictionaries(st.sampled_from(NAMES), inner)))
def test_no_answer_is_too_odd(body: Any) -> None:
    if isinstance(body, dict):
        read_answer(encode(body), has_duration=True)
    EventReader().feed(b"data: " + encode(body) + b"\n\n")
