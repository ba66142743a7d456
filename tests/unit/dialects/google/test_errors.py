import msgspec
import pytest

from gatewright.core.errors import KINDS, GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.dialects.google.errors import read_failure, read_fault, render_error, render_stream_error


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (Kind.MALFORMED_REQUEST, 400, "INVALID_ARGUMENT"),
        (Kind.UNSUPPORTED_FEATURE, 400, "INVALID_ARGUMENT"),
        (Kind.UNAUTHENTICATED, 401, "UNAUTHENTICATED"),
        (Kind.FORBIDDEN, 403, "PERMISSION_DENIED"),
        (Kind.GUARDRAIL_BLOCKED, 403, "PERMISSION_DENIED"),
        (Kind.MODEL_NOT_FOUND, 404, "NOT_FOUND"),
        (Kind.TOO_LARGE, 413, "INVALID_ARGUMENT"),
        (Kind.RATE_LIMITED, 429, "RESOURCE_EXHAUSTED"),
        (Kind.UPSTREAM_RATE_LIMITED, 429, "RESOURCE_EXHAUSTED"),
        (Kind.INTERNAL, 500, "INTERNAL"),
        (Kind.UPSTREAM_FAILED, 502, "INTERNAL"),
        (Kind.UPSTREAM_CUT, 502, "UNAVAILABLE"),
        (Kind.UPSTREAM_OVERLOADED, 503, "UNAVAILABLE"),
        (Kind.UPSTREAM_TIMEOUT, 504, "DEADLINE_EXCEEDED"),
    ],
)
def test_kinds_in_the_words_of_the_api(kind: Kind, code: int, status: str) -> None:
    error = msgspec.json.decode(render_error(GatewayError(kind, "what was wrong"), "req-1"))["error"]
    expected = "what was wrong" if KINDS[kind].exposed else KINDS[kind].summary
    assert (error["code"], error["status"], error["message"]) == (code, status, expected)
    info, request = error["details"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": kind.value.upper(),
        "domain": "gatewright",
    }
    assert request["requestId"] == "req-1"


def test_a_status_that_was_passed_through() -> None:
    for status, word in ((418, "INVALID_ARGUMENT"), (402, "INVALID_ARGUMENT"), (529, "INTERNAL"), (409, "ABORTED")):
        error = GatewayError(Kind.UPSTREAM_REJECTED, "no", status=status, code="quota")
        rendered = msgspec.json.decode(render_error(error, "r"))["error"]
        assert (rendered["code"], rendered["status"]) == (status, word)
        assert rendered["details"][0]["reason"] == "QUOTA"


@pytest.mark.parametrize(
    ("seconds", "delay"), [(34.4, "34.4s"), (2, "2s"), (0.0001, "0.001s"), (-1, "0s"), (100, "100s")]
)
def test_when_to_try_again(seconds: float, delay: str) -> None:
    error = GatewayError(Kind.RATE_LIMITED, "slow down", retry_after_s=seconds)
    details = msgspec.json.decode(render_error(error, "r"))["error"]["details"]
    assert details[-1] == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def test_a_stream_ends_in_an_event_whose_first_member_is_error() -> None:
    event = render_stream_error(GatewayError(Kind.UPSTREAM_CUT, "broke off"), "r")
    assert event.startswith(b'data: {"error":')
    assert event.endswith(b"\r\n\r\n")


def fault_body(**members: object) -> bytes:
    return msgspec.json.encode({"error": members})


def test_an_upstreams_error() -> None:
    body = fault_body(code=404, message="models/x is not found", status="NOT_FOUND")
    for form in (body, b"[" + body + b"]"):
        fault = read_fault(form, {})
        assert (fault.message, fault.code, fault.kind, fault.billing) == (
            "models/x is not found",
            "NOT_FOUND",
            None,
            False,
        )


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("34.4s", 34.4),
        ("2s", 2.0),
        ("0s", 0.0),
        ("x", None),
        ("xs", None),
        (5, None),
        ("-1s", None),
        ("infs", None),
        ("nans", None),
    ],
)
def test_the_delay_that_an_upstream_tells(delay: object, seconds: float | None) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
    fault = read_fault(fault_body(code=429, message="quota", status="RESOURCE_EXHAUSTED", details=details), {})
    assert fault.retry_after_s == seconds


def test_a_bad_key_is_the_gateways_credential() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
    fault = read_fault(fault_body(code=400, message="API key not valid.", details=details), {})
    assert fault.kind is Kind.UPSTREAM_CREDENTIAL_REJECTED
    assert fault.code == "API_KEY_INVALID"


def test_what_no_waiting_mends() -> None:
    exhausted = {"code": 429, "status": "RESOURCE_EXHAUSTED"}
    assert read_fault(fault_body(**exhausted, message="Your prepayment credits are depleted."), {}).billing
    assert not read_fault(
        fault_body(**exhausted, message="You exceeded your current quota, check billing."), {}
    ).billing


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"[1]",
        b"null",
        b'{"error":null}',
        b'{"error":{"message":1,"details":[1,{"@type":2}]}}',
        b"\xff",
        b"[" * 5000,
    ],
)
def test_any_other_answer_is_quoted(body: bytes) -> None:
    assert read_fault(body, {}).message


def test_an_error_that_is_a_text() -> None:
    assert read_fault(b'{"error":"nope"}', {}).message == "nope"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (
            {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"},
            Kind.UPSTREAM_RATE_LIMITED,
            "RESOURCE_EXHAUSTED",
        ),
        ({"code": 503, "message": "busy", "status": "UNAVAILABLE"}, Kind.UPSTREAM_OVERLOADED, "UNAVAILABLE"),
        ({"code": 504}, Kind.UPSTREAM_TIMEOUT, None),
        ({"code": 500, "message": ""}, Kind.UPSTREAM_FAILED, None),
        ({"code": 400}, Kind.UPSTREAM_REJECTED, None),
        ({"code": "x"}, Kind.UPSTREAM_FAILED, None),
        ("text", Kind.UPSTREAM_FAILED, None),
        (5, Kind.UPSTREAM_FAILED, None),
    ],
)
def test_a_failure_in_a_stream(error: object, kind: Kind, code: str | None) -> None:
    failure = read_failure(error)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.code) == (kind, code)
    assert failure.message
