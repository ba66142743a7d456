from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Extension
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport
from gatewright.core.traits import DEFAULT
from gatewright.core.usage import Usage
from gatewright.dialects.openai.embeddings import decode_request, decode_response, encode_request, encode_response


def decode(**members: Any) -> EmbeddingRequest:
    return decode_request(msgspec.json.decode(msgspec.json.encode(members), type=dict[str, msgspec.Raw]), "m")


def encode(request: EmbeddingRequest, report: LossReport | None = None) -> Any:
    return msgspec.json.decode(msgspec.json.encode(encode_request(request, DEFAULT, report or LossReport("strict"))))


@pytest.mark.parametrize(
    ("given", "texts", "tokens", "is_single"),
    [
        ("a", ("a",), (), True),
        (["a"], ("a",), (), False),
        (["a", "b"], ("a", "b"), (), False),
        ([1, 2], (), ((1, 2),), True),
        ([[1, 2], [3]], (), ((1, 2), (3,)), False),
    ],
)
def test_inputs(given: Any, texts: Any, tokens: Any, is_single: bool) -> None:
    request = decode(input=given)
    assert (request.texts, request.token_lists, request.is_single) == (texts, tokens, is_single)
    assert encode(request) == {"model": "m", "input": given}


def test_members_go_through_the_hub() -> None:
    members = {"input": "a", "dimensions": 8, "encoding_format": "base64", "user": "u", "input_type": "query"}
    assert encode(decode(**members)) == {"model": "m", **members}
    assert decode(input="a", encoding_format="float").encoding == "float"


def test_halves_of_surrogate_pairs_are_mended() -> None:
    assert decode_request({"input": msgspec.Raw(b'["\\ud83d"]')}, "m").texts == ("\ufffd",)


def test_losses_are_told() -> None:
    report = LossReport("warn")
    extra = Extension("cohere.embed", {"truncate": msgspec.Raw(b'"END"')})
    encode(EmbeddingRequest(model="m", texts=("a",), task="query", title="t", extra=extra), report)
    assert [loss.feature for loss in report.entries] == [Feature.INPUT_TYPE, Feature.INPUT_TYPE, Feature.VENDOR]


@pytest.mark.parametrize(
    ("members", "path"),
    [
        ({}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": "a", "encoding_format": "x"}, "encoding_format"),
    ],
)
def test_wrong_shapes_name_their_place(members: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**members)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)


FLOATS = (0.5, -0.25, 1.0)
BASE64 = base64.b64encode(struct.pack("<3f", *FLOATS)).decode()


def answer(*vectors: Any) -> bytes:
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return msgspec.json.encode({"object": "list", "data": data, "model": "m", "usage": usage})


@pytest.mark.parametrize("vector", [list(FLOATS), BASE64])
@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_vectors_in_either_spelling(vector: Any, encoding: Any) -> None:
    response = decode_response(answer(vector))
    assert response.vectors == (FLOATS,)
    assert response.usage == Usage(input_total=3)
    written = encode_response(response, EmbeddingRequest(model="m", encoding=encoding))
    assert msgspec.json.decode(written) == msgspec.json.decode(answer(BASE64 if encoding == "base64" else list(FLOATS)))


def test_vectors_stand_in_the_order_of_their_index() -> None:
    data = [{"index": 1, "embedding": [1.0]}, {"index": 0, "embedding": [0.0]}]
    assert decode_response(msgspec.json.encode({"data": data})).vectors == ((0.0,), (1.0,))


def test_usage_of_another_dialect() -> None:
    response = EmbeddingResponse(model="m", vectors=((1.0,),), usage=Usage(input_total=4))
    written = msgspec.json.decode(encode_response(response, EmbeddingRequest(model="m")))
    assert written["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data":{}}',
        b'{"data":[{}]}',
        b'{"data":[{"embedding":["a"]}]}',
        b'{"data":[{"embedding":"AAA"}]}',
        b'{"data":[{"embedding":"AAA="}]}',
    ],
)
def test_what_no_client_could_read(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(body)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_numbers_beyond_32_bits_are_no_vector() -> None:
    response = EmbeddingResponse(model="m", vectors=((1e300,),))
    with pytest.raises(GatewayError):
        encode_response(response, EmbeddingRequest(model="m", encoding="base64"))
