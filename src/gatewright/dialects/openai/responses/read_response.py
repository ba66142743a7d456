"""Reads a complete answer (platform.openai.com/docs/api-reference/responses/object).

`incomplete` is a finish, not an error. All members the hub does not know, the status with them, travel in the finish's
extension: a stream tells them only at its end.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw

from gatewright.core.chat import Extension, Part, ToolCall
from gatewright.core.errors import Kind
from gatewright.core.events import (
    ChatResponse,
    Choice,
    Failure,
    Finish,
    FinishReason,
    TokenLogprob,
)
from gatewright.dialects.openai.responses.errors import read_failure
from gatewright.dialects.openai.responses.names import NAME, extension, string_value
from gatewright.dialects.openai.responses.read_items import read_item
from gatewright.dialects.openai.responses.usage import complete_usage, read_usage, usage_extension
from gatewright.wire.json_object import JsonObject

BAD: Final = Kind.UPSTREAM_BAD_RESPONSE
_REASONS: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "pause",
}
_RUNNING: Final = ("queued", "in_progress")


def decode_response(body: bytes) -> ChatResponse:
    """A complete answer with status 200. Raises GatewayError (upstream_bad_response) when no client could read it."""
    fields = JsonObject.parse(body, "", BAD)
    failure = answer_failure(fields)
    parts: list[Part] = []
    tokens: list[TokenLogprob] = []
    all_output = fields.peek("output")
    output = fields.items("output")
    if output is None and failure is None:
        raise fields.error("output", "is missing")
    for index, raw in enumerate(output or ()):
        keyed, _ = read_item(raw, f"output[{index}]", BAD, tokens)
        parts.extend(part for _, part in keyed)
    response_id, model, created = read_head(fields)
    raw_usage = fields.raw("usage")
    usage = read_usage(raw_usage)
    if usage is not None:
        usage = complete_usage(usage, fields.peek("service_tier"), all_output)
    finish = None if failure else read_finish(fields, has_calls=any(isinstance(part, ToolCall) for part in parts))
    return ChatResponse(
        id=response_id,
        model=model,
        created=created,
        choices=(Choice(parts=tuple(parts), finish=finish, logprobs=tuple(tokens)),) if parts or finish else (),
        usage=usage,
        usage_extra=None if usage is None or raw_usage is None else usage_extension(raw_usage, usage),
        failure=failure,
        extra=extension() if failure is None else fields.rest(NAME) or extension(),
    )


def read_head(fields: JsonObject) -> tuple[str, str, int | None]:
    """Id, model and date of an answer; what is missing reads as empty."""
    created = fields.number("created_at")
    return (
        fields.string("id") or "",
        fields.string("model") or "",
        int(created) if created is not None and 0 <= created < 1e15 else None,
    )


def read_finish(fields: JsonObject, *, has_calls: bool) -> Finish:
    """How the answer ended; takes everything that is left."""
    status = string_value(fields.peek("status"))
    native = status
    reason: FinishReason = "tool_calls" if has_calls else "stop"
    if status == "incomplete":
        native, reason = _read_incomplete(fields.peek("incomplete_details"))
    elif status in _RUNNING:
        reason = "pause"
    elif status == "cancelled":
        reason = "error"
    return Finish(reason=reason, native=native, dialect=NAME, extra=fields.rest(NAME) or Extension(NAME, {}))


def _read_incomplete(details: Raw | None) -> tuple[str, FinishReason]:
    word: str | None = None
    if details is not None:
        word = string_value(JsonObject.parse(details, "incomplete_details", BAD).peek("reason"))
    return word or "incomplete", _REASONS.get(word or "", "length")


def answer_failure(fields: JsonObject) -> Failure | None:
    """The failure an answer tells of, if it does."""
    status = string_value(fields.peek("status"))
    error = fields.peek("error")
    if status != "failed" and (error is None or status is not None):
        return None
    return read_failure(error)
