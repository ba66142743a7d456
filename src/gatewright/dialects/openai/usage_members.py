"""What is decoded of a `usage` member of the OpenAI APIs, and of the answer around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from gatewright.core.usage import Usage

# A count below zero would give allowances back; one that no model could reach does not fit where counts are kept.
Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class CachedDetails(Struct):
    audio_tokens: Count | None = None
    image_tokens: Count | None = None


class Details(Struct):
    cached_tokens: Count | None = None
    cached_tokens_details: msgspec.Raw = msgspec.Raw(b"")
    """`CachedDetails`, or what hosts of their own make of the name (SGLang: where the cache is)."""
    cache_write_tokens: Count | None = None
    audio_tokens: Count | None = None
    image_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class Reported(Struct):
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    total_tokens: Count | None = None
    prompt_tokens_details: Details | None = None
    completion_tokens_details: Details | None = None
    prompt_cache_hit_tokens: Count | None = None
    cached_tokens: Count | None = None
    num_cached_tokens: Count | None = None


class Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    model: msgspec.Raw = msgspec.Raw(b"")
    usage: Reported | None = None
    service_tier: msgspec.Raw = msgspec.Raw(b"")


class AnyAnswer(Struct):
    model: msgspec.Raw = msgspec.Raw(b"")


_cached_decoder = msgspec.json.Decoder(CachedDetails | None)


def with_cached(usage: Usage, details: msgspec.Raw) -> Usage:
    """The usage with the kinds of its cached tokens, where `cached_tokens_details` tells of any."""
    try:
        cached = _cached_decoder.decode(details)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return usage
    if cached is None or not (cached.audio_tokens or cached.image_tokens):
        return usage
    return replace(usage, input_cached_audio=cached.audio_tokens or 0, input_cached_image=cached.image_tokens or 0)


def write_cached(usage: Usage) -> dict[str, int]:
    """The same as a member; empty where there is nothing to tell."""
    counts = {"audio_tokens": usage.input_cached_audio, "image_tokens": usage.input_cached_image}
    return {name: count for name, count in counts.items() if count}
