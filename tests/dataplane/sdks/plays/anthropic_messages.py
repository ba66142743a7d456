"""A provider of Anthropic messages (platform.claude.com/docs/en/api/messages)."""

from __future__ import annotations

import json
from typing import Any, Final

from anthropic.types.message_count_tokens_params import MessageCountTokensParams
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from plays.checked import checker
from plays.facts import COUNTS, FAULT_TEXT, WAIT_S, Play, Turn

NAME: Final = "anthropic.messages"
TYPE: Final = "anthropic"
BASE: Final = "/anthropic/v1"
SIGNATURE: Final = "EqQBscripted/Anthropic+signature=="
LACKS: Final = frozenset[str]()
COUNTED: Final = frozenset(("input", "cached", "output"))
STREAM_TYPE: Final = "text/event-stream"
FINISH: Final = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}

_check = checker(MessageCreateParamsNonStreaming)
_check_count = checker(MessageCountTokensParams)


def check(body: Any, path: str) -> None:
    """As Anthropic's own types have it; turns alternate, and results open the turn behind their calls."""
    if path == BASE + "/messages/count_tokens":
        return _check_count(body)
    if path != BASE + "/messages":
        raise ValueError(path)
    _check({name: value for name, value in body.items() if name != "stream"})
    open_ids: set[str] = set()
    role = "assistant"
    for message in body["messages"]:
        if message["role"] == role:
            raise ValueError(f"two turns of {role}")
        role = message["role"]
        blocks = message["content"] if isinstance(message["content"], list) else []
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if answered != open_ids:
            raise ValueError(f"tool_use without tool_result: {open_ids} {answered}")
        open_ids = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if not all(isinstance(block["input"], dict) for block in blocks if block["type"] == "tool_use"):
            raise ValueError("input is no object")
    return None


def _usage() -> dict[str, Any]:
    return {
        "input_tokens": COUNTS.input - COUNTS.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": COUNTS.cached,
        "output_tokens": COUNTS.output,
    }


def render_call_id(index: int) -> str:
    """Ids are `toolu_…`."""
    return f"toolu_01Scripted{index:04d}"


def _blocks(play: Play) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if play.thought:
        blocks.append({"type": "thinking", "thinking": "".join(play.thought), "signature": SIGNATURE})
    if play.words:
        blocks.append({"type": "text", "text": play.text})
    for index, call in enumerate(play.calls):
        blocks.append({"type": "tool_use", "id": render_call_id(index), "name": call.name, "input": call.arguments})
    return blocks


def _message(model: str) -> dict[str, Any]:
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": model}


def render(play: Play, model: str) -> bytes:
    """A complete answer."""
    over = {"stop_reason": FINISH[play.finish], "stop_sequence": None, "usage": _usage()}
    return json.dumps(_message(model) | {"content": _blocks(play)} | over).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """Blocks one after another, a ping among them; the output is counted at the end."""
    begun = _message(model) | {"content": [], "stop_reason": None, "stop_sequence": None}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": begun | {"usage": _usage() | {"output_tokens": 1}}},
        {"type": "ping"},
    ]
    for index, block in enumerate(_blocks(play)):
        empty, deltas = _deltas(play, block)
        events.append({"type": "content_block_start", "index": index, "content_block": empty})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    over = {"stop_reason": FINISH[play.finish], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": over, "usage": {"output_tokens": COUNTS.output}})
    events.append({"type": "message_stop"})
    return [_event(event) for event in events]


def _deltas(play: Play, block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    match block["type"]:
        case "thinking":
            thoughts = [{"type": "thinking_delta", "thinking": piece} for piece in play.thought]
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            return {"type": "thinking", "thinking": "", "signature": ""}, [*thoughts, signed]
        case "text":
            return {"type": "text", "text": ""}, [{"type": "text_delta", "text": word} for word in play.words]
        case _:
            text = json.dumps(block["input"])
            pieces = ("", text[:7], text[7:])
            return block | {"input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]


def _event(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def fault_event() -> bytes:
    """Overloaded, as the documentation of streaming shows it."""
    return _event({"type": "error", "error": {"type": "overloaded_error", "message": FAULT_TEXT}})


def error(status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
    """In Anthropic's shape, which tells the wait in a header."""
    kind = {429: "rate_limit_error", 400: "invalid_request_error"}.get(status, "api_error")
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return json.dumps(body).encode(), [("retry-after", str(WAIT_S))] if status == 429 else []


def read(body: Any) -> Turn:
    """Calls, results and signatures of the content blocks."""
    contents = [message["content"] for message in body["messages"]]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    return Turn(
        tuple((b["id"], b["name"], b["input"]) for b in blocks if b["type"] == "tool_use"),
        tuple((b["tool_use_id"], _text(b["content"])) for b in blocks if b["type"] == "tool_result"),
        tuple(b["signature"] for b in blocks if b["type"] == "thinking"),
        tuple(tool["name"] for tool in body.get("tools", ())),
    )


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block["text"] for block in content)
