"""Messages through the Anthropic SDK, with thinking asked for."""

from __future__ import annotations

from typing import Any, Final

from anthropic import Anthropic
from clients.told import QUESTION, SYSTEM, TOOLS, Address, Told, kept

NAME: Final = "anthropic.messages"
FINISH: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
CARRIES: Final = True


@kept
def connect(at: Address) -> Anthropic:
    """The SDK's client."""
    return Anthropic(base_url=at.base, api_key=at.key, max_retries=0)


class MessagesTalk:
    """Messages grow by the content blocks the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._messages: list[Any] = [{"role": "user", "content": QUESTION}]
        self._options: dict[str, Any] = {
            "max_tokens": 4096,
            "thinking": {"type": "enabled", "budget_tokens": 1024},
        }

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            tool_list = [{"input_schema": t["parameters"], **{k: t[k] for k in ("name", "description")}} for t in TOOLS]
            self._options["tools"] = tool_list
        if limit is not None:
            self._options |= {"max_tokens": limit, "thinking": {"type": "disabled"}}
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        blocks = [
            {"type": "tool_result", "tool_use_id": block.id, "content": results[block.name]}
            for block in self._messages[-1]["content"]
            if block.type == "tool_use"
        ]
        self._messages.append({"role": "user", "content": blocks})
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        request: dict[str, Any] = {
            "model": self._model,
            "system": SYSTEM,
            "messages": self._messages,
            **self._options,
        }
        if stream:
            with self._client.messages.stream(**request) as events:
                text = "".join(events.text_stream)
                answer: Any = events.get_final_message()
            assert text == _join(answer.content, "text")
        else:
            answer = self._client.messages.create(**request)
        self._messages.append({"role": "assistant", "content": answer.content})
        usage = answer.usage
        cached = usage.cache_read_input_tokens or 0
        return Told(
            _join(answer.content, "text"),
            _join(answer.content, "thinking"),
            tuple((block.id, block.name, block.input) for block in answer.content if block.type == "tool_use"),
            answer.stop_reason,
            {
                "input": usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
                "cached": cached,
                "output": usage.output_tokens,
            },
        )


def _join(blocks: Any, kind: str) -> str:
    return "".join(getattr(block, kind) for block in blocks if block.type == kind)


def begin(at: Address, model: str) -> MessagesTalk:
    """A new conversation."""
    return MessagesTalk(at, model)
