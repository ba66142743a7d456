"""What an exchange used, in one normal form whatever the vendor's counting rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, structs


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


_any_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_SERVICES: Final[Mapping[str, str]] = {
    "default": "prices",
    "standard": "prices",
    "on_demand": "prices",
    "batch": "batch",
    "flex": "flex",
    "on_demand_flex": "flex",
    "priority": "priority",
    "on_demand_priority": "priority",
}


def service_of(word: object) -> str:
    """The price list of the service that a vendor's word names; empty for words, such as `auto`, that name none."""
    return _SERVICES.get(word.lower(), "") if isinstance(word, str) else ""


def service_in(tier: Raw) -> str:
    """The same of a JSON value: the word, or an object whose `type` it is."""
    try:
        value = _any_decoder.decode(tier)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return service_of(value.get("type") if isinstance(value, dict) else value)


def with_service(usage: Usage, tier: Raw | None) -> Usage:
    """The usage with the service that an answer's member, as JSON, says it was given by."""
    service = service_in(tier) if tier else ""
    return structs.replace(usage, service=service) if service else usage
