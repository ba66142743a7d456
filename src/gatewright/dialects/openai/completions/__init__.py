"""Legacy text completions through the hub: a prompt is one message of the user, an answer is one text."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec
from gatewright.dialects.openai.completions.answer import (
    CompletionDecoder,
    CompletionEncoder,
    decode_response,
    encode_response,
)
from gatewright.dialects.openai.completions.request import decode_request, encode_request

COMPLETION_CODEC: Final = ChatCodec(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=CompletionDecoder,
    stream_encoder=CompletionEncoder,
    can_overlap=True,
)
