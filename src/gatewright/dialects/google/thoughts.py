"""Thoughts of other providers that a client got in pieces, put together again.

A stream gives the words first and the signature last, in a part of its own; clients send the pieces back one by one,
in one content or in several. Gemini does not mind, but other providers take a thought only with its signature.
"""

from __future__ import annotations

import msgspec

from gatewright.core.chat import Message, Part, Reasoning
from gatewright.dialects.google.members import NAME

_Place = tuple[int, int]


def join_thoughts(messages: list[Message]) -> list[Message]:
    """The messages with every foreign signature on the words before it; Gemini's own parts stay as they are."""
    if not any(_closes(part) for message in messages for part in message.parts):
        return messages
    parts: list[list[Part | None]] = [list(message.parts) for message in messages]
    words: list[_Place] = []
    for at, message in enumerate(messages):
        if message.role != "assistant":
            words = []
            continue
        for number, part in enumerate(message.parts):
            if _is_words(part):
                words.append((at, number))
                continue
            if words and _closes(part):
                _join(parts, words, (at, number))
            words = []
    joined = []
    for message, left in zip(messages, parts, strict=True):
        kept = tuple(part for part in left if part is not None)
        if kept or not message.parts:
            joined.append(msgspec.structs.replace(message, parts=kept))
    return joined


def _join(parts: list[list[Part | None]], words: list[_Place], end: _Place) -> None:
    texts = []
    for at, number in words:
        part = parts[at][number]
        if isinstance(part, Reasoning):
            texts.append(part.text)
        parts[at][number] = None
    closing = parts[end[0]][end[1]]
    if isinstance(closing, Reasoning):
        parts[end[0]][end[1]] = msgspec.structs.replace(closing, text="".join(texts), extra=None)


def _is_words(part: Part) -> bool:
    return isinstance(part, Reasoning) and bool(part.text) and part.signature is None and part.encrypted is None


def _closes(part: Part) -> bool:
    if not isinstance(part, Reasoning) or part.text:
        return False
    blob = part.signature or part.encrypted
    return blob is not None and blob.dialect != NAME
