"""The error object of the OpenAI APIs: `{"error": {"message", "type", "param", "code"}}`.

The SDKs choose their exception class by status alone and show `message`, `param` and `code`
(platform.openai.com/docs/guides/error-codes). Hosts that copy the API vary the object: `code` may be a number
(OpenRouter, vLLM), `error` a plain string (xAI, Ollama), or the members may stand at the top level (older vLLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.surface import UpstreamFault

_TYPES: Final[dict[Kind, str]] = {
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.FORBIDDEN: "permission_error",
    Kind.GUARDRAIL_BLOCKED: "permission_error",
    Kind.ROUTE_NOT_FOUND: "not_found_error",
    Kind.MODEL_NOT_FOUND: "not_found_error",
    Kind.RATE_LIMITED: "rate_limit_error",
    Kind.QUOTA_EXCEEDED: "insufficient_quota",
    Kind.UPSTREAM_RATE_LIMITED: "rate_limit_error",
}
_CODES: Final[dict[Kind, str]] = {
    Kind.UNAUTHENTICATED: "invalid_api_key",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
    Kind.QUOTA_EXCEEDED: "insufficient_quota",
}
_BILLING_CODES: Final = frozenset(
    (
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
    )
)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def _error_object(error: GatewayError) -> dict[str, Any]:
    kind = error.kind
    kind_type = _TYPES.get(kind) or ("invalid_request_error" if error.status < 500 else "server_error")
    return {
        "error": {
            "message": error.public_message,
            "type": kind_type,
            "param": error.param,
            "code": error.code or _CODES.get(kind) or kind.value,
        }
    }


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error answer; the request id travels in the `x-request-id` header, as OpenAI's does."""
    return _encoder.encode(_error_object(error))


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a failed stream; no `[DONE]` follows, so no client can take it for a finish."""
    return b"data: " + _encoder.encode(_error_object(error)) + b"\n\n"


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What an upstream's error answer says, in any of the shapes compatible hosts use."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamFault(_excerpt(body))
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return UpstreamFault(_excerpt(body))
    error = document.get("error", document)
    if isinstance(error, str) and error:
        return UpstreamFault(error, _code(document))
    if not isinstance(error, dict):
        return UpstreamFault(_excerpt(body))
    message = error.get("message") or error.get("detail") or document.get("detail")
    code = _code(error)
    return UpstreamFault(
        message if isinstance(message, str) and message else _excerpt(body),
        code,
        billing=code in _BILLING_CODES or error.get("type") == "insufficient_quota",
    )


def _code(error: dict[str, Any]) -> str | None:
    code = error.get("code")
    return str(code) if isinstance(code, str | int) and not isinstance(code, bool) else None


def _excerpt(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return text or "(empty body)"
