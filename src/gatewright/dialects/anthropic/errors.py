"""The error object of the Anthropic API: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

Statuses and types: platform.claude.com/docs/en/api/errors. On Vertex AI the answer may be Google's
`{"error": {"code", "message", "status"}}`, at times in a list of one; on Bedrock `{"message"}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gatewright.core.errors import KINDS, GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.surface import Headers, UpstreamFault

_OVERLOADED_STATUS: Final = 529
_TYPES: Final[dict[Kind, str]] = {
    Kind.UNAUTHENTICATED: "authentication_error",
    Kind.FORBIDDEN: "permission_error",
    Kind.GUARDRAIL_BLOCKED: "permission_error",
    Kind.ROUTE_NOT_FOUND: "not_found_error",
    Kind.MODEL_NOT_FOUND: "not_found_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.HEADERS_TOO_LARGE: "request_too_large",
    Kind.RATE_LIMITED: "rate_limit_error",
    Kind.QUOTA_EXCEEDED: "rate_limit_error",
    Kind.UPSTREAM_RATE_LIMITED: "rate_limit_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.UPSTREAM_OVERLOADED: "overloaded_error",
    Kind.UPSTREAM_TIMEOUT: "timeout_error",
}
_STATUS_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STREAM_KINDS: Final[dict[str, Kind]] = {
    "overloaded_error": Kind.UPSTREAM_OVERLOADED,
    "rate_limit_error": Kind.UPSTREAM_RATE_LIMITED,
    "timeout_error": Kind.UPSTREAM_TIMEOUT,
    "authentication_error": Kind.UPSTREAM_CREDENTIAL_REJECTED,
    "permission_error": Kind.UPSTREAM_CREDENTIAL_REJECTED,
    "billing_error": Kind.UPSTREAM_CREDENTIAL_REJECTED,
    "invalid_request_error": Kind.UPSTREAM_REJECTED,
    "not_found_error": Kind.UPSTREAM_REJECTED,
    "request_too_large": Kind.UPSTREAM_REJECTED,
}
_BILLING_CODES: Final = frozenset(
    (
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "linked_organization_spend_limit_reached",
        "linked_organization_billing_unavailable",
        "organization_on_hold",
    )
)
_DELAY: Final = re.compile(r"(\d+(?:\.\d+)?)s\Z")
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error answer."""
    type_ = _TYPES.get(error.kind) or _STATUS_TYPES.get(error.status)
    if type_ is None:
        type_ = "invalid_request_error" if error.status < 500 else "api_error"
    return _encoder.encode(
        {"type": "error", "error": {"type": type_, "message": error.public_message}, "request_id": request_id}
    )


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a failed stream; no `message_stop` follows, so no client takes the answer for complete."""
    return b"event: error\ndata: " + render_error(error, request_id) + b"\n\n"


def status_of(error: GatewayError) -> int:
    """The API's clients know overload as 529; every other status is the error table's."""
    is_overload = error.kind in (Kind.OVERLOADED, Kind.UPSTREAM_OVERLOADED)
    return _OVERLOADED_STATUS if is_overload and error.status == KINDS[error.kind].status else error.status


def answer_headers(request_id: str, error: GatewayError | None) -> Headers:
    """The SDKs read a request's id from `request-id`."""
    return ((b"request-id", request_id.encode()),)


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What an upstream's error answer says, in any of the shapes in which Claude is served."""
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
        return UpstreamFault(error)
    if not isinstance(error, dict):
        return UpstreamFault(_excerpt(body))
    message = error.get("message") or error.get("Message")
    code = _code(error)
    return UpstreamFault(
        message if isinstance(message, str) and message else _excerpt(body),
        code,
        billing=code in _BILLING_CODES or code == "billing_error",
        kind=Kind.UPSTREAM_OVERLOADED if code == "overloaded_error" else None,
        retry_after_s=_retry_after(error.get("details")),
    )


def _code(error: dict[str, Any]) -> str | None:
    details = error.get("details")
    if isinstance(details, dict) and isinstance(details.get("error_code"), str):
        code: str = details["error_code"]
        return code
    found = next((error[name] for name in ("type", "status") if isinstance(error.get(name), str)), None)
    return None if found == "error" else found


def _retry_after(details: Any) -> float | None:
    """Google's `RetryInfo`."""
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        match = _DELAY.match(delay) if isinstance(delay, str) else None
        if match is not None:
            return float(match.group(1))
    return None


def _excerpt(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return text or "(empty body)"


def read_failure(data: bytes) -> Failure:
    """The failure that an `error` event of a stream tells."""
    fault = read_fault(data, {})
    return Failure(
        kind=_STREAM_KINDS.get(fault.code or "", Kind.UPSTREAM_FAILED), message=fault.message, code=fault.code
    )
