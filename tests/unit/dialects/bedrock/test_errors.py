"""Errors in AWS's terms: names, statuses, headers and frames, both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tests.unit.dialects.bedrock.exchanges import frame

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.surface import UpstreamFault
from gatewright.dialects.bedrock.errors import (
    answer_headers,
    read_exception,
    read_fault,
    render_error,
    render_stream_error,
    status_of,
)
from gatewright.wire.aws_event_stream import Message, MessageDecoder


@pytest.mark.parametrize(
    ("kind", "exception", "status"),
    [
        (Kind.MALFORMED_REQUEST, b"ValidationException", 400),
        (Kind.UNSUPPORTED_FEATURE, b"ValidationException", 400),
        (Kind.UNAUTHENTICATED, b"UnrecognizedClientException", 403),
        (Kind.FORBIDDEN, b"AccessDeniedException", 403),
        (Kind.GUARDRAIL_BLOCKED, b"AccessDeniedException", 403),
        (Kind.MODEL_NOT_FOUND, b"ResourceNotFoundException", 404),
        (Kind.ROUTE_NOT_FOUND, b"UnknownOperationException", 404),
        (Kind.METHOD_NOT_ALLOWED, b"UnknownOperationException", 405),
        (Kind.TOO_LARGE, b"RequestEntityTooLargeException", 413),
        (Kind.RATE_LIMITED, b"ThrottlingException", 429),
        (Kind.QUOTA_EXCEEDED, b"ServiceQuotaExceededException", 400),
        (Kind.DRAINING, b"ServiceUnavailableException", 503),
        (Kind.INTERNAL, b"InternalServerException", 500),
        (Kind.UPSTREAM_TIMEOUT, b"ModelTimeoutException", 408),
        (Kind.UPSTREAM_BAD_RESPONSE, b"ModelErrorException", 424),
        (Kind.UPSTREAM_CREDENTIAL_REJECTED, b"InternalServerException", 500),
    ],
)
def test_kinds_have_exceptions(kind: Kind, exception: bytes, status: int) -> None:
    error = GatewayError(kind, "bad")
    assert status_of(error) == status
    assert answer_headers("r-1", error) == ((b"x-amzn-requestid", b"r-1"), (b"x-amzn-errortype", exception))


@pytest.mark.parametrize(
    ("status", "exception", "written"),
    [
        (400, b"ValidationException", 400),
        (422, b"ValidationException", 400),
        (401, b"AccessDeniedException", 403),
        (404, b"ResourceNotFoundException", 404),
        (413, b"RequestEntityTooLargeException", 413),
        (429, b"ThrottlingException", 429),
        (500, b"InternalServerException", 500),
    ],
)
def test_what_an_upstream_refused_keeps_its_class(status: int, exception: bytes, written: int) -> None:
    error = GatewayError(Kind.UPSTREAM_REJECTED, "no", status=status)
    assert answer_headers("r", error)[1] == (b"x-amzn-errortype", exception)
    assert status_of(error) == written


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_renders_in_body_and_stream(kind: Kind) -> None:
    error = GatewayError(kind, "it is bad")
    assert json.loads(render_error(error, "r")) == {"message": error.public_message}
    assert 400 <= status_of(error) < 600
    (message,) = MessageDecoder().feed(render_stream_error(error, "r"))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] in (
        "internalServerException",
        "modelStreamErrorException",
        "serviceUnavailableException",
        "throttlingException",
        "validationException",
    )
    assert json.loads(message.payload) == {"message": error.public_message}


def test_answers_that_are_no_errors_have_a_request_id() -> None:
    assert answer_headers("r-1", None) == ((b"x-amzn-requestid", b"r-1"),)


TYPE = b"x-amzn-errortype"


@pytest.mark.parametrize(
    ("body", "headers", "fault"),
    [
        (
            b'{"message":"The provided model identifier is invalid."}',
            {TYPE: b"ValidationException:http://internal.amazon.com/coral/com.amazon.bedrock/"},
            UpstreamFault("The provided model identifier is invalid.", "ValidationException"),
        ),
        (
            b'{"Message":"slow"}',
            {TYPE: b"ThrottlingException"},
            UpstreamFault("slow", "ThrottlingException", kind=Kind.UPSTREAM_RATE_LIMITED),
        ),
        (
            b'{"message":"wait"}',
            {TYPE: b"ModelNotReadyException"},
            UpstreamFault("wait", "ModelNotReadyException", kind=Kind.UPSTREAM_OVERLOADED),
        ),
        (
            b'{"message":"quota"}',
            {TYPE: b"ServiceQuotaExceededException"},
            UpstreamFault("quota", "ServiceQuotaExceededException", kind=Kind.UPSTREAM_RATE_LIMITED),
        ),
        (
            b'{"message":"who"}',
            {TYPE: b"UnrecognizedClientException"},
            UpstreamFault("who", "UnrecognizedClientException", kind=Kind.UPSTREAM_CREDENTIAL_REJECTED),
        ),
        (
            b'{"__type":"com.amazon.coral#ModelErrorException","message":"broken"}',
            {},
            UpstreamFault("broken", "ModelErrorException", kind=Kind.UPSTREAM_FAILED),
        ),
        (
            b'{"message":"late"}',
            {TYPE: b"ModelTimeoutException"},
            UpstreamFault("late", "ModelTimeoutException", kind=Kind.UPSTREAM_TIMEOUT),
        ),
        (
            b'{"message":"gone"}',
            {TYPE: b"ResourceNotFoundException"},
            UpstreamFault("gone", "ResourceNotFoundException"),
        ),
        (b"<html>busy</html>", {}, UpstreamFault("<html>busy</html>")),
        (b"[1]", {}, UpstreamFault("[1]")),
        (b'{"__type":5}', {}, UpstreamFault('{"__type":5}')),
        (
            b"",
            {TYPE: b"InternalFailure"},
            UpstreamFault("InternalFailure", "InternalFailure", kind=Kind.UPSTREAM_FAILED),
        ),
        (b"", {}, UpstreamFault("(empty body)")),
    ],
)
def test_faults_are_read(body: bytes, headers: Mapping[bytes, bytes], fault: UpstreamFault) -> None:
    assert read_fault(body, headers) == fault


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", Kind.UPSTREAM_RATE_LIMITED),
        ("serviceUnavailableException", Kind.UPSTREAM_OVERLOADED),
        ("internalServerException", Kind.UPSTREAM_FAILED),
        ("modelStreamErrorException", Kind.UPSTREAM_FAILED),
        ("modelTimeoutException", Kind.UPSTREAM_TIMEOUT),
        ("validationException", Kind.UPSTREAM_REJECTED),
        ("somethingNewException", Kind.UPSTREAM_FAILED),
    ],
)
def test_exceptions_of_a_stream(name: str, kind: Kind) -> None:
    (message,) = MessageDecoder().feed(frame(name, {"message": "why"}, "exception"))
    assert read_exception(message) == Failure(kind=kind, message="why", code=name)


def test_errors_of_a_stream() -> None:
    headers = {":message-type": "error", ":error-code": "InternalError", ":error-message": "An error"}
    assert read_exception(Message(headers, b"")) == Failure(
        kind=Kind.UPSTREAM_FAILED, message="An error", code="InternalError"
    )
