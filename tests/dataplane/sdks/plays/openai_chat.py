"""A provider of chat completions (platform.openai.com/docs/api-reference/chat); thoughts are told as DeepSeek does."""

from __future__ import annotations

import json
from typing import Any, Final

from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from plays.checked import checker
from plays.facts import COUNTS, FAULT_TEXT, WAIT_S, Play, Turn, render_id

from gatewright.testing import answers

NAME: Final = "openai.chat"
TYPE: Final = "openai_compatible"
BASE: Final = "/chat/v1"
SIGNATURE: Final = None
LACKS: Final = frozenset[str]()
COUNTED: Final = frozenset(("input", "cached", "output", "reasoning"))
STREAM_TYPE: Final = "text/event-stream"

_check = checker(CompletionCreateParamsNonStreaming)


def check(body: Any, path: str) -> None:
    """As OpenAI's own types have it; results follow the calls they answer."""
    if path != BASE + "/chat/completions":
        raise ValueError(path)
    _check({name: value for name, value in body.items() if name not in ("stream", "stream_options")})
    open_ids: set[str] = set()
    for message in body["messages"]:
        if message["role"] == "tool":
            open_ids.remove(message["tool_call_id"])
        elif open_ids:
            raise ValueError(f"no result for {open_ids}")
        for call in message.get("tool_calls", ()):
            json.loads(call["function"]["arguments"])
            open_ids.add(call["id"])


def usage(play: Play) -> dict[str, Any]:
    """As the usage object counts."""
    return {
        "prompt_tokens": COUNTS.input,
        "completion_tokens": COUNTS.output,
        "total_tokens": COUNTS.input + COUNTS.output,
        "prompt_tokens_details": {"cached_tokens": COUNTS.cached},
        "completion_tokens_details": {"reasoning_tokens": COUNTS.reasoning if play.thought else 0},
    }


def _calls(play: Play) -> list[dict[str, Any]]:
    return [
        {
            "id": render_id(index),
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(play.calls)
    ]


def render(play: Play, model: str) -> bytes:
    """A complete answer."""
    message: dict[str, Any] = {"role": "assistant", "content": play.text or None, "refusal": None}
    if play.thought:
        message["reasoning_content"] = "".join(play.thought)
    if play.calls:
        message["tool_calls"] = _calls(play)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": play.finish}
    return json.dumps(_envelope(model) | {"choices": [choice], "usage": usage(play)}).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """Thoughts, words, then the calls with their arguments in two pieces."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in play.thought]
    deltas += [{"content": word} for word in play.words]
    for index, call in enumerate(_calls(play)):
        arguments = call["function"]["arguments"]
        deltas.append({"tool_calls": [call | {"index": index, "function": {**call["function"], "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
            for piece in (arguments[:5], arguments[5:])
        ]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None} for delta in deltas
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": play.finish}], "usage": None})
    chunks.append({"choices": [], "usage": usage(play)})
    events = [json.dumps(_envelope(model, ".chunk") | chunk).encode() for chunk in chunks]
    return [answers.sse(event) for event in (*events, b"[DONE]")]


def fault_event() -> bytes:
    """An error object in the stream."""
    return answers.sse(error(500, FAULT_TEXT)[0])


def error(status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
    """In OpenAI's shape, which tells the wait in a header."""
    code = {429: "rate_limit_exceeded"}.get(status)
    headers = [("retry-after", str(WAIT_S))] if status == 429 else []
    return answers.error(message, "requests" if code else "server_error", code), headers


def read(body: Any) -> Turn:
    """Calls and results of the messages."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls", ())]
    results = [message for message in body["messages"] if message["role"] == "tool"]
    return Turn(
        tuple((c["id"], c["function"]["name"], json.loads(c["function"]["arguments"])) for c in calls),
        tuple((result["tool_call_id"], _text(result["content"])) for result in results),
        (),
        tuple(tool["function"]["name"] for tool in body.get("tools", ())),
    )


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _envelope(model: str, suffix: str = "") -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": f"chat.completion{suffix}", "created": 1_700_000_000, "model": model}
