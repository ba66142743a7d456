"""Chat through Ollama's own client."""

from __future__ import annotations

from typing import Any, Final

from clients.told import QUESTION, SYSTEM, TOOLS, Address, Told, kept
from ollama import Client

NAME: Final = "ollama.chat"
FINISH: Final = {"stop": "stop", "length": "length", "tool_calls": "stop", "content_filter": "content_filter"}
CARRIES: Final = False


@kept
def connect(at: Address) -> Client:
    """The SDK's client."""
    return Client(host=at.base, headers={"authorization": f"Bearer {at.key}"})


class OllamaTalk:
    """Messages grow by the message the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._messages: list[Any] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
        self._options: dict[str, Any] = {}

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            self._options = {"tools": [{"type": "function", "function": tool} for tool in TOOLS]}
        if limit is not None:
            self._options |= {"options": {"num_predict": limit}}
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        for call in self._messages[-1]["tool_calls"]:
            name = call["function"]["name"]
            self._messages.append({"role": "tool", "tool_name": name, "content": results[name]})
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        request: dict[str, Any] = {"model": self._model, "messages": self._messages, "think": True, **self._options}
        answers: list[Any] = (
            list(self._client.chat(**request, stream=True)) if stream else [self._client.chat(**request)]
        )
        text = "".join(answer.message.content or "" for answer in answers)
        thought = "".join(answer.message.thinking or "" for answer in answers)
        calls = [call.model_dump(exclude_none=True) for answer in answers for call in answer.message.tool_calls or ()]
        message: dict[str, Any] = {"role": "assistant", "content": text, "tool_calls": calls}
        if thought:
            message["thinking"] = thought
        self._messages.append(message)
        last = answers[-1]
        assert last.done
        return Told(
            text,
            thought,
            tuple((c["function"]["name"], c["function"]["name"], c["function"]["arguments"]) for c in calls),
            last.done_reason,
            {"input": last.prompt_eval_count, "output": last.eval_count},
        )


def begin(at: Address, model: str) -> OllamaTalk:
    """A new conversation."""
    return OllamaTalk(at, model)
