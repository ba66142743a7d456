from typing import Any

import msgspec
import pytest
from msgspec import Raw
from tests.unit.dialects.google.wires import answer, candidate, write_answer

from gatewright.core.chat import Citation, Extension, Opaque, Reasoning, Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Choice, Finish, TokenLogprob, fold, unfold
from gatewright.core.usage import Usage
from gatewright.dialects.google.members import NAME
from gatewright.dialects.google.read_response import decode_response, read_created

FULL: dict[str, Any] = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "hm", "thought": True},
                    {"text": "Paris.", "thoughtSignature": "c2ln"},
                    {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
            "avgLogprobs": -0.5,
            "safetyRatings": [{"category": "C", "probability": "LOW"}],
        },
        {"content": {"role": "model", "parts": [{"text": "Lyon"}]}, "finishReason": "MAX_TOKENS", "index": 1},
    ],
    "promptFeedback": {"safetyRatings": []},
    "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7, "trafficType": "T"},
    "modelVersion": "gemini-3-flash",
    "responseId": "r",
    "createTime": "2025-10-10T15:57:26.830111Z",
}


def test_a_full_answer() -> None:
    response = answer(FULL)
    assert (response.id, response.model, response.created) == ("r", "gemini-3-flash", 1760111846)
    assert response.usage == Usage(input_total=5, output_total=2)
    first, second = response.choices
    assert first.parts == (
        Reasoning(text="hm", is_summary=True),
        Text(text="Paris.", signature=Opaque(NAME, "c2ln")),
        ToolCall(id="c1", name="f", arguments='{"a":1}'),
    )
    assert first.finish is not None
    assert (first.finish.reason, first.finish.native) == ("tool_calls", "STOP")
    assert second.finish == Finish(choice=1, reason="length", native="MAX_TOKENS", dialect=NAME)
    assert write_answer(response) == (FULL, [])
    assert fold(unfold(response)) == response


def test_a_blocked_prompt_is_a_filtered_answer_of_nothing() -> None:
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "modelVersion": "g", "responseId": "r"}
    response = answer(body)
    [choice] = response.choices
    assert choice.parts == ()
    assert choice.finish is not None
    assert (choice.finish.reason, choice.finish.native) == ("content_filter", "PROHIBITED_CONTENT")
    assert write_answer(response) == (body, [])


def test_an_answer_without_candidates_or_reason_is_a_failure_that_keeps_its_form() -> None:
    body = {
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 0, "totalTokenCount": 5},
        "responseId": "r",
    }
    response = answer(body)
    assert response.choices[0].finish is not None
    assert response.choices[0].finish.reason == "error"
    assert write_answer(response) == (body, [])


def test_a_candidate_that_says_little() -> None:
    [choice] = answer({"candidates": [{}]}).choices
    assert choice == Choice(finish=Finish(reason="stop", dialect=NAME))
    written, _ = write_answer(answer({"candidates": [{}], "responseId": "r"}))
    assert written == {"candidates": [{"content": {"role": "model"}, "index": 0}], "responseId": "r"}


def test_citations_are_of_the_last_words() -> None:
    grounding = {
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
        "groundingSupports": [{"segment": {"endIndex": 5, "text": "Paris"}, "groundingChunkIndices": [0]}],
    }
    body = candidate({"text": "Paris it is"}, {"text": "", "thoughtSignature": "c2ln"}, groundingMetadata=grounding)
    response = answer(body)
    first, second = response.choices[0].parts
    assert first == Text(text="Paris it is", citations=(Citation(url="https://a", title="A", start=0, end=5),))
    assert second == Text(text="", signature=Opaque(NAME, "c2ln"))
    assert write_answer(response)[0]["candidates"][0]["groundingMetadata"] == grounding


def test_log_probabilities_keep_what_the_hub_has_no_word_for() -> None:
    result = {"chosenCandidates": [{"token": "a", "tokenId": 7, "logProbability": -0.5}]}
    response = answer(candidate({"text": "a"}, logprobsResult=result))
    assert response.choices[0].logprobs == (TokenLogprob("a", -0.5),)
    assert write_answer(response)[0]["candidates"][0]["logprobsResult"] == result


def test_an_unknown_member_is_kept() -> None:
    body = {**candidate({"text": "a"}, finishReason="STOP", index=0, novelty=[1]), "alsoNew": {"x_y": 1}}
    response = answer(body)
    assert response.extra == Extension(NAME, {"alsoNew": Raw(b'{"x_y":1}')})
    assert write_answer(response) == (body, [])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"candidates":5}',
        b'{"candidates":[5]}',
        b'{"candidates":[{"content":[]}]}',
        b'{"candidates":[{"content":{"parts":[{"text":5}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"args":{}}}]}}]}',
        b'{"candidates":[{"index":"x"}]}',
        b'{"modelVersion":5,"candidates":[{}]}',
        b"[" * 5000,
    ],
)
def test_an_answer_that_no_client_could_read(text: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(text)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_an_error_in_a_good_answer() -> None:
    error = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}
    with pytest.raises(GatewayError, match="busy") as caught:
        decode_response(msgspec.json.encode(error))
    assert (caught.value.kind, caught.value.code) == (Kind.UPSTREAM_OVERLOADED, "UNAVAILABLE")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b'"2026-05-04T20:01:02.264968Z"', 1777924862),
        (b'"2026-05-04T20:01:02+01:00"', 1777921262),
        (b'"2026-05-04T20:01:02"', None),
        (b'"soon"', None),
        (b"5", None),
        (b'"0001-01-01T00:00:00Z"', -62135596800),
    ],
)
def test_when_an_answer_was_made(text: bytes, seconds: int | None) -> None:
    assert read_created(Raw(text)) == seconds
    assert read_created(None) is None
