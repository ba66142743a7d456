"""embedContent and batchEmbedContents (ai.google.dev/api/embeddings): two calls, one of one content, one of many.

Every content becomes one vector. The hub has one task, title and size for all of them; requests that differ in these
travel as they were spelled, beside what the hub can say of them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import Extension
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_foreign
from gatewright.core.traits import Traits
from gatewright.dialects.google.members import EMBED, Members, own_members
from gatewright.dialects.google.usage import read_counts

_TASKS: Final = {
    "RETRIEVAL_QUERY": "query",
    "RETRIEVAL_DOCUMENT": "document",
    "SEMANTIC_SIMILARITY": "similarity",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
}
_WORDS: Final = {task: word for word, task in _TASKS.items()}
_encoder = msgspec.json.Encoder()


class _One(Struct, frozen=True):
    """One request for one vector."""

    text: str
    task: str | None
    title: str | None
    dimensions: int | None
    rest: dict[str, Raw]

    @property
    def settings(self) -> tuple[object, ...]:
        return self.task, self.title, self.dimensions, self.rest


def decode_request(fields: Fields, model: str) -> EmbeddingRequest:
    """The hub's request; see `EmbeddingCodec.decode_request`."""
    body = Members(fields)
    spelled = body.peek("requests")
    requests = body.many("requests")
    if requests is None:
        single = _one(body)
        return _request(model, [single], Extension(EMBED, single.rest) if single.rest else None, is_single=True)
    if not requests:
        raise body.error("requests", "must not be empty")
    read = [_one(request) for _, request in requests]
    rest = body.rest(EMBED)
    kept = dict(rest.members) if rest is not None else {}
    if any(each.settings != read[0].settings for each in read):
        kept["requests"] = spelled or Raw(b"[]")
    else:
        kept |= {f"requests.{name}": value for name, value in read[0].rest.items()}
    return _request(model, read, Extension(EMBED, kept) if kept else None, is_single=False)


def _request(model: str, read: list[_One], extra: Extension | None, *, is_single: bool) -> EmbeddingRequest:
    first = read[0]
    return EmbeddingRequest(
        model=model,
        texts=tuple(each.text for each in read),
        is_single=is_single,
        dimensions=first.dimensions,
        task=first.task,
        title=first.title,
        extra=extra,
    )


def _one(request: Members) -> _One:
    content = request.object("content")
    if content is None:
        raise request.error("content", "is missing")
    texts = []
    for _, part in content.many("parts") or ():
        text = part.string("text")
        if text is None:
            raise GatewayError(
                Kind.UNSUPPORTED_FEATURE, f"`{part.path}`: only texts can be embedded here.", param=part.path
            )
        texts.append(text)
    request.drop("model")
    word = request.peek("taskType")
    task = None if word is None else _TASKS.get(bytes(word).strip(b'"').decode("utf-8", "replace"))
    if task is not None:
        request.drop("taskType")
    title = request.string("title")
    dimensions = request.integer("outputDimensionality")
    rest = request.rest(EMBED)
    # Several parts of a content make one vector, as one text of the same words does.
    return _One("\n".join(texts), task, title, dimensions, {} if rest is None else rest.members)


def encode_request(request: EmbeddingRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The upstream's request, for embedContent when the client sent one input by itself, else for the batch call."""
    tell_foreign(request.extra, EMBED, report)
    if request.token_lists:
        report.refused(Feature.TOKEN_INPUT, "token_lists", "Gemini embeds texts, not token ids")
    if request.user is not None:
        report.dropped(Feature.USER, "user", "Gemini has no such member")
    kept = own_members(request.extra, EMBED)
    settings: dict[str, Any] = {}
    if request.task is not None and "taskType" not in kept:
        word = _WORDS.get(request.task)
        if word is None:
            report.dropped(Feature.INPUT_TYPE, "task", f"Gemini has no task `{request.task}`")
        else:
            settings["taskType"] = word
    if request.title is not None:
        settings["title"] = request.title
    if request.dimensions is not None:
        settings["outputDimensionality"] = request.dimensions
    if request.is_single:
        text = request.texts[0] if request.texts else ""
        return {"content": _content(text)} | settings | kept
    settings |= {name.removeprefix("requests."): kept.pop(name) for name in list(kept) if name.startswith("requests.")}
    model = request.model if request.model.startswith("models/") else f"models/{request.model}"
    batch = [{"model": model, "content": _content(text)} | settings for text in request.texts]
    return {"requests": batch} | kept


def encode_batch_request(request: EmbeddingRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """The same, always for the batch call: what clients of other dialects are translated to."""
    return encode_request(msgspec.structs.replace(request, is_single=False), traits, report)


def _content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def decode_response(data: bytes) -> EmbeddingResponse:
    """The hub's response, of either call."""
    body = Members.parse(data, "", Kind.UPSTREAM_BAD_RESPONSE)
    embeddings = body.many("embeddings")
    if embeddings is None:
        embeddings = body.many("embedding")
    if embeddings is None:
        raise body.error("embeddings", "is missing")
    counted = body.raw("usageMetadata")
    usage = None if counted is None else read_counts(counted)
    rest = body.rest(EMBED)
    kept = dict(rest.members) if rest is not None else {}
    if counted is not None:
        kept["usageMetadata"] = counted
    return EmbeddingResponse(
        model="",
        vectors=tuple(_vector(embedding) for _, embedding in embeddings),
        usage=usage,
        extra=Extension(EMBED, kept) if kept else None,
    )


def _vector(embedding: Members) -> tuple[float, ...]:
    values = embedding.any("values")
    if not isinstance(values, list) or not all(type(value) in (float, int) for value in values):
        raise embedding.error("values", "must be a list of numbers")
    return tuple(map(float, values))


def encode_response(response: EmbeddingResponse, request: EmbeddingRequest) -> bytes:
    """The client's answer, of the call that it made."""
    written: dict[str, Any]
    if request.is_single:
        written = {"embedding": {"values": response.vectors[0] if response.vectors else ()}}
    else:
        written = {"embeddings": [{"values": vector} for vector in response.vectors]}
    kept = own_members(response.extra, EMBED)
    if response.usage is not None:
        # There is no output, so nothing but the prompt is counted.
        written["usageMetadata"] = {"promptTokenCount": response.usage.input_total}
    return _encoder.encode(written | kept)
