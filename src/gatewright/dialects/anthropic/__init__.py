"""The Anthropic Messages API (platform.claude.com/docs/en/api/messages), also as Claude is served by other clouds."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec, CountCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.anthropic.count import (
    decode_count_request,
    decode_count_response,
    encode_count_request,
    encode_count_response,
    read_count,
)
from gatewright.dialects.anthropic.errors import (
    answer_headers,
    read_fault,
    render_error,
    render_stream_error,
    status_of,
)
from gatewright.dialects.anthropic.read_request import decode_request
from gatewright.dialects.anthropic.response import decode_response, encode_response
from gatewright.dialects.anthropic.stream_decoder import StreamDecoder
from gatewright.dialects.anthropic.stream_encoder import StreamEncoder
from gatewright.dialects.anthropic.usage import read_answer
from gatewright.dialects.anthropic.vocabulary import NAME
from gatewright.dialects.anthropic.write_request import encode_request

_HEADERS: Final = frozenset((b"anthropic-version", b"anthropic-beta"))
_VERSION: Final = ((b"anthropic-version", b"2023-06-01"),)

MESSAGES: Final = Dialect(
    name=NAME,
    family="chat",
    surfaces=(Surface("messages", b"POST", b"/v1/messages", NAME),),
    summary="Anthropic messages, plain and streamed.",
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
    status_of=status_of,
    answer_headers=answer_headers,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=(("model",), ("message", "model")),
    request_headers=_VERSION,
    forwarded_headers=_HEADERS,
    streamed_text=text_members("text", "thinking", "partial_json", "name"),
)
COUNT_TOKENS: Final = Dialect(
    name="anthropic.count_tokens",
    family="count",
    surfaces=(Surface("count_tokens", b"POST", b"/v1/messages/count_tokens", "anthropic.count_tokens"),),
    summary="Counts of the input tokens of Anthropic messages.",
    count=CountCodec(
        decode_request=decode_count_request,
        encode_request=encode_count_request,
        decode_response=decode_count_response,
        encode_response=encode_count_response,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    status_of=status_of,
    answer_headers=answer_headers,
    read_fault=read_fault,
    read_answer=read_count,
    request_headers=_VERSION,
    forwarded_headers=_HEADERS,
    has_streams=False,
)
