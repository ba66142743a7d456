"""Any host that speaks OpenAI's API under its own base URL: vLLM, SGLang, llama.cpp, a vendor's compatible endpoint."""

from __future__ import annotations

from typing import Final

from gatewright.config.documents import ProviderConfig
from gatewright.core.secret import Secret
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

_PATHS: Final = {
    "openai.chat": "/chat/completions",
    "openai.completions": "/completions",
    "openai.embeddings": "/embeddings",
    "openai.images.generations": "/images/generations",
    "openai.images.edits": "/images/edits",
    "openai.images.variations": "/images/variations",
    "openai.audio.transcriptions": "/audio/transcriptions",
    "openai.audio.translations": "/audio/translations",
    "openai.audio.speech": "/audio/speech",
    "openai.moderations": "/moderations",
    "cohere.rerank": "/rerank",
    "openai.files": "/files",
    "openai.batches": "/batches",
}


class Config(ProviderConfig, frozen=True):
    """A compatible host; a key only if it asks for one."""

    type: str = "openai_compatible"


def build(name: str, config: Config) -> Upstream:
    """Needs a URL. Raises ValueError without one."""
    if config.url is None:
        raise ValueError("`url` is missing; write the base URL, such as http://vllm.models.svc:8000/v1")
    key = config.key
    return build_upstream(
        name,
        config,
        url=config.url,
        paths=_PATHS,
        credential=("authorization", Secret(f"Bearer {key.reveal()}")) if key and key.reveal().strip() else None,
    )


OPENAI_COMPATIBLE: Final = ProviderType(
    "openai_compatible", Config, build, "Any host that speaks OpenAI's API, at any base URL."
)
