"""The `usage` member of the OpenAI APIs in normal form.

`prompt_tokens` includes cached ones and `completion_tokens` includes reasoning
(platform.openai.com/docs/api-reference/chat/object): the normal form's own rule, so totals are taken as they are.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from gatewright.core.usage import Usage


class _Details(Struct):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    audio_tokens: int | None = None
    reasoning_tokens: int | None = None


class _Reported(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None


class _Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    model: msgspec.Raw = msgspec.Raw(b"")
    usage: _Reported | None = None


class _AnyAnswer(Struct):
    model: msgspec.Raw = msgspec.Raw(b"")


_NONE = _Details()
_decoder = msgspec.json.Decoder(_Reported | None)
_answer_decoder = msgspec.json.Decoder(_Answer)
_any_answer_decoder = msgspec.json.Decoder(_AnyAnswer)


def read_answer(body: bytes) -> tuple[msgspec.Raw | None, Usage | None]:
    """The model and the usage of a complete answer, in one pass. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer_decoder.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        return _any_answer_decoder.decode(body).model or None, None
    return answer.model or None, None if answer.usage is None else _normalise(answer.usage)


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """The normal form; None when the member is null or makes no sense, so that no wrong number is ever recorded."""
    try:
        reported = _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if reported is None else _normalise(reported)


def _normalise(reported: _Reported) -> Usage | None:
    if reported.prompt_tokens is None and reported.total_tokens is None:
        return None
    prompt = reported.prompt_tokens_details or _NONE
    completion = reported.completion_tokens_details or _NONE
    input_total = reported.prompt_tokens or 0
    output_total = reported.completion_tokens
    if output_total is None:
        output_total = max((reported.total_tokens or 0) - input_total, 0)
    return Usage(
        input_total=input_total,
        input_cached_read=prompt.cached_tokens or 0,
        input_cache_write=prompt.cache_write_tokens or 0,
        input_audio=prompt.audio_tokens or 0,
        output_total=output_total,
        output_reasoning=completion.reasoning_tokens or 0,
        output_audio=completion.audio_tokens or 0,
    )
