"""Errors of the Bedrock runtime: exceptions by name, in a header of answers and in frames of streams.

An answer's body is `{"message"}`; its header `x-amzn-errortype` names the exception, perhaps with more behind a colon
(docs.aws.amazon.com/bedrock/latest/APIReference, Converse and Common Errors; botocore's service model has the statuses
and the five exceptions a stream may hold). SDKs choose their class and whether to retry by that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.surface import Headers, UpstreamFault
from gatewright.wire.aws_event_stream import Message, render_headers, render_message

_VALIDATION: Final = "ValidationException"
_ACCESS: Final = "AccessDeniedException"
_THROTTLING: Final = "ThrottlingException"
_UNAVAILABLE: Final = "ServiceUnavailableException"
_INTERNAL: Final = "InternalServerException"
_MODEL_ERROR: Final = "ModelErrorException"
_MODEL_TIMEOUT: Final = "ModelTimeoutException"
_NOT_FOUND: Final = "ResourceNotFoundException"

_STATUSES: Final = {
    _VALIDATION: 400,
    _ACCESS: 403,
    "UnrecognizedClientException": 403,
    _NOT_FOUND: 404,
    "RequestTimeoutException": 408,
    _MODEL_TIMEOUT: 408,
    "RequestEntityTooLargeException": 413,
    _MODEL_ERROR: 424,
    _THROTTLING: 429,
    "ServiceQuotaExceededException": 400,
    _INTERNAL: 500,
    _UNAVAILABLE: 503,
}
_EXCEPTIONS: Final[dict[Kind, str]] = {
    Kind.MALFORMED_REQUEST: _VALIDATION,
    Kind.UNSUPPORTED_FEATURE: _VALIDATION,
    Kind.HEADERS_TOO_LARGE: _VALIDATION,
    Kind.UNAUTHENTICATED: "UnrecognizedClientException",
    Kind.FORBIDDEN: _ACCESS,
    Kind.GUARDRAIL_BLOCKED: _ACCESS,
    Kind.ROUTE_NOT_FOUND: "UnknownOperationException",
    Kind.METHOD_NOT_ALLOWED: "UnknownOperationException",
    Kind.MODEL_NOT_FOUND: _NOT_FOUND,
    Kind.REQUEST_TIMEOUT: "RequestTimeoutException",
    Kind.TOO_LARGE: "RequestEntityTooLargeException",
    Kind.RATE_LIMITED: _THROTTLING,
    # Not throttling: SDKs would try again at once, and no waiting of theirs mends a spent budget.
    Kind.QUOTA_EXCEEDED: "ServiceQuotaExceededException",
    Kind.OVERLOADED: _UNAVAILABLE,
    Kind.NO_HEALTHY_UPSTREAM: _UNAVAILABLE,
    Kind.DRAINING: _UNAVAILABLE,
    Kind.UPSTREAM_CONNECT_FAILED: _UNAVAILABLE,
    Kind.UPSTREAM_TIMEOUT: _MODEL_TIMEOUT,
    Kind.UPSTREAM_OVERLOADED: _UNAVAILABLE,
    Kind.UPSTREAM_RATE_LIMITED: _THROTTLING,
    Kind.UPSTREAM_BAD_RESPONSE: _MODEL_ERROR,
    Kind.UPSTREAM_CUT: _MODEL_ERROR,
}
_BY_STATUS: Final = {
    401: _ACCESS,
    403: _ACCESS,
    404: _NOT_FOUND,
    408: _MODEL_TIMEOUT,
    413: "RequestEntityTooLargeException",
    429: _THROTTLING,
}
"""For what an upstream said itself (`upstream_rejected`)."""
_IN_STREAM: Final = {
    _VALIDATION: "validationException",
    _THROTTLING: "throttlingException",
    _UNAVAILABLE: "serviceUnavailableException",
    _MODEL_ERROR: "modelStreamErrorException",
    _MODEL_TIMEOUT: "modelStreamErrorException",
}
"""The exceptions a stream knows; all others are its internal error."""
_CREDENTIAL: Final = Kind.UPSTREAM_CREDENTIAL_REJECTED
_KINDS: Final[dict[str, Kind]] = {
    "accessdenied": _CREDENTIAL,
    "unrecognizedclient": _CREDENTIAL,
    "expiredtoken": _CREDENTIAL,
    "invalidsignature": _CREDENTIAL,
    "incompletesignature": _CREDENTIAL,
    "invalidclienttokenid": _CREDENTIAL,
    "missingauthenticationtoken": _CREDENTIAL,
    "notauthorized": _CREDENTIAL,
    "optinrequired": _CREDENTIAL,
    "throttling": Kind.UPSTREAM_RATE_LIMITED,
    "toomanyrequests": Kind.UPSTREAM_RATE_LIMITED,
    "servicequotaexceeded": Kind.UPSTREAM_RATE_LIMITED,
    "modelnotready": Kind.UPSTREAM_OVERLOADED,
    "serviceunavailable": Kind.UPSTREAM_OVERLOADED,
    "modeltimeout": Kind.UPSTREAM_TIMEOUT,
    "modelerror": Kind.UPSTREAM_FAILED,
    "modelstreamerror": Kind.UPSTREAM_FAILED,
    "internalserver": Kind.UPSTREAM_FAILED,
    "internalfailure": Kind.UPSTREAM_FAILED,
    "validation": Kind.UPSTREAM_REJECTED,
}
"""By the exception's name, in small letters and without its ending."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def exception_of(error: GatewayError) -> str:
    """The AWS exception that says what `error` is."""
    name = _EXCEPTIONS.get(error.kind)
    if name is not None:
        return name
    if error.kind is Kind.UPSTREAM_REJECTED and error.status < 500:
        return _BY_STATUS.get(error.status, _VALIDATION)
    return _INTERNAL


def status_of(error: GatewayError) -> int:
    """The status AWS gives the exception; one it does not know keeps the table's."""
    return _STATUSES.get(exception_of(error), error.status)


def render_error(error: GatewayError, request_id: str) -> bytes:
    """The body of an error answer; exception and request id travel in headers (`answer_headers`)."""
    return _encoder.encode({"message": error.public_message})


def answer_headers(request_id: str, error: GatewayError | None) -> Headers:
    """The request id as SDKs log it and, with an error, the exception they raise."""
    named = (b"x-amzn-requestid", request_id.encode("latin-1", "replace"))
    return (named,) if error is None else (named, (b"x-amzn-errortype", exception_of(error).encode()))


def render_stream_error(error: GatewayError, request_id: str) -> bytes:
    """The exception frame that ends a failed stream: SDKs raise it wherever it stands."""
    name = _IN_STREAM.get(exception_of(error), "internalServerException")
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return render_message(render_headers(headers), render_error(error, request_id))


def read_fault(body: bytes, headers: Mapping[bytes, bytes]) -> UpstreamFault:
    """What an upstream's error answer says: the exception from the header, or from the body's `__type`."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = None
    members: dict[str, Any] = document if isinstance(document, dict) else {}
    message = next((members[name] for name in ("message", "Message") if isinstance(members.get(name), str)), "")
    named = headers.get(b"x-amzn-errortype", b"").decode("latin-1") or members.get("__type")
    code = named.partition(":")[0].rpartition("#")[2].strip() if isinstance(named, str) else ""
    if not message:
        message = body[:300].decode("utf-8", "replace").strip() or code or "(empty body)"
    return UpstreamFault(message, code or None, kind=_kind(code))


def _look_up(name: str) -> Kind | None:
    word = name.lower().removesuffix("exception")
    return _KINDS.get(word) or _KINDS.get(word.removesuffix("error"))


def _kind(name: str) -> Kind | None:
    kind = _look_up(name)
    # A modelled 400 says no more than its status, which tells a wrong request from a wrong address.
    return None if kind is Kind.UPSTREAM_REJECTED else kind


def read_exception(message: Message) -> Failure:
    """The failure that an `exception` or `error` frame of a stream tells."""
    headers = message.headers
    name = headers.get(":exception-type", headers.get(":error-code"))
    said = headers.get(":error-message")
    fault = read_fault(message.payload, {})
    code = name if isinstance(name, str) else fault.code
    return Failure(
        kind=_look_up(code or "") or Kind.UPSTREAM_FAILED,
        message=said if isinstance(said, str) else fault.message,
        code=code,
    )
