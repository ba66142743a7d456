"""A provider of Gemini's generateContent (ai.google.dev/api/generate-content)."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from google.genai import types
from plays.facts import COUNTS, FAULT_TEXT, WAIT_S, Play, Turn

from gatewright.testing import answers

NAME: Final = "google.generate_content"
TYPE: Final = "gemini"
BASE: Final = "/google/v1beta"
SIGNATURE: Final = base64.b64encode(b"\xfb\xefscripted thought signature").decode()
LACKS: Final = frozenset[str]()
COUNTED: Final = frozenset(("input", "cached", "output", "reasoning"))
STREAM_TYPE: Final = "text/event-stream"
FINISH: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}

_STANDARD: Final = str.maketrans("-_", "+/")
_CONFIG: Final = frozenset(("generationConfig", "safetySettings", "tools", "toolConfig", "cachedContent"))


def check(body: Any, path: str) -> None:
    """As the types of google-genai have it; every call has its response in the next content."""
    for content in body["contents"]:
        types.Content.model_validate(content)
    for tool in body.get("tools", ()):
        types.Tool.model_validate(tool)
    if "systemInstruction" in body:
        types.Content.model_validate(body["systemInstruction"])
    if "toolConfig" in body:
        types.ToolConfig.model_validate(body["toolConfig"])
    types.GenerationConfig.model_validate(body.get("generationConfig", {}))
    unknown = set(body) - _CONFIG - {"contents", "systemInstruction"}
    if unknown:
        raise ValueError(f'Unknown name "{unknown}"')
    called: list[str] = []
    for content in body["contents"]:
        answered = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        if answered != called:
            raise ValueError(f"the number of function response parts is not that of the calls: {called} {answered}")
        called = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]


def _usage(play: Play) -> dict[str, Any]:
    thoughts = COUNTS.reasoning if play.thought else 0
    usage = {
        "promptTokenCount": COUNTS.input,
        "candidatesTokenCount": COUNTS.output - thoughts,
        "totalTokenCount": COUNTS.input + COUNTS.output,
        "cachedContentTokenCount": COUNTS.cached,
    }
    return usage | ({"thoughtsTokenCount": thoughts} if thoughts else {})


def _parts(play: Play) -> list[dict[str, Any]]:
    thoughts = [{"text": piece, "thought": True} for piece in play.thought]
    words: list[dict[str, Any]] = [{"text": word} for word in play.words]
    calls = [{"functionCall": {"name": call.name, "args": call.arguments}} for call in play.calls]
    if play.thought:
        # On the first call, or else on the text, as the documentation of thought signatures says.
        (calls or words)[0]["thoughtSignature"] = SIGNATURE  # type: ignore[assignment]
    return [*thoughts, *words, *calls]


def _answer(parts: list[dict[str, Any]], play: Play, model: str, *, is_last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts} if parts else {}, "index": 0}
    if is_last:
        candidate["finishReason"] = FINISH[play.finish]
    return {"candidates": [candidate], "usageMetadata": _usage(play), "modelVersion": model, "responseId": "r-1"}


def render(play: Play, model: str) -> bytes:
    """A complete answer; there are no ids of calls."""
    whole = play._replace(
        words=(play.text,) if play.words else (), thought=("".join(play.thought),) if play.thought else ()
    )
    return json.dumps(_answer(_parts(whole), play, model, is_last=True)).encode()


def render_stream(play: Play, model: str) -> list[bytes]:
    """A part per event; the finish comes with an empty text of its own."""
    documents = [_answer([part], play, model, is_last=False) for part in _parts(play)]
    documents.append(_answer([{"text": ""}] if play.words else [], play, model, is_last=True))
    return [b"data: " + json.dumps(document).encode() + b"\r\n\r\n" for document in documents]


def fault_event() -> bytes:
    """An error object in the stream."""
    return answers.sse(error(503, FAULT_TEXT)[0])


def error(status: int, message: str) -> tuple[bytes, list[tuple[str, str]]]:
    """In the shape of google.rpc.Status, which tells the wait in a detail."""
    name = {429: "RESOURCE_EXHAUSTED", 400: "INVALID_ARGUMENT", 503: "UNAVAILABLE"}.get(status, "INTERNAL")
    document: dict[str, Any] = {"code": status, "message": message, "status": name}
    if status == 429:
        document["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{WAIT_S}s"}]
    return json.dumps({"error": document}).encode(), []


def read(body: Any) -> Turn:
    """Calls, responses and signatures of the parts; where there is no id, the name stands for it."""
    parts = [part for content in body["contents"] for part in content["parts"]]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    results = [part["functionResponse"] for part in parts if "functionResponse" in part]
    return Turn(
        tuple((call.get("id", call["name"]), call["name"], call.get("args", {})) for call in calls),
        tuple((result.get("id", result["name"]), _text(result["response"])) for result in results),
        # Bytes in JSON come in either alphabet of base64; google-genai sends the other one than it reads.
        tuple(part["thoughtSignature"].translate(_STANDARD) for part in parts if "thoughtSignature" in part),
        tuple(one["name"] for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())),
    )


def _text(response: dict[str, Any]) -> str:
    (value,) = response.values()
    return str(value)
