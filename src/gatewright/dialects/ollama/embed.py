"""Embeddings of the Ollama API (docs.ollama.com/api/embed)."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewright.core.chat import Extension
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.core.usage import Usage
from gatewright.dialects.ollama.names import EMBED
from gatewright.wire.json_object import JsonObject, render_json

_vectors = msgspec.json.Decoder(tuple[tuple[float, ...], ...])


def decode_request(fields: Fields, model: str) -> EmbeddingRequest:
    """The hub's form of a request. Raises GatewayError (malformed_request) with the path of what is wrong."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    raw = body.peek("input")
    is_single = raw is not None and bytes(raw).startswith(b'"')
    if is_single:
        texts: tuple[str, ...] = (body.required_string("input"),)
    else:
        found = body.strings("input")
        if found is None:
            raise body.error("input", "is missing")
        texts = found
    dimensions = body.integer("dimensions")
    return EmbeddingRequest(
        model=model, texts=texts, is_single=is_single, dimensions=dimensions, extra=body.rest(EMBED)
    )


def encode_request(request: EmbeddingRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of an upstream's request body. Tells the report whatever is not carried over exactly."""
    if request.token_lists:
        report.refused(Feature.TOKEN_INPUT, "token_lists", "the API takes texts only")
    for feature, path, value in (
        (Feature.INPUT_TYPE, "task", request.task),
        (Feature.VENDOR, "title", request.title),
        (Feature.USER, "user", request.user),
    ):
        if value is not None:
            report.dropped(feature, path, "the API has no such member")
    single = request.is_single and len(request.texts) == 1
    members: dict[str, Any] = {
        "model": request.model,
        "input": request.texts[0] if single else list(request.texts),
    }
    if request.dimensions is not None:
        members["dimensions"] = request.dimensions
    extra = request.extra
    if extra is not None and extra.dialect == EMBED:
        members.update(extra.members)
    tell_foreign(extra, EMBED, report)
    return members


def decode_response(body: bytes) -> EmbeddingResponse:
    """The hub's form of an answer. Raises GatewayError (upstream_bad_response) on what no client could read."""
    answer = JsonObject.parse(body, kind=Kind.UPSTREAM_BAD_RESPONSE)
    model = answer.string("model") or ""
    raw = answer.raw("embeddings")
    if raw is None:
        raise answer.error("embeddings", "is missing")
    try:
        vectors = _vectors.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        raise answer.error("embeddings", "must be lists of numbers") from None
    count = answer.integer("prompt_eval_count")
    usage = None if count is None or not 0 <= count <= 1_000_000_000_000 else Usage(input_total=count)
    return EmbeddingResponse(model=model, vectors=vectors, usage=usage, extra=answer.rest(EMBED))


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The body of an answer to a client."""
    answer: dict[str, Any] = {"model": response.model, "embeddings": response.vectors}
    if response.usage is not None:
        answer["prompt_eval_count"] = response.usage.input_total
    extra: Extension | None = response.extra
    if extra is not None and extra.dialect == EMBED:
        answer.update(extra.members)
    return bytes(render_json(answer))
