"""How an answer ended: `stop_reason` and what belongs to it, in both directions."""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import Extension
from gatewright.core.events import Finish, FinishReason
from gatewright.dialects.anthropic.vocabulary import FINISH_REASONS, NAME, STOP_REASONS, own

IN_DELTA: Final = ("container", "stop_details")
"""Members of an answer that a stream tells in `message_delta.delta`; the others stand beside it."""


def read_finish(
    stop_reason: str | None, stop_sequence: str | None, extra: Extension | None, *, has_calls: bool, has_answer: bool
) -> Finish:
    """The finish of an answer. `has_answer`: a call of the stand-in for JSON Schema output was read as text."""
    reason: FinishReason = FINISH_REASONS.get(stop_reason or "", "stop")
    native = stop_reason
    if has_calls and reason == "stop":
        reason = "tool_calls"
    elif reason == "tool_calls" and not has_calls:
        # The only call was the stand-in's: for whoever reads the answer nothing was called.
        reason = "stop"
        native = None if has_answer else native
    return Finish(
        reason=reason,
        native=native,
        dialect=None if native is None else NAME,
        stop_sequence=stop_sequence,
        extra=extra,
    )


def stop_members(finish: Finish | None, *, has_calls: bool, has_refusal: bool) -> dict[str, Any]:
    """`stop_reason`, `stop_sequence` and the members of this API's own that came with them."""
    if finish is None:
        return {"stop_reason": "tool_use" if has_calls else "end_turn", "stop_sequence": None}
    members: dict[str, Any] = {"stop_reason": _stop_reason(finish, has_calls, has_refusal)}
    members["stop_sequence"] = finish.stop_sequence
    if finish.reason == "error":
        # No word of the API means a broken answer; this one no client takes for a complete one.
        explanation = f"The provider could not complete its answer ({finish.native or 'error'})."
        members["stop_details"] = {"type": "refusal", "category": None, "explanation": explanation}
    return members | own(finish.extra)


def _stop_reason(finish: Finish, has_calls: bool, has_refusal: bool) -> str:
    if finish.dialect == NAME and finish.native is not None:
        return finish.native
    if finish.reason == "stop":
        if has_calls:
            return "tool_use"
        if has_refusal:
            return "refusal"
        if finish.stop_sequence is not None:
            return "stop_sequence"
    return STOP_REASONS[finish.reason]
