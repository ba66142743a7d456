"""The dialect's name, its finish reasons, and the extensions only it reads."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.events import Finish, FinishReason
from gatewright.core.fields import Fields
from gatewright.wire.json_object import JsonObject, render_json

NAME: Final = "openai.chat"

_REASONS: Final[dict[str, FinishReason]] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "sensitive": "content_filter",
    "refusal": "content_filter",
    "safety": "content_filter",
    "error": "error",
    "network_error": "error",
    "timeout": "error",
    "insufficient_system_resource": "error",
    "abort": "error",
}
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "pause": "stop",
    "error": "error",
}


def read_finish(word: str | None, *, has_calls: bool) -> FinishReason:
    """What a host's finish reason means. An answer that calls tools waits for their results, whatever it says."""
    reason = _REASONS.get((word or "").lower(), "stop")
    return "tool_calls" if has_calls and reason == "stop" else reason


def write_finish(finish: Finish, dialect: str = NAME) -> str:
    """The finish reason for a client; the dialect's own word is kept."""
    if finish.dialect == dialect and finish.native is not None:
        return finish.native
    return _WORDS[finish.reason]


def own(extra: Extension | None, dialect: str = NAME) -> Fields:
    """The members of an extension of this dialect; none of another's."""
    return extra.members if extra is not None and extra.dialect == dialect else {}


def extended(extra: Extension | None, dialect: str = NAME, **members: Any) -> Extension:
    """An extension with more members; those that are None are left out."""
    added = {name: value if isinstance(value, Raw) else render_json(value) for name, value in members.items()}
    return Extension(dialect, {**own(extra, dialect), **{n: v for n, v in added.items() if bytes(v) != b"null"}})


def take_objects(owner: JsonObject, name: str) -> list[JsonObject]:
    """Take a list of objects. An empty one says nothing, but it was there: it stays among what is left."""
    raw = owner.peek(name)
    if raw is not None and bytes(raw).translate(None, b" \t\r\n") == b"[]":
        return []
    return owner.objects(name) or []
