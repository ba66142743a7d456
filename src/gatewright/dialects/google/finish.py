"""Why an answer ended: `finishReason` (ai.google.dev/api/generate-content#FinishReason) and the hub's reasons.

Gemini says STOP for answers that call tools, so a call that was seen decides. Words that name a failure of the model
are `error`: told as `stop` they would hide it. A number is the same word under `enum-encoding=int`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension
from gatewright.core.events import Finish, FinishReason
from gatewright.dialects.google.members import NAME

UNSPECIFIED: Final = "FINISH_REASON_UNSPECIFIED"
_NUMBERS: Final = (
    UNSPECIFIED,
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
)
"""By number, in Vertex AI's enum: the API that has clients asking for numbers."""
_REASONS: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    UNSPECIFIED: "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
}
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "STOP",
    "tool_calls": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
    "pause": "OTHER",
    "error": "OTHER",
}
_decoder: msgspec.json.Decoder[str | int] = msgspec.json.Decoder(str | int)


def read_word(raw: Raw | None) -> str | None:
    """The word that `finishReason` is; None when it says nothing."""
    if raw is None:
        return None
    try:
        value = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return UNSPECIFIED
    if isinstance(value, int):
        return _NUMBERS[value] if 0 <= value < len(_NUMBERS) else str(value)
    return value


def read_finish(choice: int, word: str | None, *, has_calls: bool, extra: Extension | None) -> Finish:
    """The end of a candidate that said `word`."""
    reason: FinishReason = "stop" if word is None else _REASONS.get(word, "error")
    if has_calls and (reason == "stop" or word == "UNEXPECTED_TOOL_CALL"):
        reason = "tool_calls"
    return Finish(choice=choice, reason=reason, native=word, dialect=NAME, extra=extra)


def write_word(finish: Finish) -> str | None:
    """The word for the end of an answer; None when an upstream of this API said none itself."""
    return finish.native if finish.dialect == NAME else _WORDS[finish.reason]
