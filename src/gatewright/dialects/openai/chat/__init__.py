"""Chat completions through the hub (platform.openai.com/docs/api-reference/chat), liberal to the hosts that copy it."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec
from gatewright.dialects.openai.chat.answer import decode_response, encode_response
from gatewright.dialects.openai.chat.read_request import decode_request
from gatewright.dialects.openai.chat.stream_decoder import ChatDecoder
from gatewright.dialects.openai.chat.stream_encoder import ChatEncoder
from gatewright.dialects.openai.chat.write_request import encode_request

CHAT_CODEC: Final = ChatCodec(
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    stream_decoder=ChatDecoder,
    stream_encoder=ChatEncoder,
    can_overlap=True,
)
