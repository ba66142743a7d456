"""The response object around the output: what it echoes of the request, how it ended, what it used.

The SDKs' types want most members to be there (platform.openai.com/docs/api-reference/responses/object).
"""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import Text
from gatewright.core.codec import StreamContext
from gatewright.core.events import Finish, FinishReason
from gatewright.core.loss import LossReport
from gatewright.core.traits import DEFAULT
from gatewright.dialects.openai.responses.names import is_own, own
from gatewright.dialects.openai.responses.options import (
    write_format,
    write_reasoning_config,
    write_tool_choice,
    write_tools,
)

_ECHOED: Final = ("max_tool_calls", "truncation", "safety_identifier", "prompt_cache_retention", "prompt_cache_options")
"""Members of a request that an answer repeats, and that only this dialect knows."""

_INCOMPLETE: Final[dict[FinishReason, str]] = {
    "length": "max_output_tokens",
    "content_filter": "content_filter",
    "pause": "max_messages",
}


def echo(context: StreamContext) -> dict[str, Any]:
    """The members of an answer that repeat the request."""
    request = context.request
    quiet = LossReport("permissive")
    kept = own(request.extra)
    reasoning = None if request.reasoning is None else write_reasoning_config(request.reasoning, quiet)
    text: dict[str, Any] = {"format": {"type": "text"}}
    if request.response_format is not None:
        text["format"] = write_format(request.response_format, DEFAULT, quiet)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    choice = request.tool_choice
    return {
        "background": False,
        "instructions": _instructions(context),
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "metadata": request.metadata or {},
        "parallel_tool_calls": True if request.parallel_tool_calls is None else request.parallel_tool_calls,
        "previous_response_id": None,
        "prompt_cache_key": request.cache_key,
        "reasoning": {"effort": None, "summary": None, **(reasoning or {})},
        "service_tier": request.service_tier or "default",
        # Nothing is kept here to be fetched later, whatever the client allowed.
        "store": False,
        "temperature": request.sampling.temperature,
        "text": text,
        "tool_choice": "auto" if choice is None else write_tool_choice(choice, request.tools),
        "tools": write_tools(request.tools, quiet, is_ours=is_own(request.extra)),
        "top_logprobs": request.sampling.top_logprobs or 0,
        "top_p": request.sampling.top_p,
        "truncation": "disabled",
        "user": None if "safety_identifier" in kept else request.user,
        **{name: kept[name] for name in _ECHOED if name in kept},
    }


def _instructions(context: StreamContext) -> str | None:
    for message in context.request.messages[:1]:
        if "instructions" in own(message.extra):
            return "".join(part.text for part in message.parts if isinstance(part, Text))
    return None


def ending(finish: Finish | None) -> dict[str, Any]:
    """Status and incomplete_details for how another dialect's answer ended."""
    reason: FinishReason = "stop" if finish is None else finish.reason
    why = _INCOMPLETE.get(reason)
    if why is not None:
        return {"status": "incomplete", "error": None, "incomplete_details": {"reason": why}}
    if reason == "error":
        word = (finish.native if finish is not None else None) or "an error"
        error = {"code": "server_error", "message": f"The provider ended its answer with {word}."}
        return {"status": "failed", "error": error, "incomplete_details": None}
    return {"status": "completed", "error": None, "incomplete_details": None}


def last_event(status: object) -> str:
    """The event that ends a stream whose answer has this status."""
    return {"incomplete": "response.incomplete", "failed": "response.failed"}.get(str(status), "response.completed")
