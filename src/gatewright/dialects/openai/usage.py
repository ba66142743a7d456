"""The `usage` member of the OpenAI APIs in normal form, and back.

`prompt_tokens` includes cached ones and `completion_tokens` includes reasoning
(platform.openai.com/docs/api-reference/chat/object): the normal form's own rule. Hosts differ in two ways. xAI and
Google's OpenAI endpoints leave reasoning out of `completion_tokens` but not out of `total_tokens`, so what the total
has beyond prompt and completion is reasoning. Cached tokens stand in the details (OpenAI), in `prompt_cache_hit_tokens`
(DeepSeek), `cached_tokens` (Moonshot) or `num_cached_tokens` (Mistral).
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import astuple

from gatewright.core.usage import Usage, with_service
from gatewright.dialects.openai.usage_members import Answer, AnyAnswer, Details, Reported, with_cached, write_cached

_NONE = Details()
_decoder = msgspec.json.Decoder(Reported | None)
_answer_decoder = msgspec.json.Decoder(Answer)
_any_answer_decoder = msgspec.json.Decoder(AnyAnswer)


def read_answer(body: bytes) -> tuple[msgspec.Raw | None, Usage | None]:
    """The model and the usage of a complete answer, in one pass. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer_decoder.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        return _any_answer_decoder.decode(body).model or None, None
    usage = None if answer.usage is None else _normalise(answer.usage)
    if usage is not None and answer.service_tier:
        usage = with_service(usage, answer.service_tier)
    return answer.model or None, usage


def read_usage(raw: msgspec.Raw) -> Usage | None:
    """The normal form; None when the member is null or makes no sense, so that no wrong number is ever recorded."""
    try:
        reported = _decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None
    return None if reported is None else _normalise(reported)


def _normalise(reported: Reported) -> Usage | None:
    # All members at once, for one by one each costs a look-up.
    input_total: int | None
    output_total: int | None
    total: int | None
    input_total, output_total, total, prompt, completion, hit, cached, num_cached = astuple(reported)
    if input_total is None:
        if total is None:
            return None
        # A total alone is what some hosts of embeddings report, where there is no output.
        input_total = max(total - (output_total or 0), 0)
    if output_total is None:
        output_total = max((total or 0) - input_total, 0)
    reasoning = 0 if completion is None else completion.reasoning_tokens or 0
    uncounted = (total or 0) - input_total - output_total
    if uncounted > 0:
        output_total += uncounted
        reasoning = max(reasoning, uncounted)
    if prompt is None and completion is None and hit is None and cached is None and num_cached is None:
        return Usage(input_total=input_total, output_total=output_total, output_reasoning=reasoning)
    prompt, completion = prompt or _NONE, completion or _NONE
    usage = Usage(
        input_total=input_total,
        input_cached_read=prompt.cached_tokens or hit or cached or num_cached or 0,
        input_cache_write=prompt.cache_write_tokens or 0,
        input_audio=prompt.audio_tokens or 0,
        input_image=prompt.image_tokens or 0,
        output_total=output_total,
        output_reasoning=reasoning,
        output_audio=completion.audio_tokens or 0,
        output_image=completion.image_tokens or 0,
    )
    return with_cached(usage, prompt.cached_tokens_details) if prompt.cached_tokens_details else usage


def render_usage(usage: Usage) -> dict[str, Any]:
    """The normal form as OpenAI counts."""
    prompt: dict[str, Any] = {"cached_tokens": usage.input_cached_read, "audio_tokens": usage.input_audio}
    if usage.input_cache_write:
        prompt["cache_write_tokens"] = usage.input_cache_write
    if usage.input_image:
        prompt["image_tokens"] = usage.input_image
    if kinds := write_cached(usage):
        prompt["cached_tokens_details"] = kinds
    completion = {
        "reasoning_tokens": usage.output_reasoning,
        "audio_tokens": usage.output_audio,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    if usage.output_image:
        completion["image_tokens"] = usage.output_image
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.input_total + usage.output_total,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
