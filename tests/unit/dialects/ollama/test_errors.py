from __future__ import annotations

import pytest

from gatewright.core.errors import GatewayError, Kind
from gatewright.dialects.ollama.errors import read_fault, render_error, render_stream_error


def test_errors_are_one_text() -> None:
    error = GatewayError(Kind.MODEL_NOT_FOUND, 'no model "x"')
    assert render_error(error, "r") == b'{"error":"no model \\"x\\""}'
    assert render_stream_error(error, "r") == render_error(error, "r") + b"\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error":"model \'x\' not found"}', "model 'x' not found"),
        (b'{"error":{"message":"bad gateway"}}', "bad gateway"),
        (b'{"message":"no"}', "no"),
        (b"<html>", "<html>"),
        (b'{"error":7}', '{"error":7}'),
        (b"[1]", "[1]"),
        (b"\xff", "�"),
        (b"", "(empty body)"),
    ],
)
def test_faults_are_read(body: bytes, message: str) -> None:
    assert read_fault(body, {}).message == message
