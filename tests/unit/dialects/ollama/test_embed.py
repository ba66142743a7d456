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
from gatewright.dialects.ollama.embed import decode_request, decode_response, encode_request, encode_response

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read(body: dict[str, Any]) -> EmbeddingRequest:
    return decode_request(_fields.decode(msgspec.json.encode(body)), "m")


@pytest.mark.parametrize(
    "members",
    [
        {"input": "a"},
        {"input": ["a"]},
        {"input": ["a", "b"], "dimensions": 8, "truncate": False, "options": {"num_ctx": 9}, "keep_alive": "5m"},
    ],
)
def test_requests_come_back(members: dict[str, Any]) -> None:
    body = {"model": "m", **members}
    again = encode_request(read(body), DEFAULT, LossReport("strict"))
    assert msgspec.json.decode(msgspec.json.encode(again)) == body


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
    assert encode_request(request, DEFAULT, report) == {"model": "m", "input": ["a"]}
    assert [(loss.feature, loss.outcome) for loss in report.entries] == [
        (Feature.TOKEN_INPUT, Outcome.REFUSED),
        (Feature.INPUT_TYPE, Outcome.DROPPED),
        (Feature.VENDOR, Outcome.DROPPED),
        (Feature.USER, Outcome.DROPPED),
        (Feature.VENDOR, Outcome.DROPPED),
    ]


@pytest.mark.parametrize("body", [{}, {"input": 7}, {"input": [[1, 2]]}])
def test_wrong_inputs_are_named(body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as caught:
        read(body)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, "input")


def test_answers_come_back() -> None:
    body = b'{"model":"m","embeddings":[[0.5,-1.0],[2.0,3.5]],"prompt_eval_count":8,"total_duration":14143917}'
    response = decode_response(body)
    assert response.vectors == ((0.5, -1.0), (2.0, 3.5))
    assert response.usage == Usage(input_total=8)
    assert encode_response(response, EmbeddingRequest(model="m")) == body


def test_answers_of_others() -> None:
    response = EmbeddingResponse(model="m", vectors=((1.0,),), extra=Extension("x", {"y": msgspec.Raw(b"1")}))
    assert encode_response(response, EmbeddingRequest(model="m")) == b'{"model":"m","embeddings":[[1.0]]}'


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"embeddings":[1]}', b'{"embeddings":[["a"]]}', b'{"embeddings":[[\xff]]}']
)
def test_answers_nobody_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE
