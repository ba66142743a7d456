"""What is decoded of a `usage` member of the OpenAI APIs, and of the answer around it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

# A count below zero would give allowances back; one that no model could reach does not fit where counts are kept.
Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]


class Details(Struct):
    cached_tokens: Count | None = None
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
