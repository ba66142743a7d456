from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Extension
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.traits import DEFAULT
from gatewright.core.usage import Usage
from gatewright.dialects.cohere.embed import decode_request, decode_response, encode_request, encode_response

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
PICTURE = {"content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}


def read(body: dict[str, Any]) -> EmbeddingRequest:
    return decode_request(_fields.decode(msgspec.json.encode(body)), "m")


def written(request: EmbeddingRequest, report: LossReport | None = None) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_request(request, DEFAULT, report or LossReport("strict"))))


@pytest.mark.parametrize(
    "members",
    [
        {"texts": ["a", "b"], "input_type": "search_query", "embedding_types": ["float"]},
        {"texts": ["a"], "input_type": "search_document", "embedding_types": ["base64"], "output_dimension": 256},
        {"texts": ["a"], "input_type": "clustering", "embedding_types": ["int8", "float"], "truncate": "END"},
        {"images": ["data:image/png;base64,AAAA"], "input_type": "image", "embedding_types": ["float"]},
        {"inputs": [PICTURE], "input_type": "classification", "embedding_types": ["float"], "max_tokens": 9},
    ],
)
def test_requests_come_back(members: dict[str, Any]) -> None:
    body = {"model": "m", **members}
    assert written(read(body)) == body


def test_what_the_hub_knows_is_read() -> None:
    inputs = [{"content": [{"type": "text", "text": text}]} for text in ("a", "b")]
    request = read(
        {"inputs": inputs, "input_type": "search_query", "embedding_types": ["base64"], "output_dimension": 8}
    )
    assert request == EmbeddingRequest(model="m", texts=("a", "b"), task="query", encoding="base64", dimensions=8)


@pytest.mark.parametrize(
    ("task", "input_type", "is_told"),
    [
        ("query", "search_query", False),
        ("document", "search_document", False),
        ("classification", "classification", False),
        ("clustering", "clustering", False),
        ("similarity", "clustering", True),
        (None, "search_document", True),
        ("something_new", "search_document", True),
    ],
)
def test_the_api_demands_a_task(task: str | None, input_type: str, is_told: bool) -> None:
    report = LossReport()
    assert written(EmbeddingRequest(model="m", texts=("a",), task=task), report)["input_type"] == input_type
    found = [(loss.feature, loss.outcome, loss.path) for loss in report.entries]
    assert found == ([(Feature.INPUT_TYPE, Outcome.APPROXIMATED, "task")] if is_told else [])


def test_requests_of_others() -> None:
    report = LossReport("permissive")
    request = EmbeddingRequest(
        model="m",
        texts=("a",),
        token_lists=((1,),),
        task="query",
        title="t",
        user="u",
        extra=Extension("x", {"y": msgspec.Raw(b"1")}),
    )
    assert written(request, report) == {
        "model": "m",
        "texts": ["a"],
        "input_type": "search_query",
        "embedding_types": ["float"],
    }
    assert [(loss.feature, loss.outcome) for loss in report.entries] == [
        (Feature.TOKEN_INPUT, Outcome.REFUSED),
        (Feature.VENDOR, Outcome.DROPPED),
        (Feature.USER, Outcome.DROPPED),
        (Feature.VENDOR, Outcome.DROPPED),
    ]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "texts"),
        ({"texts": 7}, "texts"),
        ({"texts": ["a"], "embedding_types": 7}, "embedding_types"),
        ({"texts": ["a"], "input_type": 7}, "input_type"),
        ({"inputs": 7}, "inputs"),
        ({"inputs": [{"content": [{"type": "text"}]}]}, "inputs[0].content[0].text"),
    ],
)
def test_wrong_members_are_named(body: dict[str, Any], path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)


ANSWER: dict[str, Any] = {
    "id": "da6e531f",
    "texts": ["a", "b"],
    "embeddings": {"float": [[0.5, -1.0], [2.0, 3.5]]},
    "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 2}},
    "response_type": "embeddings_by_type",
}


@pytest.mark.parametrize(
    ("embeddings", "types", "vectors"),
    [
        ({"float": [[0.5, -1.0], [2.0, 3.5]]}, ["float"], ((0.5, -1.0), (2.0, 3.5))),
        ({"base64": ["AAAAPwAAgL8="]}, ["base64"], ((0.5, -1.0),)),
        ({"int8": [[1, -2]]}, ["int8"], ((1.0, -2.0),)),
        ({"float": [[0.5]], "int8": [[1]]}, ["int8", "float"], ((0.5,),)),
    ],
)
def test_answers_come_back(embeddings: dict[str, Any], types: list[str], vectors: Any) -> None:
    answer = ANSWER | {"embeddings": embeddings}
    response = decode_response(msgspec.json.encode(answer))
    assert response.vectors == vectors
    assert response.usage == Usage(input_total=2)
    request = read({"texts": ["a", "b"], "embedding_types": types})
    assert msgspec.json.decode(encode_response(response, request)) == answer


@pytest.mark.parametrize(("encoding", "spelled"), [("float", [[0.5, -1.0]]), ("base64", ["AAAAPwAAgL8="])])
def test_answers_of_others(encoding: Any, spelled: Any) -> None:
    response = EmbeddingResponse(model="m", vectors=((0.5, -1.0),), usage=Usage(input_total=3))
    body = msgspec.json.decode(encode_response(response, EmbeddingRequest(model="m", texts=("a",), encoding=encoding)))
    assert body == {
        "id": "",
        "embeddings": {encoding: spelled},
        "texts": ["a"],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 3}},
        "response_type": "embeddings_by_type",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"embeddings":[[1]]}',
        b'{"embeddings":{}}',
        b'{"embeddings":{"float":[["a"]]}}',
        b'{"embeddings":{"base64":["?"]}}',
        b'{"embeddings":{"base64":["AAA="]}}',
    ],
)
def test_answers_nobody_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
