"""Google's error object (cloud.google.com/apis/design/errors): `{"error": {code, message, status, details}}`.

`status` is the name of a google.rpc.Code, `details` hold typed messages: `ErrorInfo` with a machine-readable reason,
`RetryInfo` with the delay, which Google tells nowhere else. An answer may come as a list of one, on streaming calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.surface import UpstreamFault

_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
_RETRY: Final = "type.googleapis.com/google.rpc.RetryInfo"
_REQUEST: Final = "type.googleapis.com/google.rpc.RequestInfo"
_DOMAIN: Final = "gatewright"
_BY_HTTP: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    431: "INVALID_ARGUMENT",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_STATUSES: Final[dict[Kind, str]] = {
    Kind.UPSTREAM_CONNECT_FAILED: "UNAVAILABLE",
    Kind.UPSTREAM_RESET: "UNAVAILABLE",
    Kind.UPSTREAM_CUT: "UNAVAILABLE",
}
_KEY_REASONS: Final = frozenset(
    ("API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_TYPE_UNSUPPORTED")
)
_BILLING_REASONS: Final = frozenset(("BILLING_DISABLED", "BILLING_NOT_ACTIVE"))
_BILLING_WORDS: Final = ("credits are depleted", "prepayment", "spending cap")
_FAILURE_KINDS: Final = {
    429: Kind.UPSTREAM_RATE_LIMITED,
    503: Kind.UPSTREAM_OVERLOADED,
    504: Kind.UPSTREAM_TIMEOUT,
    401: Kind.UPSTREAM_CREDENTIAL_REJECTED,
    403: Kind.UPSTREAM_CREDENTIAL_REJECTED,
}
_MAX_DELAY_S: Final = 1e6
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error answer."""
    return _encoder.encode({"error": _object(error, request_id)})


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The event that ends a failed stream: the SDKs raise on a chunk whose first member is `error`."""
    return b"data: " + render_error(error, request_id) + b"\r\n\r\n"


def _object(error: GatewayError, request_id: str) -> dict[str, Any]:
    kind, status = error.kind, error.status
    word = _STATUSES.get(kind) or _BY_HTTP.get(status) or ("INVALID_ARGUMENT" if status < 500 else "INTERNAL")
    details: list[dict[str, Any]] = [
        {"@type": _INFO, "reason": (error.code or kind.value).upper(), "domain": _DOMAIN},
        {"@type": _REQUEST, "requestId": request_id},
    ]
    if error.retry_after_s is not None:
        seconds = max(math.ceil(error.retry_after_s * 1000) / 1000, 0)
        details.append({"@type": _RETRY, "retryDelay": f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"})
    return {"code": status, "message": error.public_message, "status": word, "details": details}


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What an upstream's error answer says."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UpstreamFault(_excerpt(body))
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return UpstreamFault(error if isinstance(error, str) and error else _excerpt(body))
    message = error.get("message")
    status = error.get("status")
    reason, delay = _details(error.get("details"))
    is_exhausted = status == "RESOURCE_EXHAUSTED" or error.get("code") == 429
    text = message if isinstance(message, str) and message else _excerpt(body)
    return UpstreamFault(
        text,
        reason or (status if isinstance(status, str) else None),
        billing=reason in _BILLING_REASONS
        or (is_exhausted and delay is None and any(word in text for word in _BILLING_WORDS)),
        # A bad API key is a 400 here, which would read as the client's mistake.
        kind=Kind.UPSTREAM_CREDENTIAL_REJECTED if reason in _KEY_REASONS else None,
        retry_after_s=delay,
    )


def read_failure(error: Any) -> Failure:
    """What the `error` member of a stream's event says."""
    if not isinstance(error, dict):
        text = error if isinstance(error, str) and error else "the provider broke off with an error"
        return Failure(kind=Kind.UPSTREAM_FAILED, message=text)
    code, message, status = error.get("code"), error.get("message"), error.get("status")
    kind = _FAILURE_KINDS.get(code) if isinstance(code, int) else None
    if kind is None:
        is_refused = isinstance(code, int) and 400 <= code < 500
        kind = Kind.UPSTREAM_REJECTED if is_refused else Kind.UPSTREAM_FAILED
    return Failure(
        kind=kind,
        message=message if isinstance(message, str) and message else "the provider broke off with an error",
        code=status if isinstance(status, str) else None,
    )


def _details(details: Any) -> tuple[str | None, float | None]:
    reason: str | None = None
    delay: float | None = None
    for detail in details if isinstance(details, list) else ():
        if not isinstance(detail, dict):
            continue
        if detail.get("@type") == _INFO and isinstance(detail.get("reason"), str):
            reason = detail["reason"]
        elif detail.get("@type") == _RETRY:
            delay = _seconds(detail.get("retryDelay"))
    return reason, delay


def _seconds(value: Any) -> float | None:
    """A google.protobuf.Duration in JSON: `34.4s`."""
    if not isinstance(value, str) or not value.endswith("s"):
        return None
    try:
        seconds = float(value[:-1])
    except ValueError:
        return None
    return seconds if 0 <= seconds <= _MAX_DELAY_S else None


def _excerpt(body: bytes) -> str:
    text = body[:300].decode("utf-8", "replace").strip()
    return text or "(empty body)"
