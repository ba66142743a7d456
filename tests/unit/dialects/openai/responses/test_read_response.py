"""Complete answers of the Responses API, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gatewright.core.chat import Text, ToolCall
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import Failure
from gatewright.core.usage import Usage
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_response import decode_response

SAID = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}"}


def body(**members: Any) -> bytes:
    answer = {"id": "resp_1", "object": "response", "created_at": 7, "model": "m", "status": "completed", "output": []}
    return json.dumps({**answer, **members}).encode()


def test_head_parts_and_usage() -> None:
    usage = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    response = decode_response(body(output=[SAID, CALL], usage=usage, temperature=0.5))
    assert (response.id, response.model, response.created) == ("resp_1", "m", 7)
    [choice] = response.choices
    assert [type(part) for part in choice.parts] == [Text, ToolCall]
    assert response.usage == Usage(input_total=1, output_total=2)
    assert choice.finish is not None
    assert choice.finish.extra is not None
    assert choice.finish.extra.members.keys() == {"object", "status", "temperature"}


@pytest.mark.parametrize(
    ("members", "reason", "native"),
    [
        ({}, "stop", "completed"),
        ({"status": None}, "stop", None),
        ({"output": [CALL]}, "tool_calls", "completed"),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            "max_output_tokens",
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            "content_filter",
            "content_filter",
        ),
        ({"status": "incomplete"}, "length", "incomplete"),
        ({"status": "incomplete", "output": [CALL], "incomplete_details": {"reason": "new"}}, "length", "new"),
        ({"status": "queued"}, "pause", "queued"),
        ({"status": "cancelled"}, "error", "cancelled"),
    ],
)
def test_how_it_ended(members: Any, reason: str, native: str | None) -> None:
    [choice] = decode_response(body(**members)).choices
    assert choice.finish is not None
    assert (choice.finish.reason, choice.finish.native, choice.finish.dialect) == (reason, native, NAME)


@pytest.mark.parametrize(
    "answer",
    [
        body(status="failed", error={"code": "server_error", "message": "m"}),
        json.dumps({"error": {"code": "server_error", "message": "m"}}).encode(),
    ],
)
def test_failures(answer: bytes) -> None:
    response = decode_response(answer)
    assert response.failure == Failure(kind=Kind.UPSTREAM_FAILED, message="m", code="server_error")
    assert response.choices == ()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        body(output=None),
        body(output=5),
        body(output=[5]),
        body(output=[{"type": "function_call"}]),
        body(id=5),
        body(created_at="now"),
        body(status="incomplete", incomplete_details=[]),
        b'{"output":' + b"[" * 5_000,
    ],
)
def test_answers_no_client_could_read(answer: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_response(answer)
    assert caught.value.kind is Kind.UPSTREAM_BAD_RESPONSE


def test_usage_that_makes_no_sense_costs_its_numbers_only() -> None:
    assert decode_response(body(usage={"input_tokens": "many"})).usage is None
    assert decode_response(body(usage=[])).usage is None
