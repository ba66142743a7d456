"""Every client dialect."""

from __future__ import annotations

from types import ModuleType
from typing import Final, cast

from clients import (
    anthropic_messages,
    bedrock_converse,
    cohere_chat,
    google_generate,
    ollama_chat,
    openai_chat,
    openai_responses,
)
from clients.told import Client

_MODULES: Final[tuple[ModuleType, ...]] = (
    openai_chat,
    openai_responses,
    anthropic_messages,
    google_generate,
    bedrock_converse,
    cohere_chat,
    ollama_chat,
)
CLIENTS: Final = {client.NAME: client for client in cast("tuple[Client, ...]", _MODULES)}
"""By dialect."""
