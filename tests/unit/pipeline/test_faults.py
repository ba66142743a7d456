"""Each status an upstream may answer with becomes the kind that the table promises; what is private stays here."""

import pytest

from gatewright.core.errors import Kind, Retry
from gatewright.dialects.openai import CHAT
from gatewright.pipeline.faults import passed_on_headers, read_failure

SECRET = b'{"error": {"message": "Incorrect API key provided: sk-live-abc"}}'


@pytest.mark.parametrize(
    ("status", "kind", "client_status"),
    [
        (204, Kind.UPSTREAM_BAD_RESPONSE, 502),
        (302, Kind.UPSTREAM_BAD_RESPONSE, 502),
        (400, Kind.UPSTREAM_REJECTED, 400),
        (401, Kind.UPSTREAM_CREDENTIAL_REJECTED, 502),
        (402, Kind.UPSTREAM_REJECTED, 402),
        (403, Kind.UPSTREAM_CREDENTIAL_REJECTED, 502),
        (404, Kind.UPSTREAM_REJECTED, 404),
        (408, Kind.UPSTREAM_TIMEOUT, 504),
        (413, Kind.UPSTREAM_REJECTED, 413),
        (422, Kind.UPSTREAM_REJECTED, 422),
        (429, Kind.UPSTREAM_RATE_LIMITED, 429),
        (500, Kind.UPSTREAM_FAILED, 502),
        (502, Kind.UPSTREAM_FAILED, 502),
        (503, Kind.UPSTREAM_OVERLOADED, 503),
        (504, Kind.UPSTREAM_TIMEOUT, 504),
        (529, Kind.UPSTREAM_OVERLOADED, 503),
        (599, Kind.UPSTREAM_FAILED, 502),
    ],
)
def test_each_status_has_its_kind(status: int, kind: Kind, client_status: int) -> None:
    error = read_failure(CHAT, "up", status, {}, b'{"error": {"message": "why", "code": "c1"}}')
    assert (error.kind, error.status) == (kind, client_status)
    assert "`up`" in error.message
    assert (error.retry is Retry.OTHER_UPSTREAM) == (status in (408, 429) or status >= 500)


@pytest.mark.parametrize("status", [401, 403])
def test_the_words_about_the_gateways_own_credential_stay_here(status: int) -> None:
    error = read_failure(CHAT, "up", status, {b"retry-after": b"1", b"x-ratelimit-limit-requests": b"5"}, SECRET)
    assert "sk-live" not in error.message
    assert error.body is None
    assert error.headers == ()
    assert error.code is None


def test_a_rejection_keeps_the_providers_own_error() -> None:
    body = b'{"error": {"message": "no such role", "param": "messages[0].role", "code": "invalid_value"}}'
    error = read_failure(CHAT, "up", 400, {b"openai-version": b"1", b"set-cookie": b"x"}, body)
    assert error.body == body
    assert error.code == "invalid_value"
    assert error.headers == ((b"openai-version", b"1"),)


@pytest.mark.parametrize(("status", "body"), [(500, b'{"error": {}}'), (400, b"<html>"), (400, b""), (400, b"[1]")])
def test_only_a_clients_fault_told_in_json_is_passed_on_as_it_is(status: int, body: bytes) -> None:
    assert read_failure(CHAT, "up", status, {}, body).body is None


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"7", 7.0), (b"1.5", 1.5), (b"Wed, 21 Oct 2026 07:28:00 GMT", None), (b"-1", None)]
)
def test_when_to_come_back(value: bytes, seconds: float | None) -> None:
    error = read_failure(CHAT, "up", 429, {b"retry-after": value}, b"{}")
    assert error.retry_after_s == seconds
    assert (b"retry-after", value) in error.headers


def test_headers_of_the_account_and_of_the_hop_stay_here() -> None:
    ordinary = {b"server": b"x", b"date": b"y", b"content-type": b"z"}
    assert passed_on_headers(ordinary) == ()
    shown = {b"x-ratelimit-remaining-tokens": b"9", b"x-should-retry": b"false", b"retry-after-ms": b"10"}
    hidden = {b"set-cookie": b"a", b"openai-organization": b"org", b"cf-ray": b"1", b"x-request-id": b"theirs"}
    assert dict(passed_on_headers(ordinary | shown | hidden)) == shown
