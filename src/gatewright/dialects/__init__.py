"""Every wire API the gateway speaks: pure codecs, one folder per vendor family, listed here in order."""

from __future__ import annotations

from typing import Final

from gatewright.core.surface import Dialect
from gatewright.dialects.anthropic import COUNT_TOKENS, MESSAGES
from gatewright.dialects.openai import CHAT, COMPLETIONS, EMBEDDINGS

DIALECTS: Final[tuple[Dialect, ...]] = (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    MESSAGES,
    COUNT_TOKENS,
)
"""Every dialect, in the order of the documentation."""
