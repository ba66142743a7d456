"""The model objects of `GET /v1/models` as this API spells them (platform.claude.com/docs/en/api/models-list)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

_encoder = msgspec.json.Encoder()


class _Model(Struct, kw_only=True):
    type: str = "model"
    id: str
    display_name: str
    created_at: str
    lifecycle: str = "active"


class _ModelList(Struct, kw_only=True):
    data: list[_Model]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


def _model(name: str, created: int) -> _Model:
    created_at = datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return _Model(id=name, display_name=name, created_at=created_at)


def render_model(name: str, created: int) -> bytes:
    """One published model; `created` is in Unix seconds."""
    return _encoder.encode(_model(name, created))


def render_models(names: Sequence[str], created: int) -> bytes:
    """The published models, in order, as one page."""
    return _encoder.encode(
        _ModelList(
            data=[_model(name, created) for name in names],
            first_id=names[0] if names else None,
            last_id=names[-1] if names else None,
        )
    )
