"""Words that several modules of the Cohere dialect share."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Finish, FinishReason
from gatewright.wire.json_object import JsonObject

NAME: Final = "cohere.chat"
EMBED: Final = "cohere.embed"

OWN: Final = Extension(NAME, {})
"""Marks what was read from this API though it needs no member of its own."""
PLAN: Final = Extension(NAME, {"slot": Raw(b'"tool_plan"')})
"""Marks thoughts that were a message's `tool_plan`, not `thinking` content."""

_REASONS: Final[dict[str, FinishReason]] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR": "error",
    "TIMEOUT": "error",
}
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
    "pause": "MAX_TOKENS",
    "error": "ERROR",
}


def is_own(extra: Extension | None) -> bool:
    """Whether this dialect wrote the extension."""
    return extra is not None and extra.dialect == NAME


def own(extra: Extension | None) -> dict[str, Any]:
    """The members of an extension that this dialect wrote; empty for any other."""
    return dict(extra.members) if extra is not None and extra.dialect == NAME else {}


def members_of(raw: Raw | None) -> dict[str, Raw]:
    """The members of an object this dialect spelled itself."""
    found = None if raw is None else JsonObject.parse(raw).rest(NAME)
    return {} if found is None else found.members


def read_reason(native: str | None, *, has_calls: bool) -> Finish:
    """The finish that a `finish_reason` means."""
    reason = _REASONS.get(native or "COMPLETE", "stop")
    if has_calls and reason == "stop":
        reason = "tool_calls"
    return Finish(reason=reason, native=native, dialect=NAME)


def write_reason(finish: Finish | None) -> str:
    """The `finish_reason` of a finish."""
    if finish is None:
        return "COMPLETE"
    if finish.dialect == NAME and finish.native is not None:
        return finish.native
    if finish.reason == "stop" and finish.stop_sequence is not None:
        return "STOP_SEQUENCE"
    return _WORDS[finish.reason]


def bad_answer(problem: str) -> GatewayError:
    """The error for an answer no client could read."""
    return GatewayError(Kind.UPSTREAM_BAD_RESPONSE, f"The provider's answer is not usable: {problem}.")
