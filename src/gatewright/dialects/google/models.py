"""The model objects of `GET /v1beta/models` (ai.google.dev/api/models)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

_METHODS: Final = ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
"""What a model can is not known here; the SDKs list what the gateway would take."""
_PREFIX: Final = "models/"
_encoder = msgspec.json.Encoder()


class _Model(Struct):
    name: str
    baseModelId: str
    displayName: str
    version: str = "001"
    supportedGenerationMethods: tuple[str, ...] = _METHODS


class _ModelList(Struct):
    models: list[_Model]


def _model(name: str) -> _Model:
    return _Model(f"{_PREFIX}{name}", name, name)


def render_model(name: str) -> bytes:
    """One published model."""
    return _encoder.encode(_model(name))


def render_models(names: Iterable[str]) -> bytes:
    """The published models, in order, on one page."""
    return _encoder.encode(_ModelList([_model(name) for name in names]))
