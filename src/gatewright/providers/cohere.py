"""Cohere's own API, version 2 (docs.cohere.com/reference/chat)."""

from __future__ import annotations

from typing import Final

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

_PATHS: Final = {"cohere.chat": "/chat", "cohere.embed": "/embed", "cohere.rerank": "/rerank"}


class Config(ProviderConfig, frozen=True):
    """Cohere, reached with an API key."""

    type: str = "cohere"


def build(name: str, config: Config) -> Upstream:
    """Needs a key. Raises ValueError without one."""
    if config.key is None or not config.key.reveal().strip():
        raise ValueError("`key` is missing or empty; write `key: ${env:COHERE_API_KEY}`")
    return build_upstream(
        name,
        config,
        url=config.url or "https://api.cohere.com/v2",
        paths=_PATHS,
        credential=("authorization", Secret(f"Bearer {config.key.reveal().strip()}")),
    )


COHERE: Final = ProviderType(
    "cohere",
    Config,
    build,
    "Cohere's API.",
    environment="COHERE_API_KEY",
    default_models=("command-*", "embed-*", "rerank-*"),
    example_model="command-r7b-12-2024",
)
