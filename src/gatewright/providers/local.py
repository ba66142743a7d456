"""Models served by the gateway itself: llama.cpp processes beside the workers, bundled weights or any GGUF file.

A `local` provider has no address of its own. Each of its models is a process with a port, so before a document is
served every model that a target names becomes a provider with a `url` (`server.local_children`); what is compiled here
without one serves only to check the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gatewright.config.documents import Document, ProviderConfig
from gatewright.pipeline.provider import ProviderType, Upstream, build_upstream

Kind = Literal["chat", "embedding"]

_PATHS: Final[Mapping[Kind, Mapping[str, str]]] = {
    "chat": {"openai.chat": "/chat/completions", "openai.completions": "/completions"},
    "embedding": {"openai.embeddings": "/embeddings"},
}
_NOWHERE: Final = "http://127.0.0.1:1/v1"
"""Stands for the address until there is one; nothing can listen there."""


class LocalModel(Document, frozen=True):
    """A GGUF file served by the gateway itself."""

    path: str
    """Path of the GGUF file."""
    kind: Kind = "chat"
    """What it is for."""
    context_tokens: Annotated[int, Meta(ge=256, le=1_048_576)] = 4096
    """Context window given to each request; never more than the model was made for."""


class Config(ProviderConfig, frozen=True):
    """Models that run on this machine as processes of the gateway: the bundled ones, and any GGUF file."""

    type: str = "local"
    models: dict[str, LocalModel] = msgspec.field(default_factory=dict)
    """More models by name, beside the bundled `smollm2` and `embed`; a bundled name here replaces that model."""
    start_s: Annotated[float, Meta(gt=0, le=3600)] = 120.0
    """How long a model may take to load; a process that is still not ready then is killed and started again. Takes
    effect when the gateway starts."""


class BundledModel(Struct, frozen=True):
    """A model whose weights `gatewright local pull` fetches."""

    file: str
    """Its name in the folder of the weights."""
    kind: Kind
    context_tokens: int
    summary: str
    """One sentence for people."""


BUNDLED: Final[Mapping[str, BundledModel]] = {
    "smollm2": BundledModel(
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "chat",
        4096,
        "SmolLM2 135M Instruct: small talk for tests and demonstrations.",
    ),
    "embed": BundledModel(
        "all-MiniLM-L6-v2.Q8_0.gguf", "embedding", 512, "all-MiniLM-L6-v2: English sentences as 384 numbers."
    ),
}
"""What every `local` provider has, by the name under which it is published."""


def is_local(provider: Mapping[str, Any]) -> bool:
    """Whether an entry of `providers` is of this type."""
    return provider.get("type") == LOCAL.name


def models_of(config: Config, folder: str) -> dict[str, LocalModel]:
    """Every model the provider offers, by name; `folder` holds the bundled weights."""
    bundled = {
        name: LocalModel(path=f"{folder}/{model.file}", kind=model.kind, context_tokens=model.context_tokens)
        for name, model in BUNDLED.items()
    }
    return bundled | config.models


def build(name: str, config: Config) -> Upstream:
    """With a `url`, the provider is one running process and speaks what its models are for; without, everything."""
    kinds = dict.fromkeys(model.kind for model in config.models.values()) if config.url is not None else _PATHS
    paths = {dialect: path for kind in kinds for dialect, path in _PATHS[kind].items()}
    return build_upstream(name, config, url=config.url or _NOWHERE, paths=paths, credential=None)


LOCAL: Final = ProviderType("local", Config, build, "Models on this machine, as processes of the gateway.")
