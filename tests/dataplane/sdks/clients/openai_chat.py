"""Chat completions through the OpenAI SDK."""

from __future__ import annotations

import json
from typing import Any, Final

from clients.told import QUESTION, SYSTEM, TOOLS, Address, Told, kept
from openai import OpenAI
from openai.types.chat import ChatCompletion

NAME: Final = "openai.chat"
FINISH: Final = {name: name for name in ("stop", "length", "tool_calls", "content_filter")}
CARRIES: Final = True


@kept
def connect(at: Address) -> OpenAI:
    """The SDK's client."""
    return OpenAI(base_url=f"{at.base}/v1", api_key=at.key, max_retries=0)


class ChatTalk:
    """Messages grow by what the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        self._options: dict[str, Any] = {}

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            self._options = {"tools": [{"type": "function", "function": tool} for tool in TOOLS]}
        if limit is not None:
            self._options |= {"max_completion_tokens": limit}
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        for call in self._messages[-1]["tool_calls"]:
            result = results[call["function"]["name"]]
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        request: dict[str, Any] = {"model": self._model, "messages": self._messages, **self._options}
        if stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
            answer: Any = fold(self._client.chat.completions.create(**request))
        else:
            answer = self._client.chat.completions.create(**request)
        (choice,) = answer.choices
        message = choice.message.model_dump(exclude_none=True)
        message.pop("parsed", None)
        for call in message.get("tool_calls", ()):
            call["function"].pop("parsed_arguments", None)
        self._messages.append(message)
        usage = answer.usage
        return Told(
            choice.message.content or "",
            message.get("reasoning_content", ""),
            tuple(
                (call.id, call.function.name, json.loads(call.function.arguments))
                for call in choice.message.tool_calls or ()
            ),
            choice.finish_reason,
            {}
            if usage is None
            else {
                "input": usage.prompt_tokens,
                "cached": usage.prompt_tokens_details.cached_tokens or 0 if usage.prompt_tokens_details else 0,
                "output": usage.completion_tokens,
            },
        )


def fold(chunks: Any) -> ChatCompletion:
    """The answer of a stream. The SDK's own accumulator raises on the finish reasons `length` and `content_filter`."""
    message: dict[str, Any] = {"role": "assistant"}
    choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": None}
    last: Any = None
    for last in chunks:
        for piece in last.choices:
            _grow(message, piece.delta.model_dump(exclude_none=True, exclude={"role"}))
            choice["finish_reason"] = piece.finish_reason or choice["finish_reason"]
    envelope = {"id": last.id, "created": last.created, "model": last.model, "object": "chat.completion"}
    return ChatCompletion.model_validate(envelope | {"choices": [choice], "usage": last.usage})


def _grow(message: dict[str, Any], delta: dict[str, Any]) -> None:
    """Text is appended, entries of lists are found by their index, all else is set."""
    for name, value in delta.items():
        if isinstance(value, str) and name not in ("id", "type", "format"):
            message[name] = message.get(name, "") + value
        elif isinstance(value, dict):
            _grow(message.setdefault(name, {}), value)
        elif isinstance(value, list):
            entries = message.setdefault(name, [])
            for entry in value:
                while len(entries) <= entry["index"]:
                    entries.append({})
                _grow(entries[entry.pop("index")], entry)
        else:
            message[name] = value


def begin(at: Address, model: str) -> ChatTalk:
    """A new conversation."""
    return ChatTalk(at, model)
