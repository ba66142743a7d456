from typing import Any

import msgspec
import pytest
from tests.unit.dialects.google.wires import plain, raw

from gatewright.core.chat import Extension
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.core.usage import Usage
from gatewright.dialects.google.embeddings import (
    decode_request,
    decode_response,
    encode_batch_request,
    encode_request,
    encode_response,
)


def content(*texts: str) -> dict[str, Any]:
    return {"parts": [{"text": text} for text in texts]}


def read(body: dict[str, Any]) -> EmbeddingRequest:
    return decode_request({name: raw(value) for name, value in body.items()}, "m")


def write(request: EmbeddingRequest, fidelity: Any = "permissive") -> tuple[Any, list[str]]:
    report = LossReport(fidelity)
    return plain(encode_request(request, DEFAULT, report)), [str(loss) for loss in report.entries]


ONE = {"model": "models/m", "content": content("a"), "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256}


@pytest.mark.parametrize(
    "body",
    [
        {"content": content("a")},
        {"content": content("a"), "taskType": "CODE_RETRIEVAL_QUERY", "autoTruncate": True},
        {"content": content("a"), "taskType": "RETRIEVAL_DOCUMENT", "title": "T", "outputDimensionality": 3},
        {"requests": [ONE, {**ONE, "content": content("b")}]},
        {"requests": [ONE, {**ONE, "taskType": "CLUSTERING"}]},
        {"requests": [{**ONE, "autoTruncate": False}]},
        {"requests": [{"model": "models/m", "content": content("a"), "taskType": "FACT_VERIFICATION"}]},
        {"requests": [ONE], "extra": 1},
    ],
)
def test_a_request_survives_the_hub(body: dict[str, Any]) -> None:
    written, losses = write(read(body), "strict")
    assert written == body
    assert losses == []


def test_what_the_hub_says_of_a_request() -> None:
    single = read({"content": content("a", "b"), "task_type": "SEMANTIC_SIMILARITY", "output_dimensionality": 8})
    assert single == EmbeddingRequest(model="m", texts=("a\nb",), is_single=True, dimensions=8, task="similarity")
    batch = read({"requests": [ONE, {**ONE, "content": content("b")}]})
    assert batch == EmbeddingRequest(model="m", texts=("a", "b"), dimensions=256, task="query")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({}, Kind.MALFORMED_REQUEST),
        ({"requests": []}, Kind.MALFORMED_REQUEST),
        ({"requests": [{}]}, Kind.MALFORMED_REQUEST),
        ({"content": {"parts": [{"inlineData": {"data": "AAAA"}}]}}, Kind.UNSUPPORTED_FEATURE),
    ],
)
def test_requests_that_cannot_be_read(body: dict[str, Any], kind: Kind) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert caught.value.kind is kind


def test_another_dialects_request() -> None:
    request = EmbeddingRequest(
        model="gemini-embedding-001",
        texts=("a", "b"),
        dimensions=64,
        task="document",
        user="u",
        extra=Extension("cohere.embed", {"truncate": raw("END")}),
    )
    written, losses = write(request)
    each = {"model": "models/gemini-embedding-001", "taskType": "RETRIEVAL_DOCUMENT", "outputDimensionality": 64}
    assert written == {"requests": [{**each, "content": content("a")}, {**each, "content": content("b")}]}
    assert [loss.partition(":")[0] for loss in losses] == ["truncate", "user"]


def test_what_cannot_be_asked() -> None:
    with pytest.raises(GatewayError, match="token"):
        write(EmbeddingRequest(model="m", token_lists=((1, 2),)), "warn")
    _, losses = write(EmbeddingRequest(model="m", texts=("a",), task="poetry"))
    assert losses == ["task: dropped (Gemini has no task `poetry`)"]


def test_answers_of_both_calls() -> None:
    batch = {
        "embeddings": [{"values": [0.5, 1]}, {"values": []}],
        "usageMetadata": {"promptTokenCount": 7, "promptTokenDetails": []},
    }
    response = decode_response(msgspec.json.encode(batch))
    assert response.vectors == ((0.5, 1.0), ())
    assert response.usage == Usage(input_total=7)
    asked = EmbeddingRequest(model="m", texts=("a", "b"))
    assert msgspec.json.decode(encode_response(response, asked)) == batch

    single = {"embedding": {"values": [0.25]}}
    response = decode_response(msgspec.json.encode(single))
    asked = EmbeddingRequest(model="m", texts=("a",), is_single=True)
    assert msgspec.json.decode(encode_response(response, asked)) == single


def test_another_dialects_answer() -> None:
    response = EmbeddingResponse(model="e", vectors=((1.0,),), usage=Usage(input_total=3))
    written = msgspec.json.decode(encode_response(response, EmbeddingRequest(model="m", texts=("a",))))
    assert written == {"embeddings": [{"values": [1.0]}], "usageMetadata": {"promptTokenCount": 3}}


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b"[]",
        b'{"embeddings":5}',
        b'{"embeddings":[{}]}',
        b'{"embedding":{"values":["x"]}}',
        b'{"embedding":{"values":[true]}}',
        b"{",
        b"\xff",
    ],
)
def test_answers_that_cannot_be_read(text: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(text)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_the_batch_call_takes_one_input_as_a_batch() -> None:
    asked = EmbeddingRequest(model="m", texts=("a",), is_single=True)
    assert plain(encode_batch_request(asked, DEFAULT, LossReport())) == {
        "requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}}]
    }
