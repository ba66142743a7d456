"""The vendors' own clients as judges: whether they take what is written for them, and what they then read in it.

One judge per chat dialect. `answer` gives what the vendor's types hold of a complete answer, `events` has each event of
a stream parsed by them, `request` checks a request body against what the vendor's client would send.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import botocore.session
import cohere
import ollama
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as MessageParams
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import EventStreamJSONParser, create_parser
from botocore.validate import ParamValidator
from google.genai import types as genai
from ollama._types import ChatRequest as OllamaRequest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as ChatParams
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming as CompletionParams
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming as ResponseParams
from pydantic import TypeAdapter

_SERVICE = botocore.session.get_session().get_service_model("bedrock-runtime")


@dataclass(frozen=True)
class View:
    """What an answer says to whoever reads it through the vendor's client."""

    text: str
    """Words of refusal are text, where the API has no other place for them."""
    reasoning: str
    calls: list[tuple[str, Any]]
    """`(name, arguments)`, arguments as JSON values, or the free text that a custom tool takes."""
    finish: str
    tokens: tuple[int, int]
    """All input and all output, by the vendor's rule of counting."""
    ids: list[str] = field(default_factory=list)
    is_refused: bool = False


@dataclass(frozen=True)
class Judge:
    """How one vendor's client takes what is written for it. Every member raises when it does not."""

    answer: Callable[[bytes], View]
    event: Callable[[bytes], object]
    """One event of a stream, as it stands on the wire, without framing where that is text."""
    request: Callable[[dict[str, Any]], object]


def _openai_chat(body: bytes) -> View:
    answer = ChatCompletion.model_validate_json(body)
    choice = answer.choices[0]
    message = choice.message
    calls: list[tuple[str, Any]] = []
    for call in message.tool_calls or ():
        if call.type == "function":
            calls.append((call.function.name, json.loads(call.function.arguments)))
        else:
            calls.append((call.custom.name, call.custom.input))
    usage = answer.usage
    return View(
        text=(message.content or "") + (message.refusal or ""),
        reasoning=getattr(message, "reasoning_content", None) or "",
        calls=calls,
        finish=choice.finish_reason,
        tokens=(usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0),
        ids=[call.id for call in message.tool_calls or ()],
    )


def _openai_completion(body: bytes) -> View:
    answer = Completion.model_validate_json(body)
    usage = answer.usage
    return View(
        text=answer.choices[0].text,
        reasoning="",
        calls=[],
        finish=answer.choices[0].finish_reason,
        tokens=(usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0),
    )


def _openai_response(body: bytes) -> View:
    answer = Response.model_validate_json(body)
    text, reasoning, calls, ids = "", "", [], []
    for item in answer.output:
        match item.type:
            case "message":
                text += "".join(part.text if part.type == "output_text" else part.refusal for part in item.content)
            case "reasoning":
                reasoning += "".join(part.text for part in item.content or item.summary)
            case "function_call":
                calls.append((item.name, json.loads(item.arguments)))
                ids.append(item.call_id)
            case "custom_tool_call":
                calls.append((item.name, item.input))
                ids.append(item.call_id)
    usage = answer.usage
    details = answer.incomplete_details
    return View(
        text=text,
        reasoning=reasoning,
        calls=calls,
        finish=(details.reason if details and details.reason else answer.status) or "",
        tokens=(usage.input_tokens, usage.output_tokens) if usage else (0, 0),
        ids=ids,
    )


def _anthropic(body: bytes) -> View:
    answer = Message.model_validate_json(body)
    usage = answer.usage
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    return View(
        text="".join(block.text for block in answer.content if block.type == "text"),
        reasoning="".join(block.thinking for block in answer.content if block.type == "thinking"),
        calls=[(block.name, block.input) for block in answer.content if block.type == "tool_use"],
        finish=answer.stop_reason or "",
        tokens=(usage.input_tokens + cached, usage.output_tokens),
        ids=[block.id for block in answer.content if block.type == "tool_use"],
    )


def _gemini(body: bytes) -> View:
    answer = genai.GenerateContentResponse.model_validate_json(body)
    candidate = (answer.candidates or [])[0]
    parts = (candidate.content.parts if candidate.content else None) or []
    calls = [part.function_call for part in parts if part.function_call]
    usage = answer.usage_metadata or genai.GenerateContentResponseUsageMetadata()
    return View(
        text="".join(part.text or "" for part in parts if not part.thought),
        reasoning="".join(part.text or "" for part in parts if part.thought),
        calls=[(call.name or "", call.args or {}) for call in calls],
        finish=candidate.finish_reason.value if candidate.finish_reason else "",
        tokens=(
            (usage.prompt_token_count or 0) + (usage.tool_use_prompt_token_count or 0),
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        ),
        ids=[call.id or "" for call in calls],
    )


def _converse(body: bytes) -> View:
    shape = _SERVICE.operation_model("Converse").output_shape
    answer = create_parser("rest-json").parse({"body": body, "headers": {}, "status_code": 200}, shape)
    content = answer["output"]["message"]["content"]
    assert all(len(block) == 1 for block in content), "a block of a kind that the client does not know"
    usage = answer.get("usage") or {"inputTokens": 0, "outputTokens": 0}
    uses = [block["toolUse"] for block in content if "toolUse" in block]
    thoughts = [block["reasoningContent"].get("reasoningText", {}) for block in content if "reasoningContent" in block]
    return View(
        text="".join(block.get("text", "") + _cited(block.get("citationsContent", {})) for block in content),
        reasoning="".join(thought.get("text", "") for thought in thoughts),
        calls=[(use["name"], use["input"]) for use in uses],
        finish=answer["stopReason"],
        tokens=(
            usage["inputTokens"] + usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0),
            usage["outputTokens"],
        ),
        ids=[use["toolUseId"] for use in uses],
    )


def _cited(block: dict[str, Any]) -> str:
    return "".join(piece["text"] for piece in block.get("content", ()))


def _converse_event(event: bytes) -> object:
    buffer = EventStreamBuffer()
    buffer.add_data(event)
    (message,) = list(buffer)
    shape = _SERVICE.operation_model("ConverseStream").output_shape.members["stream"]
    parsed = EventStreamJSONParser().parse(message.to_response_dict(), shape)
    assert parsed, "an event of a kind that the client does not know"
    return parsed


def _converse_request(body: dict[str, Any]) -> None:
    shape = _SERVICE.operation_model("Converse").input_shape
    report = ParamValidator().validate({"modelId": "m", **body}, shape)
    assert not report.has_errors(), report.generate_report()


def _cohere(body: bytes) -> View:
    answer = TypeAdapter(cohere.V2ChatResponse).validate_json(body)
    message = answer.message
    usage = answer.usage
    tokens = usage.tokens if usage else None
    calls = message.tool_calls or []
    return View(
        text="".join(part.text for part in message.content or () if part.type == "text"),
        reasoning="".join(part.thinking for part in message.content or () if part.type == "thinking"),
        calls=[
            (call.function.name or "", json.loads(call.function.arguments or "{}")) for call in calls if call.function
        ],
        finish=answer.finish_reason,
        tokens=(int(tokens.input_tokens or 0), int(tokens.output_tokens or 0)) if tokens else (0, 0),
        ids=[call.id for call in calls],
    )


def _ollama(body: bytes) -> View:
    answer = ollama.ChatResponse.model_validate_json(body)
    message = answer.message
    return View(
        text=message.content or "",
        reasoning=message.thinking or "",
        calls=[(call.function.name, call.function.arguments) for call in message.tool_calls or ()],
        finish=answer.done_reason or "",
        tokens=(answer.prompt_eval_count or 0, answer.eval_count or 0),
    )


def _gemini_request(body: dict[str, Any]) -> None:
    """The client writes its configuration's members into two places of the body."""
    inner = {name: value for name, value in body.items() if name not in ("contents", "generationConfig", "model")}
    genai.GenerateContentConfig.model_validate({**body.get("generationConfig", {}), **inner})
    TypeAdapter(list[genai.Content]).validate_python(body["contents"])


def _responses_request(body: dict[str, Any]) -> None:
    """The API defaults members of input items that the client's types demand: a picture's detail, and what only an
    answer's message has of its own."""
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") == "input_image":
                part.setdefault("detail", "auto")
            elif part.get("type") == "output_text":
                part.setdefault("annotations", [])
                item.setdefault("type", "message")
                item.setdefault("id", "msg_1")
                item.setdefault("status", "completed")
    _RESPONSES_PARAMS(body)


def _typed(params: Any) -> Callable[[dict[str, Any]], object]:
    adapter: TypeAdapter[Any] = TypeAdapter(params)
    return lambda body: _drained(adapter.validate_python(body))


def _drained(value: Any) -> Any:
    """Takes everything out of lists that pydantic checks only when they are read."""
    if isinstance(value, dict):
        return {name: _drained(inner) for name, inner in value.items()}
    if isinstance(value, str | bytes) or not hasattr(value, "__iter__"):
        return value
    return [_drained(inner) for inner in value]


def _event_of(model: Any) -> Callable[[bytes], object]:
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    return adapter.validate_json


def _completion_event(data: bytes) -> object:
    """The client's type knows no chunk before the last: its reason is null, in OpenAI's own streams too."""
    chunk = json.loads(data)
    for choice in chunk["choices"]:
        choice["finish_reason"] = choice["finish_reason"] or "stop"
    return Completion.model_validate(chunk)


def _anthropic_event(data: bytes) -> object:
    """The client leaves pings out before it reads events into types."""
    return None if json.loads(data) == {"type": "ping"} else _RAW_EVENT.validate_json(data)


_RAW_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)

_RESPONSES_PARAMS = _typed(ResponseParams)

JUDGES: dict[str, Judge] = {
    "openai.chat": Judge(_openai_chat, _event_of(ChatCompletionChunk), _typed(ChatParams)),
    "openai.responses": Judge(_openai_response, _event_of(ResponseStreamEvent), _responses_request),
    "openai.completions": Judge(_openai_completion, _completion_event, _typed(CompletionParams)),
    "anthropic.messages": Judge(_anthropic, _anthropic_event, _typed(MessageParams)),
    "google.generate_content": Judge(_gemini, _event_of(genai.GenerateContentResponse), _gemini_request),
    "bedrock.converse": Judge(_converse, _converse_event, _converse_request),
    "cohere.chat": Judge(_cohere, _event_of(cohere.V2ChatStreamResponse), lambda body: None),
    "ollama.chat": Judge(_ollama, _event_of(ollama.ChatResponse), _typed(OllamaRequest)),
}
