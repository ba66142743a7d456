"""An Ollama server, by its own API (docs.ollama.com/api)."""

from __future__ import annotations

from typing import Final

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

_PATHS: Final = {
    "ollama.chat": "/api/chat",
    "openai.chat": "/v1/chat/completions",
    "openai.completions": "/v1/completions",
    "ollama.embed": "/api/embed",
    "openai.embeddings": "/v1/embeddings",
}


class Config(ProviderConfig, frozen=True):
    """An Ollama server; a key only if something before it asks for one."""

    type: str = "ollama"


def build(name: str, config: Config) -> Upstream:
    """Needs nothing: a server on this machine is the default."""
    key = config.key.reveal().strip() if config.key is not None else ""
    return build_upstream(
        name,
        config,
        url=config.url or "http://127.0.0.1:11434",
        paths=_PATHS,
        credential=("authorization", Secret(f"Bearer {key}")) if key else None,
    )


OLLAMA: Final = ProviderType("ollama", Config, build, "An Ollama server, by its own API.")
