"""Ollama's own API: chat and embeddings (docs.ollama.com/api). Model lists are rendered by `models`."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec, EmbeddingCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.ollama import embed
from gatewright.dialects.ollama.decode_stream import StreamDecoder
from gatewright.dialects.ollama.encode_stream import StreamEncoder
from gatewright.dialects.ollama.errors import read_fault, render_error, render_stream_error
from gatewright.dialects.ollama.names import EMBED as _EMBED
from gatewright.dialects.ollama.names import NAME
from gatewright.dialects.ollama.read_request import decode_request
from gatewright.dialects.ollama.response import decode_response, encode_response
from gatewright.dialects.ollama.usage import read_answer
from gatewright.dialects.ollama.write_request import encode_request

CHAT: Final = Dialect(
    name=NAME,
    surfaces=(Surface("ollama_chat", b"POST", b"/api/chat", NAME, stream_default=True),),
    summary="Ollama's own chat API, plain and streamed as lines of JSON.",
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
    stream_type=b"application/x-ndjson",
    streamed_text=text_members("content", "thinking"),
)
EMBED: Final = Dialect(
    name=_EMBED,
    family="embeddings",
    surfaces=(Surface("ollama_embed", b"POST", b"/api/embed", _EMBED),),
    summary="Ollama's own embeddings API.",
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
    has_streams=False,
)
