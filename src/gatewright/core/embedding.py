"""The hub's embeddings: texts or token lists in, vectors out."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from gatewright.core.chat import Extension
from gatewright.core.usage import Usage


class EmbeddingRequest(Struct, frozen=True, kw_only=True):
    """Inputs to be turned into vectors, in order."""

    model: str
    texts: tuple[str, ...] = ()
    token_lists: tuple[tuple[int, ...], ...] = ()
    """Instead of `texts`: inputs already cut into tokens."""
    is_single: bool = False
    """Whether the client sent one input by itself, where its dialect makes that another call than a list of one."""
    dimensions: int | None = None
    encoding: Literal["float", "base64"] = "float"
    """How the client wants vectors spelled; base64 is of little-endian 32-bit floats."""
    task: str | None = None
    """What the vectors are for: `query`, `document`, `similarity`, `classification`, `clustering`."""
    title: str | None = None
    user: str | None = None
    extra: Extension | None = None


class EmbeddingResponse(Struct, frozen=True, kw_only=True):
    """One vector per input, in the order of the inputs."""

    model: str
    vectors: tuple[tuple[float, ...], ...]
    usage: Usage | None = None
    extra: Extension | None = None
