"""How many input tokens a request has, when nobody better can be asked."""

from __future__ import annotations

from typing import Final

import msgspec

from gatewright.core.chat import ChatRequest, Message, Native, Part, Reasoning, Refusal, Text, ToolCall, ToolResult
from gatewright.core.embedding import EmbeddingRequest

_BYTES_PER_TOKEN: Final = 4
"""English prose and code come to 3.5-4.5 bytes of UTF-8 a token with the vendors' tokenizers; other scripts to fewer
tokens per byte, so the estimate errs upwards there."""
_TOKENS_PER_MESSAGE: Final = 4
"""Role and separators."""
_TOKENS_PER_MEDIUM: Final = 1_000
"""An image of ordinary size (OpenAI counts 85-1,445, Anthropic width x height / 750)."""

_encoder = msgspec.json.Encoder()


def estimate_tokens(request: ChatRequest | EmbeddingRequest) -> int:
    """An estimate of the input tokens, for want of the provider's own count; for no empty input is it 0."""
    if isinstance(request, EmbeddingRequest):
        return sum(map(len, request.token_lists)) + sum(_text_tokens(text) for text in request.texts)
    tools = sum(-(-len(_encoder.encode(tool)) // _BYTES_PER_TOKEN) for tool in request.tools)
    return tools + sum(_message_tokens(message) for message in request.messages)


def _text_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def _message_tokens(message: Message) -> int:
    return _TOKENS_PER_MESSAGE + sum(_part_tokens(part) for part in message.parts)


def _part_tokens(part: Part) -> int:
    match part:
        case Text() | Reasoning() | Refusal():
            return _text_tokens(part.text)
        case ToolCall():
            return _text_tokens(part.name) + _text_tokens(part.arguments)
        case ToolResult():
            return sum(_part_tokens(inner) for inner in part.content)
        case Native():
            return -(-len(bytes(part.raw)) // _BYTES_PER_TOKEN)
        case _:
            return _TOKENS_PER_MEDIUM
