"""Anthropic's own API (platform.claude.com/docs/en/api)."""

from __future__ import annotations

from typing import Final

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.core.traits import Traits
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

_PATHS: Final = {"anthropic.messages": "/messages", "anthropic.count_tokens": "/messages/count_tokens"}
_TRAITS: Final = Traits(has_json_schema=False)
_ADAPTIVE: Final = (
    "claude-opus-4-6*",
    "claude-opus-4-7*",
    "claude-opus-4-8*",
    "claude-sonnet-4-6*",
    "claude-sonnet-5*",
    "claude-opus-5*",
    "claude-haiku-5*",
    "claude-fable-*",
)
"""Models that choose their own budget of thought (build-with-claude/adaptive-thinking)."""


class Config(ProviderConfig, frozen=True):
    """Anthropic, reached with an API key."""

    type: str = "anthropic"


def build(name: str, config: Config) -> Upstream:
    """Needs a key. Raises ValueError without one."""
    if config.key is None or not config.key.reveal().strip():
        raise ValueError("`key` is missing or empty; write `key: ${env:ANTHROPIC_API_KEY}`")
    return build_upstream(
        name,
        config,
        url=config.url or "https://api.anthropic.com/v1",
        paths=_PATHS,
        credential=("x-api-key", Secret(config.key.reveal().strip())),
        traits=_TRAITS,
        model_traits=tuple((pattern, {"has_adaptive_reasoning": True}) for pattern in _ADAPTIVE),
    )


ANTHROPIC: Final = ProviderType(
    "anthropic",
    Config,
    build,
    "Anthropic's API.",
    environment="ANTHROPIC_API_KEY",
    default_models=("claude-*",),
    example_model="claude-haiku-4-5",
)
