"""Embeddings of Cohere's API, version 2 (docs.cohere.com/reference/embed).

The API demands to be told what the vectors are for; a request that does not say is taken for documents to be searched,
as an index is built of many more texts than are asked for.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import Kind
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.cohere.names import EMBED
from gatewright.dialects.cohere.usage import read_usage
from gatewright.wire.json_object import JsonObject, render_json

DEFAULT_INPUT_TYPE: Final = "search_document"

_TASKS: Final = {
    "search_query": "query",
    "search_document": "document",
    "classification": "classification",
    "clustering": "clustering",
}
_INPUT_TYPES: Final = {task: input_type for input_type, task in _TASKS.items()}
_vectors = msgspec.json.Decoder(tuple[tuple[float, ...], ...])
_strings = msgspec.json.Decoder(tuple[str, ...])
_members: msgspec.json.Decoder[dict[str, Raw]] = msgspec.json.Decoder(dict[str, Raw])


def decode_request(fields: Fields, model: str) -> EmbeddingRequest:
    """The hub's form of a request. Raises GatewayError (malformed_request) with the path of what is wrong."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    texts = body.strings("texts")
    if texts is None:
        texts = _read_inputs(body)
    if texts is None and not body.has("inputs") and not body.has("images"):
        raise body.error("texts", "is missing")
    task = _TASKS.get(_peek_string(body, "input_type"))
    if task is not None:
        body.drop("input_type")
    encoding = _peek_list(body, "embedding_types")
    if encoding in (["float"], ["base64"]):
        body.drop("embedding_types")
    return EmbeddingRequest(
        model=model,
        texts=texts or (),
        dimensions=body.integer("output_dimension"),
        encoding="base64" if encoding == ["base64"] else "float",
        task=task,
        extra=body.rest(EMBED),
    )


def _peek_string(body: JsonObject, name: str) -> str:
    raw = body.peek(name)
    return "" if raw is None else JsonObject({name: raw}, body.path).string(name) or ""


def _peek_list(body: JsonObject, name: str) -> list[str]:
    raw = body.peek(name)
    return [] if raw is None else list(JsonObject({name: raw}, body.path).strings(name) or ())


def _read_inputs(body: JsonObject) -> tuple[str, ...] | None:
    """Take `inputs` if each is one text; None when there are pictures or mixtures, which stay where they are."""
    raw = body.peek("inputs")
    if raw is None:
        return None
    texts: list[str] = []
    for item in JsonObject({"inputs": raw}).required_objects("inputs"):
        contents = item.objects("content") or []
        if len(contents) != 1 or contents[0].string("type") != "text":
            return None
        texts.append(contents[0].required_string("text"))
    body.drop("inputs")
    return tuple(texts)


def encode_request(request: EmbeddingRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The members of an upstream's request body. Tells the report whatever is not carried over exactly."""
    if request.token_lists:
        report.refused(Feature.TOKEN_INPUT, "token_lists", "the API takes texts only")
    for feature, path, value in (
        (Feature.VENDOR, "title", request.title),
        (Feature.USER, "user", request.user),
    ):
        if value is not None:
            report.dropped(feature, path, "the API has no such member")
    extra = request.extra
    members: dict[str, Any] = {"model": request.model}
    own = extra.members if extra is not None and extra.dialect == EMBED else {}
    if request.texts or not ("inputs" in own or "images" in own):
        members["texts"] = list(request.texts)
    if "input_type" not in own:
        members["input_type"] = _input_type(request, report)
    members["embedding_types"] = [request.encoding]
    if request.dimensions is not None:
        members["output_dimension"] = request.dimensions
    tell_foreign(extra, EMBED, report)
    return members | own


def _input_type(request: EmbeddingRequest, report: LossReport) -> str:
    found = _INPUT_TYPES.get(request.task or "")
    if found is not None:
        return found
    if request.task == "similarity":
        report.approximated(Feature.INPUT_TYPE, "task", "sent as clustering, which also compares like with like")
        return "clustering"
    report.approximated(Feature.INPUT_TYPE, "task", f"the API demands one; sent as {DEFAULT_INPUT_TYPE}")
    return DEFAULT_INPUT_TYPE


def decode_response(body: bytes) -> EmbeddingResponse:
    """The hub's form of an answer. Raises GatewayError (upstream_bad_response) on what no client could read."""
    answer = JsonObject.parse(body, kind=Kind.UPSTREAM_BAD_RESPONSE)
    embeddings = answer.object("embeddings")
    if embeddings is None:
        raise answer.error("embeddings", "is missing")
    vectors = _read_vectors(embeddings)
    meta = answer.peek("meta")
    usage = None if meta is None else read_usage(meta)
    others = embeddings.rest(EMBED)
    rest = answer.rest(EMBED)
    members = {} if rest is None else dict(rest.members)
    if others is not None:
        members["embeddings"] = render_json(others.members)
    return EmbeddingResponse(model="", vectors=vectors, usage=usage, extra=Extension(EMBED, members))


def _read_vectors(embeddings: JsonObject) -> tuple[tuple[float, ...], ...]:
    """The vectors of the finest kind there is; other kinds stay where they are."""
    spelled = embeddings.raw("float")
    try:
        if spelled is not None:
            return _vectors.decode(spelled)
        packed = embeddings.raw("base64")
        if packed is not None:
            return tuple([_unpack(text) for text in _strings.decode(packed)])
        for name in ("int8", "uint8", "binary", "ubinary"):
            other = embeddings.peek(name)
            if other is not None:
                return _vectors.decode(other)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, struct.error, ValueError):
        raise embeddings.error("float", "must be vectors") from None
    raise embeddings.error("float", "is missing")


def _unpack(text: str) -> tuple[float, ...]:
    data = base64.b64decode(text, validate=True)
    return struct.unpack(f"<{len(data) // 4}f", data)


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The body of an answer to a client."""
    extra = response.extra
    own: dict[str, Any] = dict(extra.members) if extra is not None and extra.dialect == EMBED else {}
    others = own.pop("embeddings", None)
    embeddings: dict[str, Any] = {} if others is None else dict(_members.decode(others))
    if request.encoding == "base64":
        embeddings["base64"] = [_pack(vector) for vector in response.vectors]
    elif not embeddings.keys() & {"int8", "uint8", "binary", "ubinary"} or "float" in _wanted(request):
        embeddings["float"] = response.vectors
    answer: dict[str, Any] = {
        "id": "",
        "embeddings": embeddings,
        "texts": list(request.texts),
        "meta": {"api_version": {"version": "2"}},
        "response_type": "embeddings_by_type",
    }
    if response.usage is not None:
        answer["meta"]["billed_units"] = {"input_tokens": response.usage.input_total}
    return bytes(render_json(answer | own))


def _wanted(request: EmbeddingRequest) -> tuple[str, ...]:
    extra = request.extra
    raw = extra.members.get("embedding_types") if extra is not None and extra.dialect == EMBED else None
    return () if raw is None else _strings.decode(raw)


def _pack(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
