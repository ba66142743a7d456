"""Complete chat answers, both ways (platform.openai.com/docs/api-reference/chat/object)."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewright.core.chat import Audio, Image, Native, Reasoning, Refusal, Text, ToolCall
from gatewright.core.codec import StreamContext
from gatewright.core.errors import GatewayError
from gatewright.core.events import ChatResponse, Choice, Event, Failure, fold
from gatewright.core.loss import Feature, Outcome
from gatewright.dialects.openai.chat.media import form_of, inner_of, rest_of
from gatewright.dialects.openai.chat.read_answer import UPSTREAM, AnswerReader
from gatewright.dialects.openai.chat.reasoning import (
    STRINGS,
    member_of,
    needs_entry,
    write_block,
    write_entry,
    write_thinking,
    write_thought_signature,
)
from gatewright.dialects.openai.chat.words import NAME, own, write_finish
from gatewright.dialects.openai.chat.write_pieces import (
    wants_functions,
    write_answer_image,
    write_audio,
    write_citation,
    write_logprobs,
    write_usage,
)
from gatewright.wire.json_object import JsonObject

_encoder = msgspec.json.Encoder()


def decode_response(body: bytes) -> ChatResponse:
    """Read a complete answer. Raises GatewayError (upstream_bad_response)."""
    reader = AnswerReader()
    events: list[Event] = []
    reader.read(JsonObject.parse(body, "", UPSTREAM), events, is_complete=True)
    if any(isinstance(event, Failure) for event in events):
        return fold(events)
    if not reader.choices:
        raise GatewayError(UPSTREAM, "The provider's answer is not usable: `choices` is empty.")
    reader.end(events)
    return fold(events)


def encode_response(response: ChatResponse, context: StreamContext) -> bytes:
    """Write a complete answer for a client."""
    created = response.created if response.created is not None else context.created
    answer: dict[str, Any] = {
        "id": response.id or context.response_id,
        "object": "chat.completion",
        "created": created,
        "model": response.model,
        "choices": [_write_choice(choice, context) for choice in response.choices],
    }
    if response.usage is not None:
        answer["usage"] = write_usage(response.usage, response.usage_extra)
    return _encoder.encode({**answer, **own(response.extra)})


def _write_choice(choice: Choice, context: StreamContext) -> dict[str, Any]:
    members = dict(own(choice.finish.extra)) if choice.finish is not None else {}
    raw = members.pop("message", None)
    rest = None if raw is None else JsonObject.parse(raw).rest(NAME)
    writer = _MessageWriter(context)
    for part in choice.parts:
        writer.add(part)
    message = writer.end({} if rest is None else rest.members)
    logprobs = None
    if choice.logprobs or choice.refusal_logprobs:
        logprobs = {
            "content": write_logprobs(choice.logprobs) if choice.logprobs else None,
            "refusal": write_logprobs(choice.refusal_logprobs) if choice.refusal_logprobs else None,
        }
    word = None if choice.finish is None else write_finish(choice.finish)
    if choice.finish is not None and choice.finish.dialect == NAME:
        word = choice.finish.native
    elif word == "tool_calls" and "function_call" in message:
        word = "function_call"
    return {"index": choice.index, "message": message, "logprobs": logprobs, "finish_reason": word, **members}


class _MessageWriter:
    """Collects the parts of one answer into a message."""

    def __init__(self, context: StreamContext) -> None:
        self._report = context.report
        self._response_id = context.response_id
        self._is_legacy = wants_functions(context.request)
        self._texts: list[str] = []
        self._length = 0
        self._list: list[Any] = []
        """The content as a list of parts, used when it holds more than text."""
        self._has_list = False
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._has_plain_thoughts = False
        self._entries: list[Reasoning] = []
        self._out: dict[str, Any] = {}

    def add(self, part: Any) -> None:
        """Take the next part."""
        match part:
            case Text():
                self._add_text(part)
            case Reasoning():
                self._add_reasoning(part)
            case ToolCall():
                self._add_call(part)
            case Refusal():
                self._refusals.append(part.text)
            case Audio():
                self._out["audio"] = write_audio(part, self._response_id)
            case Image() if (image := write_answer_image(part)) is not None:
                self._out.setdefault("images", []).append(image)
            case Native(dialect=dialect) if dialect == NAME:
                self._list.append(part.raw)
                self._has_list = True
            case Native():
                note = f"`{part.kind}` is a part that only its own dialect knows"
                self._report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, "choices.parts", note)
            case _:
                self._report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, "choices.parts", "chat answers cannot hold it")

    def _add_text(self, part: Text) -> None:
        for citation in part.citations:
            written = write_citation(citation, self._length, self._report)
            if written is not None:
                self._out.setdefault("annotations", []).append(written)
        self._texts.append(part.text)
        self._list.append({"type": "text", "text": part.text, **own(part.extra)})
        self._length += len(part.text)
        if part.signature is not None:
            self._out["extra_content"] = write_thought_signature(part.signature)

    def _add_reasoning(self, part: Reasoning) -> None:
        member = member_of(part)
        if member == "content":
            self._list.append(write_thinking(part))
            self._has_list = True
        elif member == "thinking_blocks":
            self._out.setdefault("thinking_blocks", []).append(write_block(part))
        elif member == "reasoning":
            self._out["reasoning"] = self._out.get("reasoning", "") + part.text
        else:
            if part.text:
                self._thoughts.append(part.text)
                self._has_plain_thoughts |= member != "reasoning_details"
            self._entries.append(part)

    def _add_call(self, part: ToolCall) -> None:
        if form_of(part) == "function_call" or (self._is_legacy and "function_call" not in self._out):
            self._out["function_call"] = {"name": part.name, "arguments": part.arguments}
            return
        member = "custom" if part.is_custom else "function"
        text = "input" if part.is_custom else "arguments"
        inner = {"name": part.name, text: part.arguments, **inner_of(part, member)}
        call: dict[str, Any] = {"id": part.id, "type": member, member: inner, **rest_of(part, member)}
        if part.signature is not None:
            call["extra_content"] = write_thought_signature(part.signature, part.extra)
        self._out.setdefault("tool_calls", []).append(call)

    def end(self, members: dict[str, Any]) -> dict[str, Any]:
        """The message, with what else this dialect said in it."""
        content: Any = "".join(self._texts) if self._texts else None
        if self._has_list:
            content = self._list
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self._refusals:
            message["refusal"] = "".join(self._refusals)
        if any(needs_entry(part) for part in self._entries):
            # All of them: who reads entries does not look for further thoughts elsewhere.
            message["reasoning_details"] = [write_entry(part, index) for index, part in enumerate(self._entries)]
        # A host that gives entries may have said the same in a string, which is among the members then.
        if self._thoughts and (self._has_plain_thoughts or not any(name in members for name in STRINGS)):
            message["reasoning_content"] = "\n\n".join(self._thoughts)
        return {**message, **self._out, **members}
