"""The Gemini family of wire APIs (ai.google.dev/api), as the Gemini API and Vertex AI speak it."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from gatewright.core.codec import ChatCodec, CountCodec, EmbeddingCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.google import count, embeddings
from gatewright.dialects.google.errors import read_fault, render_error, render_stream_error
from gatewright.dialects.google.members import EMBED, NAME
from gatewright.dialects.google.read_request import decode_request
from gatewright.dialects.google.read_response import decode_response
from gatewright.dialects.google.read_stream import stream_decoder
from gatewright.dialects.google.usage import read_answer
from gatewright.dialects.google.write_request import encode_request
from gatewright.dialects.google.write_response import encode_response
from gatewright.dialects.google.write_stream import stream_encoder

_COUNT: Final = "google.count_tokens"
_BATCH: Final = "google.batch_embed_contents"
_HEADERS: Final = frozenset((b"x-goog-api-client", b"x-server-timeout", b"traceparent", b"tracestate"))
"""Not `x-goog-user-project`: it names who pays, which is for the gateway's own credential to say."""
_MODEL_PATHS: Final = (("modelVersion",),)


def _surface(name: str, dialect: str, method: bytes, *, stream: bool = False) -> Surface:
    return Surface(name, b"POST", b"/v1beta/models/{model}:" + method, dialect, stream=stream)


GENERATE_CONTENT: Final = Dialect(
    name=NAME,
    family="chat",
    surfaces=(
        _surface("generate_content", NAME, b"generateContent"),
        _surface("generate_content", NAME, b"streamGenerateContent", stream=True),
    ),
    summary="Gemini's generateContent, plain and streamed.",
    chat=ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        stream_decoder=stream_decoder,
        stream_encoder=stream_encoder,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=_MODEL_PATHS,
    forwarded_headers=_HEADERS,
    service_member="serviceTier",
    streamed_text=text_members("text", "stringValue", "name"),
)
EMBED_CONTENT: Final = Dialect(
    name=EMBED,
    family="embeddings",
    surfaces=(_surface("embed_content", EMBED, b"embedContent"),),
    summary="Gemini's embedding of one content.",
    embeddings=EmbeddingCodec(
        decode_request=embeddings.decode_request,
        encode_request=embeddings.encode_request,
        decode_response=embeddings.decode_response,
        encode_response=embeddings.encode_response,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=_MODEL_PATHS,
    forwarded_headers=_HEADERS,
    has_streams=False,
)
BATCH_EMBED_CONTENTS: Final = structs.replace(
    EMBED_CONTENT,
    name=_BATCH,
    surfaces=(_surface("batch_embed_contents", _BATCH, b"batchEmbedContents"),),
    summary="Gemini's embeddings of several contents.",
    embeddings=EmbeddingCodec(
        decode_request=embeddings.decode_request,
        encode_request=embeddings.encode_batch_request,
        decode_response=embeddings.decode_response,
        encode_response=embeddings.encode_response,
    ),
)
COUNT_TOKENS: Final = Dialect(
    name=_COUNT,
    family="count",
    surfaces=(_surface("count_tokens", _COUNT, b"countTokens"),),
    summary="Gemini's count of a request's input tokens.",
    count=CountCodec(
        decode_request=count.decode_request,
        encode_request=count.encode_request,
        decode_response=count.decode_response,
        encode_response=count.encode_response,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=_MODEL_PATHS,
    forwarded_headers=_HEADERS,
    has_streams=False,
)
