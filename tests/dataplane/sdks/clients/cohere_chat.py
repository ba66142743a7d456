"""Chat through Cohere's SDK, version 2 of the API."""

from __future__ import annotations

import json
from typing import Any, Final

import cohere
from clients.told import QUESTION, SYSTEM, TOOLS, Address, Failed, Told, kept

NAME: Final = "cohere.chat"
FINISH: Final = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "tool_calls": "TOOL_CALL",
    "content_filter": "ERROR_TOXIC",
}
CARRIES: Final = False


@kept
def connect(at: Address) -> cohere.ClientV2:
    """The SDK's client."""
    return cohere.ClientV2(at.key, base_url=at.base, max_retries=0, log_warning_experimental_features=False)


class CohereTalk:
    """Messages grow by the message the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        self._options: dict[str, Any] = {}

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            self._options = {"tools": [{"type": "function", "function": tool} for tool in TOOLS]}
        if limit is not None:
            self._options |= {"max_tokens": limit}
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        for call in self._messages[-1]["tool_calls"]:
            result = results[call["function"]["name"]]
            self._messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        request: dict[str, Any] = {"model": self._model, "messages": self._messages, **self._options}
        if stream:
            message, finish, usage = fold(self._client.chat_stream(**request))
        else:
            answer = self._client.chat(**request)
            message, finish, usage = answer.message.dict(exclude_none=True), answer.finish_reason, answer.usage
        self._messages.append(message)
        content = message.get("content", [])
        return Told(
            "".join(part["text"] for part in content if part["type"] == "text"),
            "".join(part["thinking"] for part in content if part["type"] == "thinking"),
            tuple(
                (call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                for call in message.get("tool_calls", ())
            ),
            finish,
            {}
            if usage is None
            else {
                "input": round(usage.tokens.input_tokens),
                "cached": round(usage.cached_tokens or 0),
                "output": round(usage.tokens.output_tokens),
            },
        )


def fold(events: Any) -> tuple[dict[str, Any], str, Any]:
    """The message, the finish reason and the usage of a stream."""
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    finish, usage = "", None
    for event in events:
        match event.type:
            case "content-start":
                content.append(event.delta.message.content.dict(exclude_none=True))
            case "content-delta":
                for member, piece in event.delta.message.content.dict(exclude_none=True).items():
                    content[-1][member] = content[-1].get(member, "") + piece
            case "tool-call-start":
                calls.append(event.delta.message.tool_calls.dict(exclude_none=True))
            case "tool-call-delta":
                calls[-1]["function"]["arguments"] += event.delta.message.tool_calls.function.arguments
            case "message-end":
                if event.delta.error is not None:
                    raise Failed(event.delta.error)
                finish, usage = event.delta.finish_reason, event.delta.usage
    message: dict[str, Any] = {"role": "assistant"}
    return message | ({"content": content} if content else {}) | ({"tool_calls": calls} if calls else {}), finish, usage


def begin(at: Address, model: str) -> CohereTalk:
    """A new conversation."""
    return CohereTalk(at, model)
