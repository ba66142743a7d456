"""The model list of `GET /api/tags` (docs.ollama.com/api/tags)."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec
from msgspec import Struct

from gatewright.dialects.ollama.clock import render_time

_encoder = msgspec.json.Encoder()


class _Details(Struct, frozen=True):
    parent_model: str = ""
    format: str = ""
    family: str = ""
    families: list[str] | None = None
    parameter_size: str = ""
    quantization_level: str = ""


class _Model(Struct):
    name: str
    model: str
    modified_at: str
    digest: str
    """Of the name, as there is no file: it only has to be stable and of the right form."""
    size: int = 0
    details: _Details = _Details()


class _ModelList(Struct):
    models: list[_Model]


def render_models(names: Iterable[str], created: int) -> bytes:
    """The published models, in order; `created` in Unix seconds. Nothing is told of where and what they are."""
    moment = render_time(created)
    return _encoder.encode(
        _ModelList([_Model(name, name, moment, sha256(name.encode("utf-8", "replace")).hexdigest()) for name in names])
    )
