"""OpenAI's Responses API (platform.openai.com/docs/api-reference/responses), as OpenAI and its imitators speak it."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.openai.errors import render_error
from gatewright.dialects.openai.responses.errors import read_fault, render_stream_error
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_request import decode_request
from gatewright.dialects.openai.responses.read_response import decode_response
from gatewright.dialects.openai.responses.read_stream import ResponsesDecoder
from gatewright.dialects.openai.responses.usage import read_answer, read_usage
from gatewright.dialects.openai.responses.write_request import encode_request
from gatewright.dialects.openai.responses.write_response import encode_response
from gatewright.dialects.openai.responses.write_stream import ResponsesEncoder

RESPONSES: Final = Dialect(
    name=NAME,
    surfaces=(Surface("responses", b"POST", b"/v1/responses", NAME),),
    summary="Responses: items of messages, thoughts and calls, plain and streamed.",
    chat=ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        stream_decoder=ResponsesDecoder,
        stream_encoder=ResponsesEncoder,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    read_fault=read_fault,
    read_answer=read_answer,
    read_usage=read_usage,
    model_paths=(("model",), ("response", "model")),
    service_member="service_tier",
    deferring_member="background",
    streamed_text=text_members("delta"),
    forwarded_headers=frozenset((b"openai-beta", b"x-client-request-id", b"traceparent", b"tracestate")),
)
