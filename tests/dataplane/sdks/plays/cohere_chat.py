"""A provider of Cohere's chat, version 2 (docs.cohere.com/reference/chat)."""

from __future__ import annotations

import json
from typing import Any, Final

import cohere
from plays.checked import checker
from plays.facts import COUNTS, FAULT_TEXT, WAIT_S, Play, Turn

NAME: Final = "cohere.chat"
TYPE: Final = "cohere"
BASE: Final = "/cohere/v2"
SIGNATURE: Final = None
LACKS: Final = frozenset(("refuses",))
COUNTED: Final = frozenset(("input", "cached", "output"))
STREAM_TYPE: Final = "text/event-stream"
FINISH: Final = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}

_check_messages = checker(list[cohere.ChatMessageV2])
_check_tools = checker(list[cohere.ToolV2])


def check(body: Any, path: str) -> None:
    """As Cohere's own types have it."""
    if path != BASE + "/chat":
        raise ValueError(path)
    _check_messages(body["messages"])
    _check_tools(body.get("tools", []))


def _call_id(index: int) -> str:
    return f"get_scripted_{index:04d}"


def _usage() -> dict[str, Any]:
    counts = {"input_tokens": COUNTS.input, "output_tokens": COUNTS.output}
    return {"billed_units": counts, "tokens": counts, "cached_tokens": COUNTS.cached}


def _calls(play: Play) -> list[dict[str, Any]]:
    return [
        {
            "id": _call_id(index),
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
        }
        for index, call in enumerate(play.calls)
    ]


def render(play: Play, model: str) -> bytes:
    """A complete answer."""
    content: list[dict[str, Any]] = []
    if play.thought:
        content.append({"type": "thinking", "thinking": "".join(play.thought)})
    if play.words:
        content.append({"type": "text", "text": play.text})
    message: dict[str, Any] = {"role": "assistant"}
    if content:
        message["content"] = content
    if play.calls:
        message["tool_calls"] = _calls(play)
    document = {"id": "c1", "finish_reason": FINISH[play.finish], "message": message, "usage": _usage()}
    return json.dumps(document).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """Contents, then calls, each begun and ended."""
    events: list[dict[str, Any]] = [
        {
            "type": "message-start",
            "id": "c1",
            "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}},
        }
    ]
    kinds: list[tuple[str, str, tuple[str, ...]]] = [
        ("thinking", "thinking", play.thought),
        ("text", "text", play.words),
    ]
    for index, (kind, member, pieces) in enumerate([entry for entry in kinds if entry[2]]):
        start = {"message": {"content": {"type": kind, member: ""}}}
        events.append({"type": "content-start", "index": index, "delta": start})
        events += [
            {"type": "content-delta", "index": index, "delta": {"message": {"content": {member: piece}}}}
            for piece in pieces
        ]
        events.append({"type": "content-end", "index": index})
    for index, call in enumerate(_calls(play)):
        text = call["function"]["arguments"]
        begun = call | {"function": {**call["function"], "arguments": ""}}
        events.append({"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": begun}}})
        for piece in (text[:6], text[6:]):
            delta = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            events.append({"type": "tool-call-delta", "index": index, "delta": delta})
        events.append({"type": "tool-call-end", "index": index})
    events.append({"type": "message-end", "delta": {"finish_reason": FINISH[play.finish], "usage": _usage()}})
    return [_event(event) for event in events]


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def fault_event() -> bytes:
    """The end of the message says that it failed."""
    return _event({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": FAULT_TEXT, "usage": _usage()}})


def error(status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
    """A message and an id."""
    headers = [("retry-after", str(WAIT_S))] if status == 429 else []
    return json.dumps({"id": "e1", "message": message}).encode(), headers


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
    if isinstance(content, str):
        return content
    return "".join(part["text"] if part["type"] == "text" else str(part["document"]["data"]) for part in content)
