"""What a client wants, read for translation."""

from __future__ import annotations

from msgspec import Struct

from gatewright.core.chat import ChatRequest
from gatewright.core.embedding import EmbeddingRequest
from gatewright.core.loss import Fidelity
from gatewright.core.surface import Dialect


class Wish(Struct, frozen=True, kw_only=True):
    """A client's request, read once per exchange, and what its translations must know beyond it."""

    client: Dialect
    request: ChatRequest | EmbeddingRequest
    published: str
    """The model's name as the client called it."""
    response_id: str
    created: int
    fidelity: Fidelity
