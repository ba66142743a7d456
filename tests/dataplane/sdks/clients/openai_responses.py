"""The Responses API through the OpenAI SDK, without state at the vendor: thoughts come encrypted and go back."""

from __future__ import annotations

import json
from typing import Any, Final

from clients.openai_chat import connect
from clients.told import QUESTION, SYSTEM, TOOLS, Address, Failed, Told

NAME: Final = "openai.responses"
FINISH: Final = {
    "stop": "completed",
    "length": "max_output_tokens",
    "tool_calls": "completed",
    "content_filter": "content_filter",
}
CARRIES: Final = True


class ResponsesTalk:
    """Input items grow by the output items the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._input: list[Any] = [{"role": "user", "content": QUESTION}]
        self._output: list[Any] = []
        self._options: dict[str, Any] = {}

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            self._options = {"tools": [{"type": "function", "strict": False, **tool} for tool in TOOLS]}
        if limit is not None:
            self._options |= {"max_output_tokens": limit}
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        self._input += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in self._output]
        for item in self._output:
            if item.type == "function_call":
                result = {"type": "function_call_output", "call_id": item.call_id, "output": results[item.name]}
                self._input.append(result)
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        request: dict[str, Any] = {
            "model": self._model,
            "instructions": SYSTEM,
            "input": self._input,
            "store": False,
            "include": ["reasoning.encrypted_content"],
            **self._options,
        }
        if stream:
            with self._client.responses.stream(**request) as events:
                # Not `get_final_response`, which raises when the response is incomplete.
                answer: Any = list(events)[-1].response  # type: ignore[union-attr]
        else:
            answer = self._client.responses.create(**request)
        if answer.error is not None:
            raise Failed(answer.error.message)
        self._output = answer.output
        thoughts = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary]
        thoughts += [part.text for item in answer.output if item.type == "reasoning" for part in item.content or ()]
        return Told(
            answer.output_text,
            "".join(thoughts),
            tuple(
                (item.call_id, item.name, json.loads(item.arguments))
                for item in answer.output
                if item.type == "function_call"
            ),
            answer.incomplete_details.reason if answer.incomplete_details else answer.status,
            {}
            if answer.usage is None
            else {
                "input": answer.usage.input_tokens,
                "cached": answer.usage.input_tokens_details.cached_tokens,
                "output": answer.usage.output_tokens,
                "reasoning": answer.usage.output_tokens_details.reasoning_tokens,
            },
        )


def begin(at: Address, model: str) -> ResponsesTalk:
    """A new conversation."""
    return ResponsesTalk(at, model)
