"""What a dialect gives so that the hub can speak it: pure codecs, both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from msgspec import Struct

from gatewright.core.chat import ChatRequest
from gatewright.core.embedding import EmbeddingRequest, EmbeddingResponse
from gatewright.core.errors import GatewayError
from gatewright.core.events import ChatResponse, Event
from gatewright.core.fields import Fields
from gatewright.core.loss import LossReport
from gatewright.core.traits import Traits


class StreamDecoder(Protocol):
    """Reads one streamed answer of an upstream."""

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes, cut anywhere; give the events they complete.

        Raises GatewayError (upstream_bad_response) on what no client could read. After a `Failure` it gives nothing.
        """
        ...

    def end(self) -> list[Event]:
        """The body is complete: give what was held back; a `Failure` (upstream_cut) when the answer is not whole."""
        ...


class StreamEncoder(Protocol):
    """Writes one streamed answer to a client."""

    def encode(self, events: Sequence[Event]) -> bytes:
        """The wire's bytes for `events`, whole events of the wire; may be empty. Never sees a `Failure`."""
        ...

    def end(self) -> bytes:
        """What closes an answer that is complete."""
        ...

    def fail(self, error: GatewayError, request_id: str) -> bytes:
        """What ends an answer that failed after it had begun, so that no client takes it for complete."""
        ...


class StreamContext(Struct, frozen=True, kw_only=True):
    """What an encoder must know of the request it answers."""

    request: ChatRequest
    """As the client sent it."""
    response_id: str
    """An id for dialects that need one when the upstream gives none; unique per exchange."""
    created: int
    """Unix seconds, for dialects that need them when the upstream gives none."""
    report: LossReport


class ChatCodec(Struct, frozen=True, kw_only=True):
    """A chat dialect. Members that it defines and the hub does not know travel in extensions of its own name."""

    decode_request: Callable[[Fields, str, bool], ChatRequest]
    """`(members, model, stream)` of a client's request → the hub's. Raises GatewayError (malformed_request, with the
    member's path) on what the dialect does not allow; unknown members are kept, not refused."""
    encode_request: Callable[[ChatRequest, Traits, LossReport], dict[str, Any]]
    """The hub's request → members of the upstream's request body, values being Raw or plain JSON values. Tells the
    report whatever is not carried over exactly."""
    decode_response: Callable[[bytes], ChatResponse]
    """A complete answer with status 200. Raises GatewayError (upstream_bad_response) on what no client could read."""
    encode_response: Callable[[ChatResponse, StreamContext], bytes]
    """The hub's response → a client's answer body. Losses are told to the context's report by `note`."""
    stream_decoder: Callable[[], StreamDecoder]
    stream_encoder: Callable[[StreamContext], StreamEncoder]
    can_overlap: bool = False
    """Whether the encoder takes parts of a choice that overlap; else they are put one after the other for it."""


class EmbeddingCodec(Struct, frozen=True, kw_only=True):
    """An embeddings dialect; the same contracts."""

    decode_request: Callable[[Fields, str], EmbeddingRequest]
    encode_request: Callable[[EmbeddingRequest, Traits, LossReport], dict[str, Any]]
    decode_response: Callable[[bytes], EmbeddingResponse]
    encode_response: Callable[[EmbeddingResponse, EmbeddingRequest], bytes]


class CountCodec(Struct, frozen=True, kw_only=True):
    """A dialect's call that only counts the input tokens of a chat request, in that dialect's chat request form."""

    decode_request: Callable[[Fields, str], ChatRequest]
    encode_request: Callable[[ChatRequest, Traits, LossReport], dict[str, Any]]
    decode_response: Callable[[bytes], int]
    encode_response: Callable[[int], bytes]
