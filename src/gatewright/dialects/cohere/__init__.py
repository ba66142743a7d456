"""Cohere's own API, version 2: chat and embeddings (docs.cohere.com/reference)."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec, EmbeddingCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.cohere import embed
from gatewright.dialects.cohere.decode_stream import StreamDecoder
from gatewright.dialects.cohere.encode_stream import StreamEncoder
from gatewright.dialects.cohere.errors import read_fault, render_error, render_stream_error
from gatewright.dialects.cohere.names import EMBED as _EMBED
from gatewright.dialects.cohere.names import NAME
from gatewright.dialects.cohere.read_request import decode_request
from gatewright.dialects.cohere.response import decode_response, encode_response
from gatewright.dialects.cohere.usage import read_answer
from gatewright.dialects.cohere.write_request import encode_request

_HEADERS: Final = frozenset((b"x-client-name", b"traceparent", b"tracestate"))

CHAT: Final = Dialect(
    name=NAME,
    surfaces=(Surface("cohere_chat", b"POST", b"/v2/chat", NAME),),
    summary="Cohere's own chat API, version 2, plain and streamed.",
    chat=ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        stream_decoder=StreamDecoder,
        stream_encoder=StreamEncoder,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=(),
    forwarded_headers=_HEADERS,
    streamed_text=text_members("text", "thinking", "arguments", "name", "tool_plan"),
)
EMBED: Final = Dialect(
    name=_EMBED,
    family="embeddings",
    surfaces=(Surface("cohere_embed", b"POST", b"/v2/embed", _EMBED),),
    summary="Cohere's own embeddings API, version 2.",
    embeddings=EmbeddingCodec(
        decode_request=embed.decode_request,
        encode_request=embed.encode_request,
        decode_response=embed.decode_response,
        encode_response=embed.encode_response,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=(),
    forwarded_headers=_HEADERS,
    has_streams=False,
)
