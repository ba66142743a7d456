"""The recordings of OpenAI-form traffic: which there are, as bytes on the wire, and a slow, plain reading of them.

What is expected is worked out here with the standard library alone, so that it shares nothing with what it checks.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

FOLDER = Path(os.environ.get("GATEWRIGHT_TRUTH") or Path(__file__).parents[3] / "shared/truth")
"""Where the recordings are: `GATEWRIGHT_TRUTH`, by default beside the checkout."""

SURFACES = {
    "/chat/completions": "openai.chat",
    "/completions": "openai.completions",
    "/embeddings": "openai.embeddings",
}
ANOTHER_API = "another API"
"""Why a recording is left out: it is not of a surface that the OpenAI dialects speak."""

_BLANK_LINE = re.compile(rb"(?<=\n)\r?\n")


@dataclass(frozen=True)
class Recording:
    """One recorded exchange of a surface that the gateway passes through."""

    path: str
    dialect: str
    status: int
    stream: bool
    request: Any
    """The request body as JSON values; None when it was not recorded."""
    answer: Any
    """The complete answer as JSON values; None for streams."""
    text: bytes
    """The streamed answer as it came; empty for complete ones."""


def is_here() -> bool:
    """Whether the folder of recordings exists."""
    return (FOLDER / "INDEX.jsonl").is_file()


@cache
def load() -> tuple[list[Recording], dict[str, str]]:
    """The recordings in OpenAI form; and of those left out though of such a surface, path → reason."""
    found: list[Recording] = []
    excluded: dict[str, str] = {}
    for line in (FOLDER / "INDEX.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["surface"] not in ("chat", "embeddings") and "completions" not in row["tags"]:
            continue
        document = json.loads((FOLDER / row["path"]).read_text())
        recording = _read(row, document)
        if isinstance(recording, str):
            excluded[row["path"]] = recording
        else:
            found.append(recording)
    return found, excluded


def _read(row: dict[str, Any], document: dict[str, Any]) -> Recording | str:
    request, response = document["request"] or {}, document["response"]
    answer = response.get("body")
    text = _framed(response.get("text", "")).encode()
    dialect = _dialect(row, request.get("url"), answer, text)
    if dialect is None:
        return ANOTHER_API
    if "text" not in response and not isinstance(answer, dict):
        return "no JSON answer"
    if "synthetic" in row["tags"] and isinstance(answer, dict) and not {"choices", "data", "error"} & answer.keys():
        return "a mock server's echo, not an answer"
    body = request.get("body")
    return Recording(
        path=row["path"],
        dialect=dialect,
        status=row["status"] or 200,
        stream="text" in response,
        request=body if isinstance(body, dict) else None,
        answer=answer,
        text=text,
    )


def _dialect(row: dict[str, Any], url: str | None, answer: Any, text: bytes) -> str | None:
    if text and b'"choices"' not in text:
        return None
    if url is not None:
        path = urlsplit(url).path
        if row["provider"] in ("cohere", "google", "vertex") and "/compat" not in path and "/openai" not in path:
            return None
        return next((name for ending, name in SURFACES.items() if path.endswith(ending)), None)
    if row["surface"] == "embeddings":
        return "openai.embeddings" if isinstance(answer, dict) and answer.get("object") == "list" else None
    if isinstance(answer, dict):
        return "openai.chat" if "choices" in answer or "error" in answer else None
    return "openai.chat" if text else None


def _framed(text: str) -> str:
    """A stream that was stored as one JSON event per line, as the provider sent it."""
    if not text.startswith("{"):
        return text
    return "".join(f"data: {line}\n\n" for line in text.splitlines() if line) + "data: [DONE]\n\n"


def in_pieces(data: bytes) -> Iterator[bytes]:
    """The events of a stream whose lines end in LF or CRLF, each with its blank line; an unclosed rest is left out."""
    start = 0
    for blank in _BLANK_LINE.finditer(data):
        yield data[start : blank.end()]
        start = blank.end()


def data_of(event: bytes) -> str:
    """What the `data:` lines of one event say."""
    lines = event.decode().splitlines()
    return "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))


def renamed(text: str, name: str) -> str:
    """A JSON object with the value of its top-level `model` replaced, every other character as it was."""
    span = _spans(text).get("model")
    return text if span is None else text[: span[0]] + json.dumps(name) + text[span[1] :]


def _spans(text: str) -> dict[str, tuple[int, int]]:
    """Where the value of each top-level member stands."""
    decoder = json.JSONDecoder()
    spans: dict[str, tuple[int, int]] = {}
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)  # past the colon
        start = at
        _, at = decoder.raw_decode(text, at)
        spans[key] = (start, at)
        at = _skip(text, at)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return spans


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at
