"""The hub's response as a complete answer to a client (ai.google.dev/api/generate-content#GenerateContentResponse)."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewright.core.chat import Text
from gatewright.core.codec import StreamContext
from gatewright.core.events import ChatResponse, Choice
from gatewright.core.loss import LossReport
from gatewright.dialects.google.grounding import write_citations
from gatewright.dialects.google.logprobs import write_logprobs
from gatewright.dialects.google.members import NAME, own_members
from gatewright.dialects.google.write_answer import blocked_feedback, usage_member, write_end, write_part

_encoder = msgspec.json.Encoder()


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """The answer's body; see `ChatCodec.encode_response`."""
    kept = own_members(response.extra, NAME)
    feedback = None
    if len(response.choices) == 1 and not response.choices[0].parts:
        feedback = blocked_feedback(response.choices[0].finish)
    written: dict[str, Any] = {}
    if feedback is None:
        written["candidates"] = [_candidate(choice, context.report) for choice in response.choices]
    else:
        written |= feedback
    written |= usage_member(response.usage, response.usage_extra)
    if response.model:
        written["modelVersion"] = response.model
    written["responseId"] = response.id or context.response_id
    return _encoder.encode(written | kept)


def _candidate(choice: Choice, report: LossReport) -> dict[str, Any]:
    path = f"choices[{choice.index}]"
    parts = []
    for number, part in enumerate(choice.parts):
        each = write_part(part, f"{path}.parts[{number}]", report)
        if each is not None:
            parts.append(each)
    content: dict[str, Any] = {"parts": parts} if parts else {}
    written: dict[str, Any] = {"content": content | {"role": "model"}}
    end = {} if choice.finish is None else write_end(choice.finish, f"{path}.finish", report)
    written |= end
    written["index"] = choice.index
    if choice.logprobs and "logprobsResult" not in written:
        written["logprobsResult"] = write_logprobs(choice.logprobs)
    if "groundingMetadata" not in written and "citationMetadata" not in written:
        grounding = write_citations(_texts(choice))
        if grounding is not None:
            written["groundingMetadata"] = grounding
    return written


def _texts(choice: Choice) -> list[tuple[int, Text]]:
    found: list[tuple[int, Text]] = []
    before = 0
    for part in choice.parts:
        if isinstance(part, Text):
            found.append((before, part))
            before += len(part.text.encode("utf-8", "replace"))
    return found
