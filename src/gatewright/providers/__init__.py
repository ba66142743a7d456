"""Every provider type: one file each, listed here in order; plain OpenAI-compatible hosts are rows of one table."""

from __future__ import annotations

from typing import Final

from gatewright.pipeline.provider import AnyProviderType
from gatewright.providers.anthropic import ANTHROPIC
from gatewright.providers.bedrock import BEDROCK
from gatewright.providers.cohere import COHERE
from gatewright.providers.compatible_hosts import COMPATIBLE_HOSTS
from gatewright.providers.gemini import GEMINI
from gatewright.providers.local import LOCAL
from gatewright.providers.ollama import OLLAMA
from gatewright.providers.openai import OPENAI
from gatewright.providers.openai_compatible import OPENAI_COMPATIBLE

PROVIDERS: Final[tuple[AnyProviderType, ...]] = (
    OPENAI,
    ANTHROPIC,
    GEMINI,
    BEDROCK,
    COHERE,
    OLLAMA,
    LOCAL,
    *COMPATIBLE_HOSTS,
    OPENAI_COMPATIBLE,
)
"""Every provider type, in the order of the documentation."""
