"""Every wire API the gateway speaks: pure codecs, one folder per vendor family, listed here in order."""

from __future__ import annotations

from typing import Final

from gatewright.core.surface import Dialect
from gatewright.dialects import anthropic, bedrock, cohere, google, ollama, openai
from gatewright.dialects.openai.passing import PASSING
from gatewright.dialects.openai.responses import RESPONSES

DIALECTS: Final[tuple[Dialect, ...]] = (
    openai.CHAT,
    RESPONSES,
    openai.COMPLETIONS,
    openai.EMBEDDINGS,
    anthropic.MESSAGES,
    anthropic.COUNT_TOKENS,
    google.GENERATE_CONTENT,
    google.BATCH_EMBED_CONTENTS,
    google.EMBED_CONTENT,
    google.COUNT_TOKENS,
    bedrock.CONVERSE,
    cohere.CHAT,
    cohere.EMBED,
    ollama.CHAT,
    ollama.EMBED,
    *PASSING,
)
"""Every dialect, in the order of the documentation."""
