"""Names and fixed values of the Anthropic Messages API that several of its modules need."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, Literal

import msgspec

from gatewright.core.chat import CacheMark, Extension
from gatewright.core.events import FinishReason
from gatewright.core.fields import Fields
from gatewright.wire.json_object import JsonObject

NAME: Final = "anthropic.messages"
JSON_TOOL: Final = "gatewright_json_response"
"""The tool that stands in for JSON Schema output on models without it. Reserved: a call of it is the answer's text."""
DEFAULT_MAX_TOKENS: Final = 4096
"""The output limit when neither the request nor the model's traits give one: the largest every Claude model takes."""

FINISH_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "compaction": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "content_filter",
}
"""What the API's `stop_reason` values mean (platform.claude.com/docs/en/build-with-claude/handling-stop-reasons)."""
STOP_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
    "error": "refusal",
}

_TTLS: Final[dict[bytes, Literal["5m", "1h"] | None]] = {b"": None, b"null": None, b'"5m"': "5m", b'"1h"': "1h"}
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+\Z")
_FOREIGN_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_fields: msgspec.json.Decoder[Fields] = msgspec.json.Decoder(Fields)


def clean_id(value: str) -> str:
    """A tool call's id as the API allows it: unchanged where it matches its pattern, else a stable hash of it."""
    if _ID.match(value):
        return value
    return "toolu_" + hashlib.blake2b(value.encode("utf-8", "replace"), digest_size=12).hexdigest()


def clean_name(value: str) -> str:
    """A tool's name as the API allows it: `[a-zA-Z0-9_-]`, at most 128 characters."""
    return _FOREIGN_NAME.sub("_", value)[:128] or "_"


def read_cache(block: JsonObject) -> CacheMark | None:
    """Take `cache_control`. One that says more than its time to live stays where it is, so that nothing is lost."""
    raw = block.peek("cache_control")
    if raw is None:
        return None
    try:
        control = _fields.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    control.pop("type", None)
    ttl = bytes(control.pop("ttl", b""))
    if not control and ttl in _TTLS:
        block.drop("cache_control")
    return CacheMark(_TTLS.get(ttl))


def render_cache(mark: CacheMark) -> dict[str, str]:
    """The `cache_control` of a mark."""
    return {"type": "ephemeral"} if mark.ttl is None else {"type": "ephemeral", "ttl": mark.ttl}


def own(extra: Extension | None) -> dict[str, Any]:
    """The members of an extension if it is this API's own."""
    return dict(extra.members) if extra is not None and extra.dialect == NAME else {}
