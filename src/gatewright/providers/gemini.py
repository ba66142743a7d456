"""Google's Gemini API with an API key (ai.google.dev/api). Vertex AI is another provider type."""

from __future__ import annotations

from typing import Final

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

_PATHS: Final = {
    "google.generate_content": "/models/{model}:{generateContent|streamGenerateContent?alt=sse}",
    "google.batch_embed_contents": "/models/{model}:batchEmbedContents",
    "google.embed_content": "/models/{model}:embedContent",
    "google.count_tokens": "/models/{model}:countTokens",
}


class Config(ProviderConfig, frozen=True):
    """The Gemini API, reached with an API key."""

    type: str = "gemini"


def build(name: str, config: Config) -> Upstream:
    """Needs a key. Raises ValueError without one."""
    if config.key is None or not config.key.reveal().strip():
        raise ValueError("`key` is missing or empty; write `key: ${env:GEMINI_API_KEY}`")
    return build_upstream(
        name,
        config,
        url=config.url or "https://generativelanguage.googleapis.com/v1beta",
        paths=_PATHS,
        credential=("x-goog-api-key", Secret(config.key.reveal().strip())),
    )


GEMINI: Final = ProviderType(
    "gemini",
    Config,
    build,
    "Google's Gemini API.",
    environment="GEMINI_API_KEY",
    default_models=("gemini-*",),
    example_model="gemini-2.5-flash",
)
