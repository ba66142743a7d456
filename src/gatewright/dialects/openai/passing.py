"""OpenAI's surfaces that are passed through and never translated, and the reranks that its imitators serve beside them.

Who speaks them takes OpenAI's own form (platform.openai.com/docs/api-reference), so the gateway reads no more than it
must: the model, the usage, what failed. Each is a dialect of its own, because hosts serve some and not others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

from msgspec import Raw

from gatewright.core.codec import StreamDecoder
from gatewright.core.fields import Fields
from gatewright.core.surface import Dialect, Surface
from gatewright.core.usage import Usage
from gatewright.dialects.openai.errors import read_fault, render_error, render_stream_error
from gatewright.dialects.openai.passing_answer import EventReader, read_answer, read_nothing
from gatewright.dialects.openai.passing_request import asked_images, asked_speech, uploaded_sound

_HEADERS: Final = frozenset((b"accept", b"openai-beta", b"x-client-request-id", b"traceparent", b"tracestate"))
_MODEL: Final = (("model",),)


def _dialect(
    name: str,
    summary: str,
    *surfaces: Surface,
    read: Callable[[bytes], tuple[Raw | None, Usage | None]] = read_answer,
    reader: Callable[[], StreamDecoder] | None = None,
    asked: Callable[[Fields, bytes], Usage | None] = lambda fields, body: None,
) -> Dialect:
    return Dialect(
        name=name,
        family="passing",
        surfaces=surfaces,
        summary=summary,
        render_error=render_error,
        render_stream_error=render_stream_error,
        read_fault=read_fault,
        read_answer=read,
        # The other objects' `model` is the provider's record of what was asked of it, not the name of what answered.
        model_paths=() if read is read_nothing else _MODEL,
        has_streams=reader is not None,
        reader=reader,
        asked_units=asked,
        forwarded_headers=_HEADERS,
    )


def _images(verb: str, summary: str) -> Dialect:
    name = f"openai.images.{verb}"
    return _dialect(
        name,
        summary,
        Surface(f"images_{verb}", b"POST", f"/v1/images/{verb}".encode(), name),
        read=partial(read_answer, output="image"),
        reader=partial(EventReader, "image"),
        asked=asked_images,
    )


def _heard(verb: str, summary: str) -> Dialect:
    name = f"openai.audio.{verb}"
    return _dialect(
        name,
        summary,
        Surface(f"audio_{verb}", b"POST", f"/v1/audio/{verb}".encode(), name, answer="any"),
        read=partial(read_answer, has_duration=True),
        reader=EventReader,
        asked=uploaded_sound,
    )


def _held(
    kind: str, name: str, method: bytes, upstream: str = "", answer: Literal["json", "bytes"] = "json"
) -> Surface:
    """A surface of what the provider holds, which names no model."""
    path = f"/v1/{kind}{upstream}".encode()
    return Surface(name, method, path, f"openai.{kind}", names_model=False, upstream=upstream, answer=answer)


PASSING: Final[tuple[Dialect, ...]] = (
    _images("generations", "Images from text, plain and streamed."),
    _images("edits", "Images from images and text, plain and streamed; JSON or a form with uploads."),
    _images("variations", "Variations of an uploaded image."),
    _heard("transcriptions", "Text of speech in its own language, plain and streamed, in every format."),
    _heard("translations", "English text of speech, in every format."),
    _dialect(
        "openai.audio.speech",
        "Speech from text: bytes in every format, or server-sent events.",
        Surface("audio_speech", b"POST", b"/v1/audio/speech", "openai.audio.speech", answer="bytes"),
        read=partial(read_answer, output="audio"),
        reader=partial(EventReader, "audio"),
        asked=asked_speech,
    ),
    _dialect(
        "openai.moderations",
        "Judgements of texts and images.",
        Surface("moderations", b"POST", b"/v1/moderations", "openai.moderations"),
    ),
    _dialect(
        "cohere.rerank",
        "Documents by their relevance to a query, as Cohere, Jina and the servers of open models have it.",
        Surface("rerank", b"POST", b"/v1/rerank", "cohere.rerank"),
        Surface("rerank_v2", b"POST", b"/v2/rerank", "cohere.rerank"),
    ),
    _dialect(
        "openai.files",
        "Files that the provider holds.",
        _held("files", "files_create", b"POST"),
        _held("files", "files_list", b"GET"),
        _held("files", "files_get", b"GET", "/{id}"),
        _held("files", "files_delete", b"DELETE", "/{id}"),
        _held("files", "files_content", b"GET", "/{id}/content", answer="bytes"),
        read=read_nothing,
    ),
    _dialect(
        "openai.batches",
        "Batches of requests that the provider runs.",
        _held("batches", "batches_create", b"POST"),
        _held("batches", "batches_list", b"GET"),
        _held("batches", "batches_get", b"GET", "/{id}"),
        _held("batches", "batches_cancel", b"POST", "/{id}/cancel"),
        read=read_nothing,
    ),
)
"""In the order of the documentation."""
