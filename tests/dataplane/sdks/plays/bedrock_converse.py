"""A provider of Bedrock's Converse (docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html)."""

from __future__ import annotations

import base64
import json
import re
from typing import Any, Final

import botocore.session
from botocore.validate import ParamValidator
from plays.facts import COUNTS, FAULT_TEXT, Play, Turn

from gatewright.wire.aws_event_stream import render_headers, render_message

NAME: Final = "bedrock.converse"
TYPE: Final = "bedrock"
BASE: Final = "/bedrock"
SIGNATURE: Final = "ErgBScriptedBedrock/signature+=="
LACKS: Final = frozenset[str]()
COUNTED: Final = frozenset(("input", "cached", "output"))
STREAM_TYPE: Final = "application/vnd.amazon.eventstream"
FINISH: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}

_service = botocore.session.get_session().get_service_model("bedrock-runtime")
_shape = _service.operation_model("Converse").input_shape
_BLOBS: Final = frozenset(("bytes", "redactedContent"))
_TOOL_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check(body: Any, path: str) -> None:
    """As botocore validates parameters; turns alternate, and results open the turn behind their calls."""
    report = ParamValidator().validate({"modelId": "m", **_with_bytes(body)}, _shape)
    if report.has_errors():
        raise ValueError(report.generate_report())
    open_ids: set[str] = set()
    role = "assistant"
    for message in body["messages"]:
        if message["role"] == role:
            raise ValueError(f"two turns of {role}")
        role = message["role"]
        answered = {block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block}
        if answered != open_ids:
            raise ValueError(f"toolUse without toolResult: {open_ids} {answered}")
        open_ids = {block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block}
        if any(not block["text"].strip() for block in message["content"] if "text" in block):
            raise ValueError("The text field in the ContentBlock object is blank.")
    for tool in body.get("toolConfig", {}).get("tools", ()):
        if "toolSpec" in tool and not _TOOL_NAME.fullmatch(tool["toolSpec"]["name"]):
            raise ValueError(tool["toolSpec"]["name"])


def _with_bytes(value: Any) -> Any:
    """Blobs are base64 on the wire and bytes to the validator."""
    if isinstance(value, dict):
        return {
            name: base64.b64decode(inner) if name in _BLOBS and isinstance(inner, str) else _with_bytes(inner)
            for name, inner in value.items()
        }
    return [_with_bytes(inner) for inner in value] if isinstance(value, list) else value


def _usage() -> dict[str, Any]:
    return {
        "inputTokens": COUNTS.input - COUNTS.cached,
        "cacheReadInputTokens": COUNTS.cached,
        "cacheWriteInputTokens": 0,
        "outputTokens": COUNTS.output,
        "totalTokens": COUNTS.input + COUNTS.output,
    }


def _call_id(index: int) -> str:
    return f"tooluse_Scripted{index:04d}"


def _blocks(play: Play) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if play.thought:
        thoughts = {"text": "".join(play.thought), "signature": SIGNATURE}
        blocks.append({"reasoningContent": {"reasoningText": thoughts}})
    if play.words:
        blocks.append({"text": play.text})
    for index, call in enumerate(play.calls):
        blocks.append({"toolUse": {"toolUseId": _call_id(index), "name": call.name, "input": call.arguments}})
    return blocks


def render(play: Play, model: str) -> bytes:
    """A complete answer."""
    document = {
        "output": {"message": {"role": "assistant", "content": _blocks(play)}},
        "stopReason": FINISH[play.finish],
        "usage": _usage(),
        "metrics": {"latencyMs": 12},
    }
    return json.dumps(document).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """Only calls begin with an event of their own; usage follows the stop."""
    events: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for index, block in enumerate(_blocks(play)):
        at = {"contentBlockIndex": index}
        deltas: list[dict[str, Any]]
        if "toolUse" in block:
            call = block["toolUse"]
            start = {"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}}
            events.append(("contentBlockStart", at | {"start": start}))
            text = json.dumps(call["input"])
            deltas = [{"toolUse": {"input": piece}} for piece in (text[:4], text[4:])]
        elif "text" in block:
            deltas = [{"text": word} for word in play.words]
        else:
            pieces: list[dict[str, Any]] = [{"text": piece} for piece in play.thought]
            deltas = [{"reasoningContent": piece} for piece in (*pieces, {"signature": SIGNATURE})]
        events += [("contentBlockDelta", at | {"delta": delta}) for delta in deltas]
        events.append(("contentBlockStop", at))
    events.append(("messageStop", {"stopReason": FINISH[play.finish]}))
    events.append(("metadata", {"usage": _usage(), "metrics": {"latencyMs": 12}}))
    return [_event(name, payload) for name, payload in events]


def _event(name: str, payload: dict[str, Any]) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return render_message(render_headers(headers), json.dumps(payload | {"p": "abcd"}).encode())


def fault_event() -> bytes:
    """An exception message."""
    headers = {
        ":exception-type": "modelStreamErrorException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return render_message(render_headers(headers), json.dumps({"message": FAULT_TEXT}).encode())


def error(status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
    """The kind stands in a header; nothing tells how long to wait."""
    kind = {429: "ThrottlingException", 400: "ValidationException"}.get(status, "InternalServerException")
    return json.dumps({"message": message}).encode(), [("x-amzn-errortype", f"{kind}:http://internal.amazon.com/")]


def read(body: Any) -> Turn:
    """Calls, results and signatures of the content blocks."""
    blocks = [block for message in body["messages"] for block in message["content"]]
    calls = [block["toolUse"] for block in blocks if "toolUse" in block]
    results = [block["toolResult"] for block in blocks if "toolResult" in block]
    thoughts = [block["reasoningContent"]["reasoningText"] for block in blocks if "reasoningContent" in block]
    return Turn(
        tuple((call["toolUseId"], call["name"], call["input"]) for call in calls),
        tuple((result["toolUseId"], "".join(map(_text, result["content"]))) for result in results),
        tuple(thought["signature"] for thought in thoughts if "signature" in thought),
        tuple(tool["toolSpec"]["name"] for tool in body.get("toolConfig", {}).get("tools", ()) if "toolSpec" in tool),
    )


def _text(block: dict[str, Any]) -> str:
    text: str = block["text"]
    return text
