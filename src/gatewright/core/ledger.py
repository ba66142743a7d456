"""What the ledger holds: one entry per exchange, with every attempt that used or may have used something.

Entries are written by workers into their journals (`store.journal`), and from there by control into the database. An
entry is known by its journal and its number in it: written twice, it is booked once.
"""

from __future__ import annotations

from msgspec import Struct

Packed = tuple[object, ...]
"""An `Attempt`, or `Tokens`, as the tuple of its fields that both encode to; at the end it may leave defaults out."""


class Tokens(Struct, frozen=True, array_like=True, gc=False):
    """Tokens by kind, under the counting rule of `core.usage.Usage`."""

    input_total: int = 0
    input_cached_read: int = 0
    input_cache_write: int = 0
    input_cache_write_1h: int = 0
    input_audio: int = 0
    """Without those that were read from a cache, as far as the provider tells: what is charged stands in one place."""
    input_image: int = 0
    """Counted in the same way."""
    output_total: int = 0
    output_reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    audio_ms: int = 0
    """Length of the audio that was heard, where that is what is billed."""
    search_milliunits: int = 0
    """Searches billed, in thousandths."""
    images: int = 0
    """Pictures that were made, on the surfaces that make nothing else."""
    characters: int = 0
    """Characters of the text that was spoken."""
    web_searches: int = 0
    """Searches of the web by the vendor's own tool."""


class Attempt(Struct, frozen=True, array_like=True, gc=False):
    """One try at one target."""

    provider: str
    provider_type: str
    upstream_model: str
    outcome: str
    """`ok`, or the kind of error that ended it."""
    tokens: Tokens | None = None
    """None when it used nothing."""
    is_estimated: bool = False
    """Whether `tokens` is the gateway's own count, because the provider reported nothing or was cut off."""
    cost_femto_usd: int | None = None
    """None when the catalogue does not price what was used."""
    price_version: str = ""
    upstream_ms: int = 0


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """One exchange. Fields may be added at the end only: journals outlive versions."""

    number: int
    """Counts the entries of one journal from 1 on, without gap."""
    id: str
    """The exchange's id, as in the access log and `x-request-id`; a client may have chosen it, so it need not be
    unique."""
    started_at_us: int
    """Unix time in microseconds."""
    duration_us: int
    first_byte_us: int
    """From the start to the first byte of a stream; 0 for complete answers."""
    consumer: str
    user: str
    """The end user as the application names it; empty when it does not."""
    key_id: str
    """Which key (or `jwt:<issuer>`) identified the consumer; empty for the configuration's keys and anonymous calls."""
    surface: str
    model: str
    """The published model."""
    requested_model: str
    status: int
    kind: str
    """The kind of error that ended it, or empty."""
    is_stream: bool
    cache: str
    """`exact` or `semantic` for an answer from the cache, else empty."""
    attempts: list[Attempt]
