"""The counts of an answer in normal form (docs.ollama.com/api/usage).

They stand at the top level of the last line. `prompt_eval_count` includes `prompt_eval_cached_count`; both are absent
when they are 0, and older servers leave the first out when the whole prompt was cached. Durations, in nanoseconds, have
no place in the normal form: they travel in the usage's extension.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from gatewright.core.chat import Extension
from gatewright.core.events import UsageReport
from gatewright.core.usage import Usage
from gatewright.dialects.ollama.names import NAME
from gatewright.wire.json_object import JsonObject

# A count below zero would give allowances back; one that no model could reach does not fit where counts are kept.
_Count = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]

_COUNTS: Final = ("prompt_eval_count", "prompt_eval_cached_count", "eval_count")
_DURATIONS: Final = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


class _Answer(Struct):
    """The members of a complete answer that are read on the side; all others are skipped, not decoded."""

    model: Raw = Raw(b"")
    prompt_eval_count: _Count | None = None
    prompt_eval_cached_count: _Count | None = None
    eval_count: _Count | None = None


class _AnyAnswer(Struct):
    model: Raw = Raw(b"")


_answer = msgspec.json.Decoder(_Answer)
_any_answer = msgspec.json.Decoder(_AnyAnswer)
_count: msgspec.json.Decoder[int] = msgspec.json.Decoder(_Count)


def read_answer(body: bytes) -> tuple[Raw | None, Usage | None]:
    """The model and the usage of a complete answer. Raises msgspec.DecodeError when it is no object."""
    try:
        answer = _answer.decode(body)
    except msgspec.ValidationError:
        # A usage that makes no sense costs its numbers, not the answer.
        return _any_answer.decode(body).model or None, None
    usage = _normalise(answer.prompt_eval_count, answer.prompt_eval_cached_count, answer.eval_count)
    return answer.model or None, usage


def take_usage(answer: JsonObject) -> UsageReport | None:
    """Take the counts and durations of an answer's last line; None when it tells no count."""
    taken: dict[str, Raw] = {}
    for name in (*_COUNTS, *_DURATIONS):
        raw = answer.raw(name)
        if raw is not None:
            taken[name] = raw
    prompt, cached, output = [_read_count(taken.get(name)) for name in _COUNTS]
    usage = _normalise(prompt, cached, output)
    if usage is None:
        return None
    kept: dict[str, Raw] = {name: taken[name] for name in _DURATIONS if name in taken}
    kept.update((name, taken[name]) for name in _COUNTS if name in taken and bytes(taken[name]) == b"0")
    return UsageReport(usage=usage, extra=Extension(NAME, kept))


def _read_count(raw: Raw | None) -> int | None:
    if raw is None:
        return None
    try:
        return _count.decode(raw)
    except msgspec.DecodeError:
        return None


def _normalise(prompt: int | None, cached: int | None, output: int | None) -> Usage | None:
    if prompt is None and output is None:
        return None
    return Usage(
        input_total=prompt or 0,
        input_cached_read=min(cached or 0, prompt or 0),
        output_total=output or 0,
    )


def write_usage(usage: Usage | None, extra: Extension | None) -> dict[str, Any]:
    """The members of an answer's last line that tell what it used."""
    if usage is None:
        return {}
    members: dict[str, Any] = dict(extra.members) if extra is not None and extra.dialect == NAME else {}
    is_own = extra is not None and extra.dialect == NAME
    counts = zip(_COUNTS, (usage.input_total, usage.input_cached_read, usage.output_total), strict=True)
    # This API leaves out what is 0; clients of translated answers may count on the two main ones.
    members.update(
        (name, count) for name, count in counts if count or (not is_own and name != "prompt_eval_cached_count")
    )
    return members
