"""The recorded exchanges: which there are, of which dialect, as bytes on the wire, and a slow, plain reading of them.

What is expected is worked out here with the standard library alone, so that it shares nothing with what it checks.
Every recording is of one dialect, or left out with a reason.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

FOLDER = Path(os.environ.get("GATEWRIGHT_TRUTH") or Path(__file__).parents[3] / "shared/truth")
"""Where the recordings are: `GATEWRIGHT_TRUTH`, by default beside the checkout."""

OPENAI_PATHS = {
    "/chat/completions": "openai.chat",
    "/completions": "openai.completions",
    "/embeddings": "openai.embeddings",
    "/images/generations": "openai.images.generations",
    "/audio/transcriptions": "openai.audio.transcriptions",
}
OPENAI_FORM = ("chat", "embeddings", "completions")
"""The surfaces, or tags, under which traffic in OpenAI's form is filed."""
PASSED = {"images": "openai.images.generations", "audio": "openai.audio.transcriptions"}
PASSED_BY = ("openai", "mistral", "groq", "azure", "together", "fireworks")
"""Providers whose images and transcripts have OpenAI's form; the others' APIs are their own."""
CLAUDE = ("anthropic", "azure", "bedrock", "vertex")
"""Who serves Anthropic's API, at times under other paths."""
GEMINI_METHODS = {
    "generateContent": "google.generate_content",
    "streamGenerateContent": "google.generate_content",
    "countTokens": "google.count_tokens",
    "batchEmbedContents": "google.batch_embed_contents",
}

ANOTHER_API = "of another API"
NO_ANSWER = "no JSON answer"
ECHO = "a mock server's echo, not an answer"

_BLANK_LINE = re.compile(rb"(?<=\n)\r?\n")


@dataclass(frozen=True)
class Recording:
    """One recorded exchange."""

    path: str
    provider: str
    dialect: str
    url: str
    """Empty when the request was not recorded."""
    status: int
    headers: dict[str, str]
    """Of the answer, names in lower case."""
    request: Any
    """The request body as JSON values; None when it was not recorded or is not JSON."""
    answer: Any
    """The complete answer as JSON values; None for streams."""
    text: bytes
    """The streamed answer as it came, framed as the vendor frames it; empty for complete ones."""
    is_lines: bool
    """Whether the stream was stored without its framing."""

    @property
    def stream(self) -> bool:
        return bool(self.text) or self.answer is None


def is_here() -> bool:
    """Whether the folder of recordings exists."""
    return (FOLDER / "INDEX.jsonl").is_file()


@cache
def everything() -> tuple[tuple[Recording, ...], dict[str, str]]:
    """All recordings of any dialect; and of those left out, path → reason."""
    found: list[Recording] = []
    excluded: dict[str, str] = {}
    for line in (FOLDER / "INDEX.jsonl").read_text().splitlines() if is_here() else ():
        row = json.loads(line)
        recording = _read(row, json.loads((FOLDER / row["path"]).read_text()))
        if isinstance(recording, str):
            excluded[row["path"]] = recording
        else:
            found.append(recording)
    return tuple(found), excluded


def of(*dialects: str) -> list[Recording]:
    """The recordings of some dialects."""
    return [recording for recording in everything()[0] if recording.dialect in dialects]


def recorded(chosen: list[Recording]) -> pytest.MarkDecorator:
    """A test of each of these; of None when there are no recordings, which is skipped loudly."""
    return pytest.mark.parametrize("recording", chosen or [None], ids=[each.path for each in chosen] or ["none"])


def _read(row: dict[str, Any], document: dict[str, Any]) -> Recording | str:
    request, response = document["request"] or {}, document["response"]
    url, answer, text = request.get("url") or "", response.get("body"), response.get("text", "")
    dialect = _dialect(row, url, answer, text)
    if dialect is None:
        return ANOTHER_API
    is_stream = "text" in response or "b64" in response
    if not is_stream and not isinstance(answer, dict) and dialect.startswith("openai."):
        return NO_ANSWER
    if "synthetic" in row["tags"] and isinstance(answer, dict) and dialect == "openai.chat":
        if not {"choices", "data", "error"} & answer.keys():
            return ECHO
    body = request.get("body")
    return Recording(
        path=row["path"],
        provider=row["provider"],
        dialect=dialect,
        url=url,
        status=row["status"] or 200,
        headers=response.get("headers") or {},
        request=body if isinstance(body, dict) else None,
        answer=answer if isinstance(answer, dict) else None,
        text=base64.b64decode(response["b64"]) if "b64" in response else _framed(text, dialect),
        is_lines=text.startswith("{"),
    )


def _dialect(row: dict[str, Any], url: str, answer: Any, text: str) -> str | None:
    """What is spoken: by the path of the call where it was recorded, else by what the answer looks like."""
    path, provider, surface = urlsplit(url).path, row["provider"], row["surface"]
    members = answer.keys() if isinstance(answer, dict) else ()
    if path.endswith("/v1/messages/count_tokens"):
        return "anthropic.count_tokens"
    is_message = "stop_reason" in members and answer.get("type") == "message"
    if path.endswith("/v1/messages") or (provider in CLAUDE and (is_message or '"message_start"' in text)):
        return "anthropic.messages"
    if surface == "converse":
        return "bedrock.converse"
    if surface == "responses":  # compacting a conversation is another call with another answer
        return None if path.endswith("/compact") else "openai.responses"
    if provider == "ollama" and path == "/api/chat":
        return "ollama.chat"
    if provider == "cohere" and "/compat" not in path:
        return _cohere(path, surface)
    if provider in ("google", "vertex") and "/openai" not in path:
        method = path.rpartition(":")[2] or ("generateContent" if surface == "generate_content" else "")
        return GEMINI_METHODS.get(method)
    if surface in OPENAI_FORM or "completions" in row["tags"]:
        return _openai(path, surface, members, text)
    return PASSED.get(surface) if provider in PASSED_BY else None


def _cohere(path: str, surface: str) -> str | None:
    """Version 1 is another API."""
    if path and not path.endswith(("/v2/chat", "/v2/embed", "/v2/rerank")):
        return None
    return {"chat": "cohere.chat", "embeddings": "cohere.embed"}.get(surface)


def _openai(path: str, surface: str, members: Any, text: str) -> str | None:
    if text and '"choices"' not in text:
        return None
    if path:
        return next((name for ending, name in OPENAI_PATHS.items() if path.endswith(ending)), None)
    if surface == "embeddings":
        return "openai.embeddings" if "data" in members else None
    return "openai.chat" if text or {"choices", "error"} & set(members) else None


def _framed(text: str, dialect: str) -> bytes:
    """A stream that was stored as one JSON event per line, as the vendor sends it; any other as it is."""
    if not text.startswith("{") or dialect == "ollama.chat":
        return text.encode()
    lines = [line for line in text.split("\n") if line.strip()]
    if dialect == "bedrock.converse":
        events = [event for line in lines for event in json.loads(line).items()]
        return b"".join(_message(kind, payload) for kind, payload in events)
    if dialect == "anthropic.messages":
        return "".join(f"event: {json.loads(line)['type']}\ndata: {line}\n\n" for line in lines).encode()
    closing = "data: [DONE]\n\n" if dialect in ("openai.chat", "openai.completions") else ""
    return ("".join(f"data: {line}\n\n" for line in lines) + closing).encode()


def _message(kind: str, payload: Any) -> bytes:
    """One message of an AWS event stream (docs: Amazon Transcribe, "Event stream encoding")."""
    named = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        bytes((len(name),)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in named.items()
    )
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", binascii.crc32(prelude)) + headers + body
    return message + struct.pack(">I", binascii.crc32(message))


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
