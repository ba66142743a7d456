"""The response object around the output."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw
from openai.types.responses import Response

from gatewright.core.chat import ChatRequest
from gatewright.core.codec import StreamContext
from gatewright.core.events import Finish, FinishReason
from gatewright.core.loss import LossReport
from gatewright.dialects.openai.responses.answer import echo, ending, last_event
from gatewright.dialects.openai.responses.read_request import decode_request


def echo_of(request: ChatRequest) -> Any:
    context = StreamContext(request=request, response_id="r", created=1, report=LossReport())
    return json.loads(msgspec.json.encode(echo(context)))


ASKED: dict[str, Any] = {
    "instructions": "be brief",
    "max_output_tokens": 9,
    "max_tool_calls": 2,
    "metadata": {"a": "b"},
    "parallel_tool_calls": False,
    "prompt_cache_key": "k",
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "temperature": 0.5,
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    "tool_choice": {"type": "function", "name": "f"},
    "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
    "top_logprobs": 2,
    "top_p": 0.25,
    "truncation": "auto",
}


def test_what_was_asked_is_repeated() -> None:
    fields = msgspec.json.decode(json.dumps({"input": "q", **ASKED}).encode(), type=dict[str, Raw])
    echoed = echo_of(decode_request(fields, "m", False))
    assert {name: echoed[name] for name in ASKED} == ASKED
    assert (echoed["user"], echoed["store"], echoed["previous_response_id"]) == (None, False, None)


def test_the_sdks_type_takes_it() -> None:
    echoed = echo_of(ChatRequest(model="m", messages=()))
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": [], **ending(None)}
    assert Response.model_validate({**echoed, **head}).model_extra == {"store": False}


@pytest.mark.parametrize(
    ("reason", "status", "why", "event"),
    [
        ("stop", "completed", None, "response.completed"),
        ("tool_calls", "completed", None, "response.completed"),
        ("length", "incomplete", {"reason": "max_output_tokens"}, "response.incomplete"),
        ("content_filter", "incomplete", {"reason": "content_filter"}, "response.incomplete"),
        ("pause", "incomplete", {"reason": "max_messages"}, "response.incomplete"),
        ("error", "failed", None, "response.failed"),
    ],
)
def test_how_other_dialects_answers_end(reason: FinishReason, status: str, why: Any, event: str) -> None:
    end = ending(Finish(reason=reason, native="MALFORMED"))
    assert (end["status"], end["incomplete_details"]) == (status, why)
    assert (end["error"] is not None) == (reason == "error")
    assert last_event(status) == event
