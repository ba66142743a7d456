"""Failures inside a Responses stream."""

from __future__ import annotations

import json

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.dialects.openai.responses import errors


@pytest.mark.parametrize(
    ("told", "kind", "code"),
    [
        ({"code": "rate_limit_exceeded", "message": "m"}, Kind.UPSTREAM_RATE_LIMITED, "rate_limit_exceeded"),
        ({"type": "insufficient_quota", "message": "m"}, Kind.UPSTREAM_RATE_LIMITED, "insufficient_quota"),
        ({"code": "server_error", "message": "m"}, Kind.UPSTREAM_FAILED, "server_error"),
        ({"code": "server_is_overloaded", "message": "m"}, Kind.UPSTREAM_OVERLOADED, "server_is_overloaded"),
        ({"code": "invalid_image_url", "message": "m"}, Kind.UPSTREAM_REJECTED, "invalid_image_url"),
        ({"code": "odd", "type": "invalid_request_error", "message": "m"}, Kind.UPSTREAM_REJECTED, "odd"),
        ({"code": 17, "message": "m"}, Kind.UPSTREAM_FAILED, "17"),
        ({"type": "error", "message": "m"}, Kind.UPSTREAM_FAILED, None),
        ({"type": "error", "error": {"code": "slow_down", "message": "m"}}, Kind.UPSTREAM_RATE_LIMITED, "slow_down"),
        ("m", Kind.UPSTREAM_FAILED, None),
    ],
)
def test_what_a_provider_says_it_is(told: object, kind: Kind, code: str | None) -> None:
    assert errors.read_failure(json.dumps(told).encode()) == Failure(kind=kind, message="m", code=code)


@pytest.mark.parametrize("odd", [None, b"", b"null", b"[]", b"{", b'{"message":5}', b'"\\ud800"', b"\xff", b'""'])
def test_anything_at_all_is_a_failure(odd: bytes | None) -> None:
    failure = errors.read_failure(odd)
    assert failure.kind is Kind.UPSTREAM_FAILED
    assert failure.message == "no reason was given"


def test_the_event_has_both_forms() -> None:
    error = GatewayError(Kind.RATE_LIMITED, "slow", param="model")
    event = errors.error_event(error, "req_1", 7)
    assert event["error"]["message"] == event["message"] == "slow"
    assert event["code"] == event["error"]["code"] == "rate_limit_exceeded"
    assert (event["type"], event["param"], event["sequence_number"]) == ("error", "model", 7)
    name, data, *_ = errors.render_stream_error(error, "req_1").decode().split("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: ")) == {**event, "sequence_number": 0}


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_code_the_api_defines(kind: Kind) -> None:
    assert errors.failed_code(GatewayError(kind, "m")) in ("server_error", "rate_limit_exceeded", "invalid_prompt")


def test_a_failed_answer_says_why() -> None:
    failure = Failure(kind=Kind.UPSTREAM_FAILED, message="m")
    assert errors.answer_error(failure) == {"code": "server_error", "message": "m"}


def test_error_answers_are_those_of_the_other_apis() -> None:
    fault = errors.read_fault(b'{"error":{"message":"no","code":"insufficient_quota"}}', {})
    assert fault.billing
    assert fault.message == "no"
