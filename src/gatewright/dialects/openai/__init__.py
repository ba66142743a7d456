"""The OpenAI family of wire APIs (platform.openai.com/docs/api-reference)."""

from __future__ import annotations

from typing import Final

from gatewright.core.codec import ChatCodec, EmbeddingCodec
from gatewright.core.surface import Dialect, Surface, text_members
from gatewright.dialects.openai.chat import CHAT_CODEC
from gatewright.dialects.openai.completions import COMPLETION_CODEC
from gatewright.dialects.openai.embeddings import EMBEDDING_CODEC
from gatewright.dialects.openai.errors import read_fault, render_error, render_stream_error
from gatewright.dialects.openai.stream import ask_nothing, ask_usage, has_finish, is_error_event, is_usage_only
from gatewright.dialects.openai.usage import read_answer, read_usage

_TEXT: Final = text_members("content", "text", "arguments", "name", "refusal", "reasoning_content", "reasoning")
_HEADERS: Final = frozenset((b"openai-beta", b"x-client-request-id", b"traceparent", b"tracestate"))


def _dialect(
    name: str,
    surface: str,
    path: bytes,
    summary: str,
    *,
    chat: ChatCodec | None,
    embeddings: EmbeddingCodec | None,
    service_member: str = "",
    deferring_member: str = "",
) -> Dialect:
    streams = chat is not None
    return Dialect(
        name=name,
        family="chat" if streams else "embeddings",
        surfaces=(Surface(surface, b"POST", path, name),),
        summary=summary,
        chat=chat,
        embeddings=embeddings,
        render_error=render_error,
        render_stream_error=render_stream_error,
        read_fault=read_fault,
        read_answer=read_answer,
        has_streams=streams,
        is_scanned=True,
        read_usage=read_usage,
        ask_usage=ask_usage if streams else ask_nothing,
        is_error_event=is_error_event,
        is_usage_only=is_usage_only,
        has_finish=has_finish,
        done_event=b"data: [DONE]" if streams else b"",
        forwarded_headers=_HEADERS,
        service_member=service_member,
        deferring_member=deferring_member,
        streamed_text=_TEXT,
    )


CHAT: Final = _dialect(
    "openai.chat",
    "chat_completions",
    b"/v1/chat/completions",
    "Chat completions, plain and streamed.",
    chat=CHAT_CODEC,
    embeddings=None,
    service_member="service_tier",
    # xAI's (docs.x.ai/docs/guides/deferred-chat-completions).
    deferring_member="deferred",
)
COMPLETIONS: Final = _dialect(
    "openai.completions",
    "completions",
    b"/v1/completions",
    "Legacy text completions, plain and streamed.",
    chat=COMPLETION_CODEC,
    embeddings=None,
)
EMBEDDINGS: Final = _dialect(
    "openai.embeddings",
    "embeddings",
    b"/v1/embeddings",
    "Embeddings of texts or of token lists.",
    chat=None,
    embeddings=EMBEDDING_CODEC,
)
