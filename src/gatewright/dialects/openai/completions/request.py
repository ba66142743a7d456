"""Requests for text completions, both ways (platform.openai.com/docs/api-reference/completions/create).

A conversation can only be written into a prompt as a transcript, which is an approximation and told. Lists of prompts
and prompts of tokens are beyond the hub: they go through it whole, for this dialect alone.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    ChatRequest,
    File,
    Image,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.fields import Fields
from gatewright.core.loss import Feature, LossReport, tell_foreign, tell_native
from gatewright.core.traits import Traits
from gatewright.dialects.openai.chat.read_request import read_sampling
from gatewright.dialects.openai.chat.words import extended, own
from gatewright.dialects.openai.chat.write_request import write_sampling
from gatewright.wire.json_object import JsonObject, render_json

NAME: Final = "openai.completions"
_MEDIA: Final[dict[type, Feature]] = {
    Image: Feature.IMAGE_DATA,
    Audio: Feature.AUDIO,
    Video: Feature.VIDEO,
    File: Feature.DOCUMENT,
}
_SPEAKERS: Final = {"system": "System", "developer": "System", "user": "User", "assistant": "Assistant"}


def decode_request(fields: Fields, model: str, stream: bool) -> ChatRequest:
    """Read a request. Raises GatewayError (malformed_request)."""
    body = JsonObject(fields)
    body.drop("model", "stream")
    options = body.object("stream_options")
    include_usage = options is not None and options.boolean("include_usage") is True
    rest = None if options is None else options.rest(NAME)
    alternatives = body.integer("logprobs")
    sampling = msgspec.structs.replace(
        read_sampling(body),
        logprobs=None if alternatives is None else True,
        top_logprobs=alternatives,
    )
    request = ChatRequest(
        model=model,
        messages=_read_prompt(body),
        sampling=sampling,
        max_output_tokens=body.integer("max_tokens"),
        user=body.string("user"),
        stream=stream,
        include_usage=include_usage,
    )
    extra = body.rest(NAME)
    if rest is not None:
        extra = extended(extra, NAME, stream_options=render_json(rest.members))
    return msgspec.structs.replace(request, extra=extra)


def _read_prompt(body: JsonObject) -> tuple[Message, ...]:
    raw = body.peek("prompt")
    part: Part
    if raw is None:
        body.drop("prompt")
        return ()
    if bytes(raw)[:1] == b'"':
        part = Text(text=body.required_string("prompt"))
    else:
        items = body.items("prompt") or []
        if len(items) == 1 and bytes(items[0])[:1] == b'"':
            text = JsonObject({"prompt": items[0]}).required_string("prompt")
            part = Text(text=text, extra=extended(None, NAME, form="list"))
        else:
            kind = "list of prompts" if items and bytes(items[0])[:1] == b'"' else "prompt of tokens"
            part = Native(dialect=NAME, kind=kind, raw=raw)
    return (Message(role="user", parts=(part,)),)


def encode_request(request: ChatRequest, traits: Traits, report: LossReport) -> dict[str, Any]:
    """Write a request; what only chats can do is told to the report."""
    members: dict[str, Any] = {"model": request.model}
    prompt = _write_prompt(request, report)
    if prompt is not None:
        members["prompt"] = prompt
    members |= write_sampling(request, traits, report)
    members.pop("top_logprobs", None)
    if request.sampling.logprobs:
        members["logprobs"] = request.sampling.top_logprobs or 0
    else:
        members.pop("logprobs", None)
    if request.max_output_tokens is not None:
        members["max_tokens"] = request.max_output_tokens
    if request.user is not None:
        members["user"] = request.user
    _refuse(request, report)
    members |= own(request.extra, NAME)
    if request.stream:
        members["stream"] = True
        options = members.get("stream_options")
        rest = JsonObject.parse(options).rest(NAME) if isinstance(options, Raw) else None
        members["stream_options"] = {**({} if rest is None else rest.members), "include_usage": True}
    return members


def _refuse(request: ChatRequest, report: LossReport) -> None:
    """Tell of everything that a text completion has no word for."""
    for index, _ in enumerate(request.tools):
        report.refused(Feature.TOOLS, f"tools[{index}]", "text completions call no tools")
    form = request.response_format
    if form is not None and form.kind != "text":
        feature = Feature.JSON_SCHEMA if form.kind == "json_schema" else Feature.JSON_MODE
        report.refused(feature, "response_format", "text completions have no output format")
    if request.modalities and request.modalities != ("text",):
        report.refused(Feature.MODALITIES, "modalities", "text completions answer in text")
    hints = {
        Feature.REASONING_EFFORT: ("reasoning", request.reasoning),
        Feature.VERBOSITY: ("verbosity", request.verbosity),
        Feature.METADATA: ("metadata", request.metadata),
        Feature.SERVICE_TIER: ("service_tier", request.service_tier),
        Feature.STORE: ("store", request.store),
        Feature.CACHE_MARK: ("cache", request.cache),
        Feature.CACHE_KEY: ("cache_key", request.cache_key),
    }
    for hint, (path, value) in hints.items():
        if value is not None:
            report.dropped(hint, path, "text completions have no such member")
    tell_foreign(request.extra, NAME, report)


def _write_prompt(request: ChatRequest, report: LossReport) -> Any:
    messages = request.messages
    if not messages:
        return None
    if len(messages) == 1 and messages[0].role == "user":
        parts = messages[0].parts
        if len(parts) == 1 and isinstance(parts[0], Native) and parts[0].dialect == NAME:
            return parts[0].raw
        text = _text_of(messages[0], "messages[0]", report)
        is_list = len(parts) == 1 and "form" in own(getattr(parts[0], "extra", None), NAME)
        return [text] if is_list else text
    report.approximated(Feature.SYSTEM, "messages", "the conversation is written into the prompt as a transcript")
    turns = [
        f"{_SPEAKERS[message.role]}: {_text_of(message, f'messages[{index}]', report)}"
        for index, message in enumerate(messages)
    ]
    if messages[-1].role != "assistant":
        turns.append("Assistant:")
    return "\n\n".join(turns)


def _text_of(message: Message, path: str, report: LossReport) -> str:
    if message.name is not None:
        report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "a prompt names no speakers")
    texts = []
    for index, part in enumerate(message.parts):
        where = f"{path}.parts[{index}]"
        match part:
            case Text() | Refusal():
                texts.append(part.text)
                _tell_text(part, where, report)
            case Reasoning():
                report.dropped(Feature.REASONING_REPLAY, where, "a prompt holds no thoughts")
            case ToolCall() | ToolResult():
                report.refused(Feature.TOOLS, where, "text completions call no tools")
            case Native():
                tell_native(part, message.role, where, report)
            case _:
                report.refused(_MEDIA[type(part)], where, "a prompt holds only text")
    return "".join(texts)


def _tell_text(part: Text | Refusal, path: str, report: LossReport) -> None:
    if isinstance(part, Refusal):
        return
    if part.cache is not None:
        report.dropped(Feature.CACHE_MARK, path, "text completions have no such member")
    if part.citations:
        report.dropped(Feature.CITATIONS, path, "a prompt holds no citations")
    if part.signature is not None:
        report.dropped(Feature.REASONING_REPLAY, path, "a prompt holds no signatures")
