"""Which recordings are played to the SDKs, and what text they hold, read slowly and apart from the gateway's codecs."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from tests.truth.recordings import FOLDER

from gatewright.testing.replay import Recording, read_recording

SAMPLE: Final = 5
"""How many are played per dialect, plain and streamed each."""
_SKIPPED: Final = frozenset(
    ("error", "stream_error", "synthetic", "edited", "n_choices", "refusal", "logprobs", "audio", "stream_requested")
)
"""Tags of recordings that hold no single text, or are not what the vendor sent."""


class Sample(NamedTuple):
    """One recording, and how it is played."""

    dialect: str
    recording: Recording
    text: str


def _dialect(row: dict[str, Any], recording: Recording) -> str | None:
    match recording.operation:
        case "/chat/completions":
            return "openai.chat"
        case "/responses" if row["provider"] == "openai":
            return "openai.responses"
        case "/messages" if row["provider"] == "anthropic":
            return "anthropic.messages"
        case ":generateContent" | ":streamGenerateContent":
            return "google.generate_content"
        case "/converse" | "/converse-stream":
            return "bedrock.converse"
        case "/v2/chat":
            return "cohere.chat"
        case "/api/chat":
            return "ollama.chat"
    return None


def samples() -> list[Sample]:
    """The first recordings of each dialect that answer with text."""
    found: dict[tuple[str, bool], list[Sample]] = {}
    for line in (FOLDER / "INDEX.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["status"] != 200 or not _SKIPPED.isdisjoint(row["tags"]):
            continue
        recording = read_recording((FOLDER / row["path"]).read_bytes(), row["path"])
        dialect = _dialect(row, recording)
        kept = found.setdefault((dialect or "", recording.stream), [])
        if dialect is None or len(kept) == SAMPLE:
            continue
        text = text_of(dialect, recording)
        if text:
            kept.append(Sample(dialect, recording, text))
    return [sample for kept in found.values() for sample in kept]


def text_of(dialect: str, recording: Recording) -> str:
    """The text of the answer, without thoughts."""
    whole, piece = _READERS[dialect]
    if not recording.stream:
        return whole(json.loads(recording.body))
    if dialect == "bedrock.converse":
        return "".join(map(piece, _aws_events(recording.body)))
    return "".join(map(piece, _events(recording.body)))


def _events(body: bytes) -> Iterator[Any]:
    for line in body.decode().splitlines():
        data = line.removeprefix("data:").strip()
        if data.startswith("{"):
            yield json.loads(data)


def _aws_events(body: bytes) -> Iterator[Any]:
    at = 0
    while at < len(body):
        total, headers = struct.unpack_from(">II", body, at)
        yield json.loads(body[at + 12 + headers : at + total - 4])
        at += total


def _chat(answer: Any, member: str = "message") -> str:
    content = [choice[member].get("content") for choice in answer.get("choices", ())[:1]]
    return _content(content[0]) if content else ""


def _content(content: Any) -> str:
    """A text, or the texts of a list of parts."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") in ("text", "output_text"))
    return content or ""


def _responses(answer: Any) -> str:
    return "".join(_content(item["content"]) for item in answer["output"] if item["type"] == "message")


def _google(answer: Any) -> str:
    parts = [p for one in answer.get("candidates", ())[:1] for p in one.get("content", {}).get("parts", ())]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


def _delta(event: Any, kind: str, *path: str) -> str:
    if event.get("type") != kind:
        return ""
    for name in path:
        event = event.get(name, {})
    return event or ""


def _cohere_piece(event: Any) -> str:
    # A content may begin with its first words.
    return _delta(event, "content-delta", "delta", "message", "content", "text") + _delta(
        event, "content-start", "delta", "message", "content", "text"
    )


_READERS: Final[dict[str, tuple[Callable[[Any], str], Callable[[Any], str]]]] = {
    "openai.chat": (_chat, lambda event: _chat(event, "delta")),
    "openai.responses": (_responses, lambda event: _delta(event, "response.output_text.delta", "delta")),
    "anthropic.messages": (
        lambda answer: _content(answer["content"]),
        lambda event: _delta(event, "content_block_delta", "delta", "text"),
    ),
    "google.generate_content": (_google, _google),
    "bedrock.converse": (
        lambda answer: "".join(block.get("text", "") for block in answer["output"]["message"]["content"]),
        lambda event: event.get("delta", {}).get("text", ""),
    ),
    "cohere.chat": (lambda answer: _content(answer["message"].get("content")), _cohere_piece),
    "ollama.chat": (lambda answer: answer["message"]["content"], lambda event: event["message"]["content"]),
}
"""By dialect: from a complete answer, and from one event."""
