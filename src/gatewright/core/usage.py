"""What an exchange used, in one normal form whatever the vendor's counting rule."""

from __future__ import annotations

from msgspec import Struct


class Usage(Struct, frozen=True, kw_only=True):
    """Token counts of one answer. Totals include their parts; other counting rules are normalised on reading."""

    input_total: int = 0
    """All input tokens, those read from or written to a prompt cache included."""
    input_cached_read: int = 0
    input_cache_write: int = 0
    """All tokens written to a prompt cache, whatever their time to live."""
    input_cache_write_1h: int = 0
    """Those of them that are kept for an hour, which costs more."""
    input_audio: int = 0
    input_image: int = 0
    output_total: int = 0
    """All output tokens, reasoning included."""
    output_reasoning: int = 0
    output_audio: int = 0
    output_image: int = 0
    audio_s: float | None = None
    """Length of the audio that was heard, where the provider reports it: some models are billed by it."""
    search_units: float | None = None
    """What a rerank was billed, where the provider counts searches, not tokens."""
    images: int | None = None
    """Pictures that were made, on the surfaces that make nothing else."""
    characters: int | None = None
    """Characters of the text that was spoken."""
    web_searches: int = 0
    """Searches of the web by the vendor's own tool."""
    service: str = ""
    """The price list of the service that answered (`prices`, `flex`, …), where the answer tells which it was."""
    estimated: bool = False
    """True when the provider reported nothing and the numbers are the gateway's own count."""
