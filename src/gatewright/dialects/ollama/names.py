"""Words that several modules of the Ollama dialect share."""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.chat import Extension
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Finish, FinishReason

NAME: Final = "ollama.chat"
EMBED: Final = "ollama.embed"

OWN: Final = Extension(NAME, {})
"""Marks what was read from this API though it needs no member of its own."""

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "load": "stop",
    "unload": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "pause": "pause",
    "error": "error",
}


def is_own(extra: Extension | None) -> bool:
    """Whether this dialect wrote the extension."""
    return extra is not None and extra.dialect == NAME


def own(extra: Extension | None) -> dict[str, Any]:
    """The members of an extension that this dialect wrote; empty for any other."""
    return dict(extra.members) if extra is not None and extra.dialect == NAME else {}


def mark(extra: Extension | None) -> Extension:
    """An extension of this dialect, empty when there is nothing to keep."""
    return OWN if extra is None else extra


def read_reason(native: str | None, *, has_calls: bool) -> Finish:
    """The finish that a `done_reason` means; calls of tools end with `stop` too."""
    reason = _REASONS.get(native or "stop", "stop")
    if has_calls and reason == "stop":
        reason = "tool_calls"
    return Finish(reason=reason, native=native, dialect=NAME)


def write_reason(finish: Finish | None) -> str | None:
    """The `done_reason` of a finish. Those the API does not define are told by the hub's word, as clients take any."""
    if finish is None:
        return "stop"
    if finish.dialect == NAME:
        return finish.native
    return "stop" if finish.reason == "tool_calls" else finish.reason


def bad_answer(problem: str) -> GatewayError:
    """The error for an answer no client could read."""
    return GatewayError(Kind.UPSTREAM_BAD_RESPONSE, f"The provider's answer is not usable: {problem}.")
