"""What one typed decoding reads of a chunk; values of all other members are left as they are."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class ChunkFunction(Struct, gc=False):
    arguments: Any = None
    name: Any = None


class ChunkPiece(Struct, gc=False):
    """More of a tool call."""

    index: int
    function: ChunkFunction
    id: Any = None
    type: Any = None
    extra_content: Any = None


class ChunkDelta(Struct, gc=False):
    """A delta; members other than the first four are not read here."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    tool_calls: list[ChunkPiece] | None = None
    refusal: Any = None
    function_call: Any = None
    reasoning_details: Any = None
    thinking_blocks: Any = None
    annotations: Any = None
    audio: Any = None
    images: Any = None
    extra_content: Any = None


class ChunkChoice(Struct, gc=False):
    delta: ChunkDelta
    index: int = 0
    finish_reason: Any = None
    logprobs: Any = None
    error: Any = None


class Chunk(Struct, gc=False):
    choices: list[ChunkChoice]
    usage: Any = None
    error: Any = None
    x_groq: Any = None
