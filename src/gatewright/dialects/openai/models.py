"""The model objects of `GET /v1/models` (platform.openai.com/docs/api-reference/models)."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

_encoder = msgspec.json.Encoder()


class _Model(Struct):
    id: str
    created: int
    owned_by: str
    object: str = "model"


class _ModelList(Struct):
    data: list[_Model]
    object: str = "list"


def render_model(name: str, created: int) -> bytes:
    """One published model."""
    return _encoder.encode(_Model(name, created, "gatewright"))


def render_models(names: Iterable[str], created: int) -> bytes:
    """The published models, in order."""
    return _encoder.encode(_ModelList([_Model(name, created, "gatewright") for name in names]))
