"""What an exchange used, in one normal form whatever the vendor's counting rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
from msgspec import Raw


@dataclass(init=False, unsafe_hash=True)
class Usage:
    """Token counts of one answer, never changed. Totals include their parts; other counting rules are normalised on
    reading.
    """

    input_total: int
    """All input tokens, those read from or written to a prompt cache included."""
    input_cached_read: int
    input_cache_write: int
    """All tokens written to a prompt cache, whatever their time to live."""
    input_cache_write_1h: int
    """Those of them that are kept for an hour, which costs more."""
    input_audio: int
    input_image: int
    input_cached_audio: int
    """Those of the audio tokens that were read from a cache, where the provider tells; so they are among
    `input_cached_read`, too."""
    input_cached_image: int
    """The same of image tokens."""
    output_total: int
    """All output tokens, reasoning included."""
    output_reasoning: int
    output_audio: int
    output_image: int
    audio_s: float | None
    """Length of the audio that was heard, where the provider reports it: some models are billed by it."""
    search_units: float | None
    """What a rerank was billed, where the provider counts searches, not tokens."""
    images: int | None
    """Pictures that were made, on the surfaces that make nothing else."""
    characters: int | None
    """Characters of the text that was spoken."""
    web_searches: int
    """Searches of the web by the vendor's own tool."""
    service: str
    """The price list of the service that answered (`prices`, `flex`, …), where the answer tells which it was."""
    estimated: bool
    """True when the provider reported nothing and the numbers are the gateway's own count."""
    uncounted: bool
    """True when more was used than the numbers tell, and nobody knows how much: what it cost is not known then."""

    # By hand, because the one that `dataclass` makes is not compiled: there is a Usage for every answer.
    def __init__(
        self,
        *,
        input_total: int = 0,
        input_cached_read: int = 0,
        input_cache_write: int = 0,
        input_cache_write_1h: int = 0,
        input_audio: int = 0,
        input_image: int = 0,
        input_cached_audio: int = 0,
        input_cached_image: int = 0,
        output_total: int = 0,
        output_reasoning: int = 0,
        output_audio: int = 0,
        output_image: int = 0,
        audio_s: float | None = None,
        search_units: float | None = None,
        images: int | None = None,
        characters: int | None = None,
        web_searches: int = 0,
        service: str = "",
        estimated: bool = False,
        uncounted: bool = False,
    ) -> None:
        self.input_total = input_total
        self.input_cached_read = input_cached_read
        self.input_cache_write = input_cache_write
        self.input_cache_write_1h = input_cache_write_1h
        self.input_audio = input_audio
        self.input_image = input_image
        self.input_cached_audio = input_cached_audio
        self.input_cached_image = input_cached_image
        self.output_total = output_total
        self.output_reasoning = output_reasoning
        self.output_audio = output_audio
        self.output_image = output_image
        self.audio_s = audio_s
        self.search_units = search_units
        self.images = images
        self.characters = characters
        self.web_searches = web_searches
        self.service = service
        self.estimated = estimated
        self.uncounted = uncounted

    @property
    def fresh_audio(self) -> int:
        """Audio tokens that were not read from a cache, as far as the provider tells."""
        return max(self.input_audio - self.input_cached_audio, 0)

    @property
    def fresh_image(self) -> int:
        """Image tokens that were not read from a cache, as far as the provider tells."""
        return max(self.input_image - self.input_cached_image, 0)

    @property
    def is_text(self) -> bool:
        """Whether it is nothing but plain tokens: none cached, none of thought, of sound or of pictures, and nothing
        that is billed by another measure, or not known."""
        return (
            self.input_cached_read == 0
            and self.input_cache_write == 0
            and self.input_audio == 0
            and self.input_image == 0
            and self.output_reasoning == 0
            and self.output_audio == 0
            and self.output_image == 0
            and self.audio_s is None
            and self.search_units is None
            and self.images is None
            and self.characters is None
            and self.web_searches == 0
            and not self.uncounted
        )


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
    return replace(usage, service=service) if service else usage
