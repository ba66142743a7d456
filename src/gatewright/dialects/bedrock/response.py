"""Complete Converse answers, both ways (docs.aws.amazon.com/bedrock/latest/APIReference, API_runtime_Converse)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Extension, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import Kind
from gatewright.core.events import ChatResponse, Choice, Finish, FinishReason
from gatewright.core.loss import Feature, Outcome
from gatewright.dialects.bedrock.media import own
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME
from gatewright.dialects.bedrock.read_blocks import read_blocks
from gatewright.dialects.bedrock.usage import take_account, write_account
from gatewright.dialects.bedrock.write_blocks import Note, write_answer_blocks
from gatewright.wire.json_object import JsonObject

_encoder = msgspec.json.Encoder()
_JSON_TOOL: Final = JSON_TOOL.encode()
_EXTRA: Final = "additionalModelResponseFields"

_REASONS: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
_WORDS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "length": "max_tokens",
    "content_filter": "content_filtered",
    "pause": "end_turn",
    "error": "malformed_model_output",
}


def read_finish(word: str | None, extra: Raw | None, *, has_calls: bool, has_json: bool) -> Finish:
    """The end of an answer; `has_json` when a tool call was the answer itself (`JSON_TOOL`)."""
    reason = _REASONS.get(word or "", "stop")
    native = word
    if has_calls and reason == "stop":
        reason = "tool_calls"
    elif has_json and not has_calls and reason == "tool_calls":
        reason, native = "stop", None
    return Finish(
        reason=reason,
        native=native,
        dialect=NAME,
        extra=None if extra is None else Extension(NAME, {_EXTRA: extra}),
    )


def write_finish(finish: Finish | None) -> dict[str, Any]:
    """`stopReason` and what goes with it; this dialect's own word as it was."""
    if finish is None:
        return {"stopReason": _WORDS["stop"]}
    if finish.dialect == NAME and finish.native is not None:
        word = finish.native
    elif finish.reason == "stop" and finish.stop_sequence is not None:
        word = "stop_sequence"
    else:
        word = _WORDS[finish.reason]
    return {"stopReason": word, **own(finish.extra)}


def decode_response(body: bytes) -> ChatResponse:
    """Read a complete answer. Raises GatewayError (upstream_bad_response) when it holds no message."""
    answer = JsonObject.parse(body, kind=Kind.UPSTREAM_BAD_RESPONSE)
    output = answer.object("output")
    message = None if output is None else output.object("message")
    if output is None or message is None:
        raise answer.error("output", "must hold a message")
    message.drop("role")
    items = message.items("content") or []
    parts = read_blocks(items, message.at("content"), Kind.UPSTREAM_BAD_RESPONSE)
    finish = read_finish(
        answer.string("stopReason"),
        answer.raw(_EXTRA),
        has_calls=any(isinstance(part, ToolCall) for part in parts),
        has_json=_JSON_TOOL in body,
    )
    usage, account = take_account(answer)
    members = {} if usage is not None else account
    if (rest := answer.rest(NAME)) is not None:
        members = {**rest.members, **members}
    return ChatResponse(
        id="",
        model="",
        choices=(Choice(parts=parts, finish=finish),),
        usage=usage,
        usage_extra=None if usage is None else Extension(NAME, account),
        extra=Extension(NAME, members) if members else None,
    )


def noting(context: StreamContext) -> Note:
    """How the writers of an answer tell what they leave out or change."""

    def note(feature: Feature, path: str, what: str) -> None:
        outcome = Outcome.DROPPED if what.endswith("left out") else Outcome.APPROXIMATED
        context.report.note(feature, outcome, path, what)

    return note


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """Write a complete answer to a client."""
    note = noting(context)
    if len(response.choices) > 1:
        note(Feature.N, "choices", "all but the first are left out")
    choice = response.choices[0] if response.choices else Choice()
    content = [
        block
        for index, part in enumerate(choice.parts)
        for block in write_answer_blocks(part, f"choices[0].parts[{index}]", note)
    ]
    return _encoder.encode(
        {
            **own(response.extra),
            "output": {"message": {"role": "assistant", "content": content}},
            **write_finish(choice.finish),
            **write_account(response.usage, response.usage_extra),
        }
    )
