"""OpenAI's own API (platform.openai.com/docs/api-reference)."""

from __future__ import annotations

from typing import Final

import msgspec

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.core.traits import Traits
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

PATHS: Final = {
    "openai.chat": "/chat/completions",
    "openai.responses": "/responses",
    "openai.completions": "/completions",
    "openai.embeddings": "/embeddings",
    "openai.images.generations": "/images/generations",
    "openai.images.edits": "/images/edits",
    "openai.images.variations": "/images/variations",
    "openai.audio.transcriptions": "/audio/transcriptions",
    "openai.audio.translations": "/audio/translations",
    "openai.audio.speech": "/audio/speech",
    "openai.moderations": "/moderations",
    "openai.files": "/files",
    "openai.batches": "/batches",
}


_TRAITS: Final = Traits(has_top_k=False, tool_id_form="max40")


class Config(ProviderConfig, frozen=True):
    """OpenAI, reached with an API key."""

    type: str = "openai"
    organization: str | None = None
    """Sent as `OpenAI-Organization`, for keys that belong to several."""
    project: str | None = None
    """Sent as `OpenAI-Project`."""


def build(name: str, config: Config) -> Upstream:
    """Needs a key. Raises ValueError without one."""
    if config.key is None or not config.key.reveal().strip():
        raise ValueError("`key` is missing or empty; write `key: ${env:OPENAI_API_KEY}`")
    headers = dict(config.headers)
    if config.organization is not None:
        headers["openai-organization"] = Secret(config.organization)
    if config.project is not None:
        headers["openai-project"] = Secret(config.project)
    return build_upstream(
        name,
        msgspec.structs.replace(config, headers=headers),
        url=config.url or "https://api.openai.com/v1",
        paths=PATHS,
        credential=("authorization", Secret(f"Bearer {config.key.reveal()}")),
        traits=_TRAITS,
    )


OPENAI: Final = ProviderType(
    "openai",
    Config,
    build,
    "OpenAI's API.",
    environment="OPENAI_API_KEY",
    default_models=(
        "gpt-*",
        "o1*",
        "o3*",
        "o4*",
        "chatgpt-*",
        "text-embedding-*",
        "dall-e-*",
        "whisper-*",
        "tts-*",
        "omni-moderation-*",
    ),
    example_model="gpt-4.1-mini",
)
