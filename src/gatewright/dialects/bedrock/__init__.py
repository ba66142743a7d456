"""Amazon Bedrock's Converse (docs.aws.amazon.com/bedrock/latest/APIReference, Converse and ConverseStream)."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.bedrock.errors import answer_headers, read_fault, render_error, render_stream_error, status_of
from gatewright.dialects.bedrock.names import NAME
from gatewright.dialects.bedrock.read_request import decode_request
from gatewright.dialects.bedrock.read_stream import ConverseStreamDecoder
from gatewright.dialects.bedrock.response import decode_response, encode_response
from gatewright.dialects.bedrock.usage import read_answer
from gatewright.dialects.bedrock.write_request import encode_request
from gatewright.dialects.bedrock.write_stream import ConverseStreamEncoder

CONVERSE: Final = Dialect(
    name=NAME,
    family="chat",
    surfaces=(
        Surface("converse", b"POST", b"/model/{model}/converse", NAME, stream=False),
        Surface("converse", b"POST", b"/model/{model}/converse-stream", NAME, stream=True),
    ),
    summary="Bedrock's Converse, plain and streamed.",
    chat=ChatCodec(
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        stream_decoder=ConverseStreamDecoder,
        stream_encoder=ConverseStreamEncoder,
    ),
    render_error=render_error,
    render_stream_error=render_stream_error,
    status_of=status_of,
    answer_headers=answer_headers,
    read_fault=read_fault,
    read_answer=read_answer,
    model_paths=(),
    service_member="serviceTier",
    stream_type=b"application/vnd.amazon.eventstream",
    streamed_text=text_members("text", "input", "name"),
)
