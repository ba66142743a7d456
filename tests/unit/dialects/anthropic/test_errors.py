"""Errors in the API's own words, both ways."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.surface import UpstreamFault
from gatewright.dialects.anthropic.errors import (
    answer_headers,
    read_failure,
    read_fault,
    render_error,
    render_stream_error,
    status_of,
)

TYPES = [
    (Kind.MALFORMED_REQUEST, "invalid_request_error", 400),
    (Kind.UNSUPPORTED_FEATURE, "invalid_request_error", 400),
    (Kind.UNAUTHENTICATED, "authentication_error", 401),
    (Kind.FORBIDDEN, "permission_error", 403),
    (Kind.GUARDRAIL_BLOCKED, "permission_error", 403),
    (Kind.MODEL_NOT_FOUND, "not_found_error", 404),
    (Kind.TOO_LARGE, "request_too_large", 413),
    (Kind.RATE_LIMITED, "rate_limit_error", 429),
    (Kind.UPSTREAM_RATE_LIMITED, "rate_limit_error", 429),
    (Kind.INTERNAL, "api_error", 500),
    (Kind.UPSTREAM_FAILED, "api_error", 502),
    (Kind.DRAINING, "api_error", 503),
    (Kind.UPSTREAM_TIMEOUT, "timeout_error", 504),
    (Kind.OVERLOADED, "overloaded_error", 529),
    (Kind.UPSTREAM_OVERLOADED, "overloaded_error", 529),
]


@pytest.mark.parametrize(("kind", "type_", "status"), TYPES)
def test_kinds_have_types_and_statuses(kind: Kind, type_: str, status: int) -> None:
    error = GatewayError(kind, "what")
    body = msgspec.json.decode(render_error(error, "req_1"))
    assert body == {
        "type": "error",
        "error": {"type": type_, "message": error.public_message},
        "request_id": "req_1",
    }
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("status", "type_"), [(402, "billing_error"), (404, "not_found_error"), (422, "invalid_request_error")]
)
def test_a_passed_status_decides_the_type(status: int, type_: str) -> None:
    error = GatewayError(Kind.UPSTREAM_REJECTED, "what", status=status)
    assert msgspec.json.decode(render_error(error, "r"))["error"]["type"] == type_
    assert status_of(error) == status


def test_the_event_and_the_header() -> None:
    error = GatewayError(Kind.UPSTREAM_CUT, "a\n\nb")
    event = render_stream_error(error, "req_1")
    assert event == b"event: error\ndata: " + render_error(error, "req_1") + b"\n\n"
    assert answer_headers("req_1", error) == ((b"request-id", b"req_1"),)
    assert answer_headers("req_1", None) == ((b"request-id", b"req_1"),)


FAULTS = [
    (
        b'{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: Field required"}}',
        UpstreamFault("max_tokens: Field required", "invalid_request_error"),
    ),
    (
        b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
        UpstreamFault("Overloaded", "overloaded_error", kind=Kind.UPSTREAM_OVERLOADED),
    ),
    (
        b'{"type":"error","error":{"type":"billing_error","message":"pay"}}',
        UpstreamFault("pay", "billing_error", billing=True),
    ),
    (
        b'{"type":"error","error":{"type":"rate_limit_error","message":"m","details":{"error_code":"enforced_spend_limit_reached"}}}',
        UpstreamFault("m", "enforced_spend_limit_reached", billing=True),
    ),
    (
        b'{"type":"error","error":{"type":"rate_limit_error","message":"m","details":null}}',
        UpstreamFault("m", "rate_limit_error"),
    ),
    (
        b'[{"error":{"code":429,"message":"Quota","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"1.5s"}]}}]',
        UpstreamFault("Quota", "RESOURCE_EXHAUSTED", retry_after_s=1.5),
    ),
    (b'{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}', UpstreamFault("no", "PERMISSION_DENIED")),
    (b'{"message":"Input is too long"}', UpstreamFault("Input is too long")),
    (b'{"error":"plain"}', UpstreamFault("plain")),
    (b'{"error":7}', UpstreamFault('{"error":7}')),
    (b"<html>", UpstreamFault("<html>")),
    (b"[]", UpstreamFault("[]")),
    (b"", UpstreamFault("(empty body)")),
]


@pytest.mark.parametrize(("body", "fault"), FAULTS)
def test_faults_are_read(body: bytes, fault: UpstreamFault) -> None:
    assert read_fault(body, {}) == fault


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("overloaded_error", Kind.UPSTREAM_OVERLOADED),
        ("rate_limit_error", Kind.UPSTREAM_RATE_LIMITED),
        ("api_error", Kind.UPSTREAM_FAILED),
        ("timeout_error", Kind.UPSTREAM_TIMEOUT),
        ("invalid_request_error", Kind.UPSTREAM_REJECTED),
        ("a_new_error", Kind.UPSTREAM_FAILED),
    ],
)
def test_failures_of_streams_have_kinds(type_: str, kind: Kind) -> None:
    data = msgspec.json.encode({"type": "error", "error": {"type": type_, "message": "m"}})
    assert read_failure(data) == Failure(kind=kind, message="m", code=type_)
