"""generateContent through google-genai, with thoughts asked for and functions called by hand."""

from __future__ import annotations

from typing import Any, Final

from clients.told import QUESTION, SYSTEM, TOOLS, Address, Told, kept
from google import genai
from google.genai import types

NAME: Final = "google.generate_content"
FINISH: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
CARRIES: Final = True


@kept
def connect(at: Address) -> genai.Client:
    """The SDK's client."""
    return genai.Client(api_key=at.key, http_options=types.HttpOptions(base_url=at.base))


class GenerateTalk:
    """Contents grow by the parts the SDK gave."""

    def __init__(self, at: Address, model: str) -> None:
        self._client, self._model = connect(at), model
        self._contents: list[Any] = [types.Content(role="user", parts=[types.Part(text=QUESTION)])]
        self._tools: list[Any] = []
        self._limit: int | None = None

    def ask(self, *, stream: bool, tools: bool = False, limit: int | None = None) -> Told:
        if tools:
            declarations = [
                types.FunctionDeclaration(
                    name=tool["name"], description=tool["description"], parameters_json_schema=tool["parameters"]
                )
                for tool in TOOLS
            ]
            self._tools = [types.Tool(function_declarations=declarations)]
        self._limit = limit
        return self._send(stream=stream)

    def answer(self, results: dict[str, str], *, stream: bool) -> Told:
        called = [part.function_call for part in self._contents[-1].parts if part.function_call]
        parts = [
            types.Part(
                function_response=types.FunctionResponse(
                    id=call.id, name=call.name, response={"result": results[call.name]}
                )
            )
            for call in called
        ]
        self._contents.append(types.Content(role="user", parts=parts))
        return self._send(stream=stream)

    def _send(self, *, stream: bool) -> Told:
        config = types.GenerateContentConfig(
            system_instruction=SYSTEM,
            tools=self._tools or None,
            max_output_tokens=self._limit,
            thinking_config=types.ThinkingConfig(include_thoughts=True),
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        request: dict[str, Any] = {"model": self._model, "contents": self._contents, "config": config}
        if stream:
            answers = list(self._client.models.generate_content_stream(**request))
        else:
            answers = [self._client.models.generate_content(**request)]
        candidates = [answer.candidates[0] for answer in answers if answer.candidates]
        parts = [part for one in candidates if one.content for part in one.content.parts or ()]
        self._contents.append(types.Content(role="model", parts=parts))
        usage: Any = answers[-1].usage_metadata
        finish: Any = candidates[-1].finish_reason
        thinking = usage.thoughts_token_count or 0 if usage else 0
        calls = [part.function_call for part in parts if part.function_call]
        return Told(
            "".join(part.text for part in parts if part.text and not part.thought),
            "".join(part.text for part in parts if part.text and part.thought),
            tuple((call.id or call.name or "", call.name or "", call.args) for call in calls),
            finish.value,
            {}
            if usage is None
            else {
                "input": usage.prompt_token_count,
                "cached": usage.cached_content_token_count or 0,
                "output": (usage.candidates_token_count or 0) + thinking,
                "reasoning": thinking,
            },
        )


def begin(at: Address, model: str) -> GenerateTalk:
    """A new conversation."""
    return GenerateTalk(at, model)
