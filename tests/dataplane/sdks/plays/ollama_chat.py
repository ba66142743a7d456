"""An Ollama server (docs.ollama.com/api/chat), which counts no cached tokens and has no word for a refusal."""

from __future__ import annotations

import json
from typing import Any, Final

from ollama._types import ChatRequest
from plays.facts import COUNTS, FAULT_TEXT, WAIT_S, Play, Turn
from pydantic import ValidationError

NAME: Final = "ollama.chat"
TYPE: Final = "ollama"
BASE: Final = "/ollama"
SIGNATURE: Final = None
LACKS: Final = frozenset(("refuses",))
COUNTED: Final = frozenset(("input", "output"))
STREAM_TYPE: Final = "application/x-ndjson"
FINISH: Final = {"stop": "stop", "length": "length", "tool_calls": "stop"}


def check(body: Any, path: str) -> None:
    """As the types of Ollama's own client have it; arguments are objects."""
    if path != BASE + "/api/chat":
        raise ValueError(path)
    try:
        ChatRequest.model_validate(body)
    except ValidationError as wrong:
        raise ValueError(str(wrong)) from None


def _message(play: Play) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": play.text}
    if play.thought:
        message["thinking"] = "".join(play.thought)
    if play.calls:
        message["tool_calls"] = [{"function": {"name": c.name, "arguments": c.arguments}} for c in play.calls]
    return message


def _line(model: str, message: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": model, "created_at": "2025-01-02T03:04:05.678901Z", "message": message, "done": False, **more}


def _end(play: Play) -> dict[str, Any]:
    counts = {"prompt_eval_count": COUNTS.input, "eval_count": COUNTS.output, "total_duration": 5_000_000}
    return {"done": True, "done_reason": FINISH[play.finish], **counts}


def render(play: Play, model: str) -> bytes:
    """A complete answer."""
    return json.dumps(_line(model, _message(play), **_end(play))).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """A line per piece; calls come whole."""
    empty = {"role": "assistant", "content": ""}
    lines = [_line(model, empty | {"thinking": piece}) for piece in play.thought]
    lines += [_line(model, empty | {"content": word}) for word in play.words]
    lines += [_line(model, empty | {"tool_calls": [call]}) for call in _message(play).get("tool_calls", ())]
    lines.append(_line(model, empty, **_end(play)))
    return [json.dumps(line).encode() + b"\n" for line in lines]


def fault_event() -> bytes:
    """A line that holds nothing but the error."""
    return json.dumps({"error": FAULT_TEXT}).encode() + b"\n"


def error(status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
    """A message alone."""
    return json.dumps({"error": message}).encode(), [("retry-after", str(WAIT_S))] if status == 429 else []


def read(body: Any) -> Turn:
    """Calls and results of the messages, in order; the name stands for an id."""
    calls = [call for message in body["messages"] for call in message.get("tool_calls") or ()]
    results = [message for message in body["messages"] if message["role"] == "tool"]
    named = [call["function"]["name"] for call in calls]
    return Turn(
        tuple((c["function"]["name"], c["function"]["name"], c["function"]["arguments"]) for c in calls),
        tuple((result.get("tool_name", named[i]), result["content"]) for i, result in enumerate(results)),
        (),
        tuple(tool["function"]["name"] for tool in body.get("tools") or ()),
    )
