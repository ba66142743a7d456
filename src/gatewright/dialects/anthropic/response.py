"""Complete answers, both directions (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewright.core.chat import (
    Audio,
    File,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Video,
)
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import ChatResponse, Choice
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.anthropic.carried import hidden_block, thinking_block
from gatewright.dialects.anthropic.citations import write_citation
from gatewright.dialects.anthropic.errors import read_fault
from gatewright.dialects.anthropic.finish import read_finish, stop_members
from gatewright.dialects.anthropic.read_blocks import read_block
from gatewright.dialects.anthropic.usage import read_extra, read_usage, render_usage
from gatewright.dialects.anthropic.vocabulary import JSON_TOOL, NAME, clean_id, own
from gatewright.dialects.anthropic.write_blocks import Block
from gatewright.wire.json_object import JsonObject
from gatewright.wire.tool_arguments import arguments_object, tell_arguments

_encoder = msgspec.json.Encoder()
_BAD = Kind.UPSTREAM_BAD_RESPONSE


def decode_response(body: bytes) -> ChatResponse:
    """A complete answer. What the hub has no member for goes with the finish, where a stream tells it too."""
    message = JsonObject.parse(body, kind=_BAD)
    if message.string("type") == "error":
        raise GatewayError(_BAD, f"The provider answered 200 with an error: {read_fault(body, {}).message}")
    message.drop("role")
    items = message.items("content")
    if items is None:
        raise message.error("content", "is missing")
    read = [read_block(item, f"content[{index}]", _BAD) for index, item in enumerate(items)]
    parts = tuple([_answer(part) for part in read])
    finish_words = message.string("stop_reason"), message.string("stop_sequence")
    id_, model, usage = message.string("id") or "", message.string("model") or "", message.raw("usage")
    finish = read_finish(
        *finish_words,
        message.rest(NAME),
        has_calls=any(isinstance(part, ToolCall) for part in parts),
        has_answer=any(isinstance(part, ToolCall) and part.name == JSON_TOOL for part in read),
    )
    return ChatResponse(
        id=id_,
        model=model,
        choices=(Choice(parts=parts, finish=finish),),
        usage=None if usage is None else read_usage(usage),
        usage_extra=None if usage is None or read_usage(usage) is None else read_extra(usage),
    )


def _answer(part: Part) -> Part:
    """A call of the stand-in for JSON Schema output is the answer's text."""
    return Text(text=part.arguments) if isinstance(part, ToolCall) and part.name == JSON_TOOL else part


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """The answer's body. Of several answers only the first has a place."""
    report = context.report
    choice = response.choices[0] if response.choices else Choice()
    if len(response.choices) > 1:
        report.note(Feature.N, Outcome.DROPPED, "choices", "one answer has a place")
    if choice.logprobs or choice.refusal_logprobs:
        report.note(Feature.LOGPROBS, Outcome.DROPPED, "choices[0].logprobs", "answers have no place for them")
    blocks: list[Block] = []
    for index, part in enumerate(choice.parts):
        blocks.extend(_blocks(part, f"choices[0].parts[{index}]", report))
    has_calls = any(isinstance(part, ToolCall) for part in choice.parts)
    has_refusal = any(isinstance(part, Refusal) for part in choice.parts)
    return _encoder.encode(
        {
            "id": response.id or context.response_id,
            "type": "message",
            "role": "assistant",
            "model": response.model or context.request.model,
            "content": blocks,
            **stop_members(choice.finish, has_calls=has_calls, has_refusal=has_refusal),
            "usage": render_usage(response.usage, response.usage_extra),
        }
    )


def _blocks(part: Part, path: str, report: LossReport) -> list[Block]:
    match part:
        case Text():
            return _text(part, path, report)
        case ToolCall():
            return _call(part, path, report)
        case Reasoning():
            block = thinking_block(part)
            return [] if block is None else [{**block, **own(part.extra)}]
        case Native():
            return native_blocks(part, path, report)
        case Refusal():
            tell_refusal(path, report)
            return [{"type": "text", "text": part.text}] if part.text else []
        case _:
            return _medium(part, path, report)


def _text(part: Text, path: str, report: LossReport) -> list[Block]:
    blocks: list[Block] = []
    if part.text or part.citations:
        block: dict[str, Any] = {"type": "text", "text": part.text}
        citations = [write_citation(citation) for citation in part.citations]
        kept = [citation for citation in citations if citation is not None]
        if len(kept) < len(citations):
            report.note(Feature.CITATIONS, Outcome.DROPPED, path, "citations without an address have no form here")
        if kept:
            block["citations"] = kept
        blocks.append(block | own(part.extra))
    if part.signature is not None and part.signature.dialect != NAME:
        blocks.append(hidden_block(part.signature, "text"))
    return blocks


def _call(part: ToolCall, path: str, report: LossReport) -> list[Block]:
    blocks: list[Block] = []
    ident = clean_id(part.id)
    if part.signature is not None and part.signature.dialect != NAME:
        blocks.append(hidden_block(part.signature, "call", ident))
    tell_arguments(part, path, report.note)
    arguments = arguments_object(part)
    blocks.append({"type": "tool_use", "id": ident, "name": part.name, "input": arguments, **own(part.extra)})
    return blocks


def native_blocks(part: Native, path: str, report: LossReport) -> list[Block]:
    """A vendor's own block: only this one's has a place."""
    if part.dialect == NAME:
        return [part.raw]
    report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, path, f"`{part.kind}` belongs to {part.dialect}")
    return []


def tell_refusal(path: str, report: LossReport) -> None:
    """Words of refusal are text here; the stop reason says what they are."""
    report.note(Feature.REFUSAL, Outcome.APPROXIMATED, path, "told as text with the stop reason `refusal`")


def tell_custom(path: str, report: LossReport) -> None:
    """Calls of this API have JSON arguments."""
    report.note(Feature.CUSTOM_TOOLS, Outcome.APPROXIMATED, path, "free text is told as an argument")


def tell_medium(path: str, report: LossReport) -> None:
    """Answers of this API are text."""
    report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, path, "answers have no place for media")


def _medium(part: Part, path: str, report: LossReport) -> list[Block]:
    if isinstance(part, Image | Audio | Video | File):
        tell_medium(path, report)
    if isinstance(part, Audio) and part.transcript:
        return [{"type": "text", "text": part.transcript}]
    return []
