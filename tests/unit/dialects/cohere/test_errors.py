from __future__ import annotations

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.cohere.errors import read_fault, render_error, render_stream_error


def test_errors() -> None:
    error = GatewayError(Kind.MODEL_NOT_FOUND, 'no model "x"')
    assert render_error(error, "r1") == b'{"id":"r1","message":"no model \\"x\\""}'
    event = render_stream_error(error, "r1")
    assert event == (
        b'event: message-end\ndata: {"type":"message-end","id":"r1",'
        b'"delta":{"error":"no model \\"x\\"","finish_reason":"ERROR"}}\n\n'
    )
    assert read_fault(event.partition(b"data: ")[2], {}).message == 'no model "x"'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"id":"a","message":"model not found"}', "model not found"),
        (b'{"error":{"message":"bad gateway"}}', "bad gateway"),
        (b'{"error":"bad gateway"}', "bad gateway"),
        (b'{"detail":"no"}', "no"),
        (b"<html>", "<html>"),
        (b'{"message":7}', '{"message":7}'),
        (b'{"delta":7}', '{"delta":7}'),
        (b"[1]", "[1]"),
        (b"\xff", "�"),
        (b"", "(empty body)"),
    ],
)
def test_faults_are_read(body: bytes, message: str) -> None:
    fault = read_fault(body, {})
    assert (fault.message, fault.kind, fault.billing) == (message, None, False)


def test_faults_that_no_status_tells() -> None:
    assert read_fault(b'{"message":"invalid api token"}', {}).kind is Kind.UPSTREAM_CREDENTIAL_REJECTED
    trial = b'{"message":"You are using a Trial key, which is limited to 1000 API calls / month."}'
    assert read_fault(trial, {}).billing
