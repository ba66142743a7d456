"""Embeddings through the hub (platform.openai.com/docs/api-reference/embeddings)."""

from __future__ import annotations

import binascii
import struct
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.codec import EmbeddingCodec
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.openai.usage import read_usage
from gatewright.wire.json_object import JsonObject

NAME: Final = "openai.embeddings"
_BAD: Final = Kind.UPSTREAM_BAD_RESPONSE

_texts: msgspec.json.Decoder[str | list[str]] = msgspec.json.Decoder(str | list[str])
_tokens: msgspec.json.Decoder[list[int]] = msgspec.json.Decoder(list[int])
_token_lists: msgspec.json.Decoder[list[list[int]]] = msgspec.json.Decoder(list[list[int]])
_vector: msgspec.json.Decoder[str | tuple[float, ...]] = msgspec.json.Decoder(str | tuple[float, ...])
_encoder = msgspec.json.Encoder()


def decode_request(fields: Fields, model: str) -> EmbeddingRequest:
    """Read a request. Raises GatewayError (malformed_request)."""
    body = JsonObject(fields)
    body.drop("model")
    raw = body.peek("input")
    if raw is None:
        raise body.error("input", "is missing")
    texts, tokens, is_single = _read_input(body, raw)
    encoding = body.string("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise body.error("encoding_format", "must be `float` or `base64`")
    return EmbeddingRequest(
        model=model,
        texts=texts,
        token_lists=tokens,
        is_single=is_single,
        dimensions=body.integer("dimensions"),
        encoding="base64" if encoding == "base64" else "float",
        user=body.string("user"),
        extra=body.rest(NAME),
    )


def _read_input(body: JsonObject, raw: Raw) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...], bool]:
    if bytes(raw)[:1] == b'"':
        return (body.required_string("input"),), (), True
    body.drop("input")
    try:
        found = _texts.decode(raw)
        return tuple(found), (), False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return (), (tuple(_tokens.decode(raw)),), True
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return (), tuple(tuple(tokens) for tokens in _token_lists.decode(raw)), False
    except (msgspec.DecodeError, RecursionError):
        body.keep("input", raw)
    strings = body.strings("input")  # halves of surrogate pairs are mended on this way
    return strings or (), (), False


def encode_request(request: EmbeddingRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """Write a request."""
    inputs: list[Any] = list(request.token_lists or request.texts)
    members: dict[str, Any] = {"model": request.model, "input": inputs}
    if request.is_single and len(inputs) == 1:
        members["input"] = inputs[0]
    if request.dimensions is not None:
        members["dimensions"] = request.dimensions
    if request.encoding == "base64":
        members["encoding_format"] = "base64"
    if request.user is not None:
        members["user"] = request.user
    if request.task is not None:
        report.dropped(Feature.INPUT_TYPE, "task", "the provider does not ask what vectors are for")
    if request.title is not None:
        report.dropped(Feature.INPUT_TYPE, "title", "the provider takes no titles")
    extra = request.extra
    if extra is not None and extra.dialect == NAME:
        members |= extra.members
    tell_foreign(extra, NAME, report)
    return members


def decode_response(body: bytes) -> EmbeddingResponse:
    """Read an answer, vectors in the order of their index. Raises GatewayError (upstream_bad_response)."""
    answer = JsonObject.parse(body, "", _BAD)
    model = answer.string("model") or ""
    vectors: dict[int, tuple[float, ...]] = {}
    for number, entry in enumerate(answer.required_objects("data")):
        index = entry.integer("index")
        vectors[number if index is None else index] = _read_vector(entry)
    raw = answer.peek("usage")
    answer.drop("object")
    return EmbeddingResponse(
        model=model,
        vectors=tuple(vectors[index] for index in sorted(vectors)),
        usage=None if raw is None else read_usage(raw),
        extra=answer.rest(NAME),
    )


def _read_vector(entry: JsonObject) -> tuple[float, ...]:
    raw = entry.raw("embedding")
    if raw is None:
        raise entry.error("embedding", "is missing")
    try:
        value = _vector.decode(raw)
        if not isinstance(value, str):
            return value
        data = binascii.a2b_base64(value)
        return struct.unpack(f"<{len(data) // 4}f", data)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, ValueError, struct.error):
        raise entry.error("embedding", "must be a list of numbers or base64 of 32-bit floats") from None


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """Write an answer as the client asked for it. Raises GatewayError when a number fits no 32-bit float."""
    write = _write_base64 if request.encoding == "base64" else list
    data = [
        {"object": "embedding", "index": index, "embedding": write(vector)}
        for index, vector in enumerate(response.vectors)
    ]
    answer: dict[str, Any] = {"object": "list", "data": data, "model": response.model}
    if response.usage is not None:
        total = response.usage.input_total
        answer["usage"] = {"prompt_tokens": total, "total_tokens": total}
    return _encoder.encode({**answer, **_own(response.extra)})


def _own(extra: Extension | None) -> Fields:
    return extra.members if extra is not None and extra.dialect == NAME else {}


def _write_base64(vector: tuple[float, ...]) -> str:
    try:
        data = struct.pack(f"<{len(vector)}f", *vector)
    except OverflowError as error:
        raise GatewayError(_BAD, "The provider's vector holds a number beyond 32 bits.", cause=error) from None
    return binascii.b2a_base64(data, newline=False).decode()


EMBEDDING_CODEC: Final = EmbeddingCodec(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
)
