"""Failures inside a Responses stream, both directions.

The vendor sends an `error` event, then `response.failed`. The documented `error` event has its members at the top
(platform.openai.com/docs/api-reference/responses-streaming/error); the service itself nests them in `error`, and that
is what makes the SDKs raise. Both are written, either is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.surface import UpstreamFault
from gatewright.dialects.openai.errors import read_fault as read_openai_fault
from gatewright.dialects.openai.errors import render_error

_KINDS: Final[dict[str, Kind]] = {
    "rate_limit_exceeded": Kind.UPSTREAM_RATE_LIMITED,
    "slow_down": Kind.UPSTREAM_RATE_LIMITED,
    "insufficient_quota": Kind.UPSTREAM_RATE_LIMITED,
    "server_is_overloaded": Kind.UPSTREAM_OVERLOADED,
    "server_error": Kind.UPSTREAM_FAILED,
    "invalid_prompt": Kind.UPSTREAM_REJECTED,
    "invalid_request_error": Kind.UPSTREAM_REJECTED,
    "bio_policy": Kind.UPSTREAM_REJECTED,
    "misalignment_policy_violation": Kind.UPSTREAM_REJECTED,
}
_IMAGE_CODES: Final = ("image", "failed_to_download")
_CODES: Final[dict[Kind, str]] = {
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA_EXCEEDED: "rate_limit_exceeded",
    Kind.UPSTREAM_RATE_LIMITED: "rate_limit_exceeded",
    Kind.GUARDRAIL_BLOCKED: "invalid_prompt",
    Kind.UPSTREAM_REJECTED: "invalid_prompt",
}
"""The codes that a failed response may have are an enumeration; whatever is not here is a `server_error`."""

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def read_failure(raw: Raw | bytes | None) -> Failure:
    """The failure an `error` member, or an `error` event, tells of; never raises, whatever it is."""
    try:
        error = _decoder.decode(raw or b"null")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]
    if isinstance(error, str) and error:
        return Failure(kind=Kind.UPSTREAM_FAILED, message=error)
    if not isinstance(error, dict):
        return Failure(kind=Kind.UPSTREAM_FAILED, message="no reason was given")
    message = error.get("message")
    code = error.get("code") or error.get("type")
    code = str(code) if isinstance(code, str | int) and code != "error" else None
    return Failure(
        kind=_kind(code, error.get("type")),
        message=message if isinstance(message, str) and message else "no reason was given",
        code=code,
    )


def _kind(code: str | None, family: Any) -> Kind:
    if code is None:
        return Kind.UPSTREAM_FAILED
    known = _KINDS.get(code) or (_KINDS.get(family) if isinstance(family, str) else None)
    if known is not None:
        return known
    return Kind.UPSTREAM_REJECTED if any(word in code for word in _IMAGE_CODES) else Kind.UPSTREAM_FAILED


def answer_error(failure: Failure) -> dict[str, Any]:
    """The `error` member of an answer that failed."""
    return {"code": failure.code or "server_error", "message": failure.message}


def failed_code(error: GatewayError) -> str:
    """The code of a failed response, of those the API defines."""
    return _CODES.get(error.kind, "server_error")


def error_event(error: GatewayError, request_id: str, sequence_number: int) -> dict[str, Any]:
    """The members of an `error` event."""
    details: dict[str, Any] = _decoder.decode(render_error(error, request_id))["error"]
    return {
        "type": "error",
        "code": details["code"],
        "message": details["message"],
        "param": details["param"],
        "sequence_number": sequence_number,
        "error": details,
    }


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a stream that was passed through, whose numbering nobody followed."""
    return b"event: error\ndata: " + _encoder.encode(error_event(error, request_id, 0)) + b"\n\n"


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What an upstream's error answer says: the same object as in OpenAI's other APIs."""
    return read_openai_fault(body, headers)
