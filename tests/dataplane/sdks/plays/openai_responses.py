"""A provider of the Responses API (platform.openai.com/docs/api-reference/responses)."""

from __future__ import annotations

import json
from typing import Any, Final

from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from plays.checked import checker
from plays.facts import COUNTS, FAULT_TEXT, Play, Turn, render_id
from plays.openai_chat import STREAM_TYPE as STREAM_TYPE
from plays.openai_chat import error as error

NAME: Final = "openai.responses"
TYPE: Final = "openai"
BASE: Final = "/responses/v1"
SIGNATURE: Final = "gAAAAABscripted+/encrypted=="
LACKS: Final = frozenset[str]()
COUNTED: Final = frozenset(("input", "cached", "output", "reasoning"))

_check = checker(ResponseCreateParamsNonStreaming)


def check(body: Any, path: str) -> None:
    """As OpenAI's own types have it; every output belongs to a call before it."""
    if path != BASE + "/responses":
        raise ValueError(path)
    _check({name: value for name, value in body.items() if name != "stream"})
    known: set[str] = set()
    for item in body["input"] if isinstance(body["input"], list) else ():
        match item.get("type", "message"):
            case "function_call":
                json.loads(item["arguments"])
                known.add(item["call_id"])
            case "function_call_output":
                known.remove(item["call_id"])
    if known:
        raise ValueError(f"No tool output found for function call {known}.")


def _items(play: Play) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if play.thought:
        summary = [{"type": "summary_text", "text": "".join(play.thought)}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": SIGNATURE})
    if play.words:
        content = [{"type": "output_text", "text": play.text, "annotations": [], "logprobs": []}]
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "content": content, "status": "completed"})
    for index, call in enumerate(play.calls):
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{index}",
                "call_id": render_id(index),
                "name": call.name,
                "arguments": json.dumps(call.arguments),
                "status": "completed",
            }
        )
    return items


def _response(play: Play, model: str, status: str | None = None) -> dict[str, Any]:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(play.finish)
    is_over = status is None
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": status or ("incomplete" if reason else "completed"),
        "error": None,
        "incomplete_details": {"reason": reason} if reason and is_over else None,
        "instructions": None,
        "model": model,
        "output": _items(play) if is_over else [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": _usage(play) if is_over else None,
    }


def _usage(play: Play) -> dict[str, Any]:
    return {
        "input_tokens": COUNTS.input,
        "input_tokens_details": {"cached_tokens": COUNTS.cached},
        "output_tokens": COUNTS.output,
        "output_tokens_details": {"reasoning_tokens": COUNTS.reasoning if play.thought else 0},
        "total_tokens": COUNTS.input + COUNTS.output,
    }


def render(play: Play, model: str) -> bytes:
    """A complete answer."""
    return json.dumps(_response(play, model)).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """Items begin empty, grow by deltas and are told whole when they end."""
    started = _response(play, model, "in_progress")
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": started},
        {"type": "response.in_progress", "response": started},
    ]
    for index, item in enumerate(_items(play)):
        events += _item_events(play, index, item)
    over = _response(play, model)
    events.append({"type": f"response.{over['status']}", "response": over})
    return [
        f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n".encode()
        for number, event in enumerate(events)
    ]


def _item_events(play: Play, index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    at = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            empty = item | {"summary": [], "encrypted_content": None}
            part = at | {"summary_index": 0}
            inner = [
                part | {"type": "response.reasoning_summary_part.added", "part": {"type": "summary_text", "text": ""}},
                *(part | {"type": "response.reasoning_summary_text.delta", "delta": piece} for piece in play.thought),
                part | {"type": "response.reasoning_summary_text.done", "text": "".join(play.thought)},
                part | {"type": "response.reasoning_summary_part.done", "part": item["summary"][0]},
            ]
        case "message":
            empty = item | {"content": [], "status": "in_progress"}
            part = at | {"content_index": 0}
            blank = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            inner = [
                part | {"type": "response.content_part.added", "part": blank},
                *(part | {"type": "response.output_text.delta", "delta": w, "logprobs": []} for w in play.words),
                part | {"type": "response.output_text.done", "text": play.text, "logprobs": []},
                part | {"type": "response.content_part.done", "part": item["content"][0]},
            ]
        case _:
            empty = item | {"arguments": "", "status": "in_progress"}
            pieces = (item["arguments"][:5], item["arguments"][5:])
            done = {"type": "response.function_call_arguments.done", "name": item["name"]}
            inner = [
                *(at | {"type": "response.function_call_arguments.delta", "delta": piece} for piece in pieces),
                at | done | {"arguments": item["arguments"]},
            ]
    added = {"type": "response.output_item.added", "output_index": index, "item": empty}
    return [added, *inner, {"type": "response.output_item.done", "output_index": index, "item": item}]


def fault_event() -> bytes:
    """The response is told to have failed."""
    failed = _response(Play(), "scripted", "failed") | {"error": {"code": "server_error", "message": FAULT_TEXT}}
    event = {"type": "response.failed", "response": failed, "sequence_number": 90}
    return f"event: response.failed\ndata: {json.dumps(event)}\n\n".encode()


def read(body: Any) -> Turn:
    """Calls, outputs and reasoning items of the input."""
    items = body["input"] if isinstance(body["input"], list) else []
    calls = [item for item in items if item.get("type") == "function_call"]
    results = [item for item in items if item.get("type") == "function_call_output"]
    return Turn(
        tuple((call["call_id"], call["name"], json.loads(call["arguments"])) for call in calls),
        tuple((result["call_id"], _text(result["output"])) for result in results),
        tuple(item["encrypted_content"] for item in items if item.get("encrypted_content")),
        tuple(tool["name"] for tool in body.get("tools", ())),
    )


def _text(output: Any) -> str:
    return output if isinstance(output, str) else "".join(part["text"] for part in output)
