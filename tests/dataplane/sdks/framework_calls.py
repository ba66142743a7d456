"""What applications are written in, against a gateway: run by the frameworks' own interpreter, prints what each told.

`python framework_calls.py BASE KEY NAME…`: for each name the models `NAME-text` and `NAME-call` are called.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import litellm
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.llms.openai import OpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

QUESTION = "How is the weather in Zürich?"
RESULT = "21 degrees"
BASE, KEY, *NAMES = sys.argv[1:]


def get_weather(city: str, days: int, units: dict[str, str]) -> str:
    """The weather of some days."""
    return RESULT


class AnyModel(OpenAI):
    """Of a model by an unknown name LlamaIndex must be told what it is."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True, is_function_calling_model=True)


def langchain(name: str) -> Iterator[tuple[str, Any]]:
    def connect(play: str) -> ChatOpenAI:
        return ChatOpenAI(model=f"{name}-{play}", base_url=f"{BASE}/v1", api_key=KEY, max_retries=0)

    text = connect("text")
    answer = text.invoke(QUESTION)
    yield "text", answer.content
    yield "usage", [answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]]
    yield "stream", "".join(chunk.content for chunk in text.stream(QUESTION))
    bound = connect("call").bind_tools([get_weather])
    messages: list[Any] = [HumanMessage(QUESTION)]
    messages.append(bound.invoke(messages))
    (call,) = messages[-1].tool_calls
    yield "arguments", call["args"]
    messages.append(ToolMessage(RESULT, tool_call_id=call["id"]))
    yield "done", bound.invoke(messages).content


def llama_index(name: str) -> Iterator[tuple[str, Any]]:
    def connect(play: str) -> AnyModel:
        return AnyModel(model=f"{name}-{play}", api_base=f"{BASE}/v1", api_key=KEY, max_retries=0)

    messages = [ChatMessage(role="user", content=QUESTION)]
    yield "text", connect("text").chat(messages).message.content
    yield "stream", "".join(chunk.delta or "" for chunk in connect("text").stream_chat(messages))


def pydantic_ai(name: str) -> Iterator[tuple[str, Any]]:
    # Its Anthropic model fails inside itself with the SDK it is locked with, so only OpenAI's two APIs are called.
    openai = OpenAIProvider(base_url=f"{BASE}/v1", api_key=KEY)
    kinds: dict[str, Callable[[str], Any]] = {
        "chat": lambda play: OpenAIChatModel(f"{name}-{play}", provider=openai),
        "responses": lambda play: OpenAIResponsesModel(f"{name}-{play}", provider=openai),
    }
    for kind, connect in kinds.items():
        answer = Agent(connect("text")).run_sync(QUESTION)
        yield f"{kind} text", answer.output
        yield f"{kind} usage", [answer.usage.input_tokens, answer.usage.output_tokens]
        stream = Agent(connect("text")).run_stream_sync(QUESTION)
        yield f"{kind} stream", "".join(stream.stream_text(delta=True, debounce_by=None))
        yield f"{kind} done", Agent(connect("call"), tools=[get_weather]).run_sync(QUESTION).output


def lite_llm(name: str) -> Iterator[tuple[str, Any]]:
    messages = [{"role": "user", "content": QUESTION}]
    for kind, base in (("openai", f"{BASE}/v1"), ("anthropic", BASE)):
        told: dict[str, Any] = {"model": f"{kind}/{name}-text", "api_base": base, "api_key": KEY, "max_retries": 0}
        answer = litellm.completion(messages=messages, **told)
        yield f"{kind} text", answer.choices[0].message.content
        yield f"{kind} usage", [answer.usage.prompt_tokens, answer.usage.completion_tokens]
        chunks = litellm.completion(messages=messages, stream=True, **told)
        yield f"{kind} stream", "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def main() -> None:
    results: dict[str, dict[str, Any]] = {}
    for framework in (langchain, llama_index, pydantic_ai, lite_llm):
        for name in NAMES:
            told = results.setdefault(f"{framework.__name__} {name}", {})
            try:
                for what, value in framework(name):
                    told[what] = value
            except Exception:
                told["failed"] = traceback.format_exc()[-1500:]
    print(json.dumps(results))


main()
