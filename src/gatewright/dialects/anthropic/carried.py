"""Opaque blobs of other vendors inside the opaque strings of this API.

A client of this API sends `thinking.signature` and `redacted_thinking.data` back as they came, and has no other slot
for what a vendor wants back: Gemini signs calls and text, OpenAI encrypts reasoning items that have ids. Each blob is
marked with its issuer (`core.chat.carry`) and with a slot that says what it belongs to: `call/<id>` signs the call of
that id in the same message, `text` the text before it, `sealed` and `summary` are encrypted reasoning beside its text
or its summary. None of it is ever sent to this API's own upstream, which could not read it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from gatewright.core.chat import Opaque, Part, Reasoning, Text, ToolCall, carry, uncarry
from gatewright.dialects.anthropic.vocabulary import NAME

Slot = Literal["", "call", "text", "sealed", "summary"]

_SAFE: Final = re.compile(r"[a-zA-Z0-9_.-]+\Z")


def carry_as(blob: Opaque, slot: Slot, ident: str | None = None) -> str:
    """The string that carries `blob`; the API's own are unchanged. An `ident` that would not fit is left out."""
    if blob.dialect == NAME:
        return blob.value
    name = f"/{ident}" if ident and _SAFE.match(ident) else ""
    mark = f"@{slot}{name}" if slot or name else ""
    return carry(Opaque(blob.dialect + mark, blob.value), NAME)


def uncarry_as(value: str) -> tuple[Opaque, str, str | None]:
    """Undo `carry_as`: the blob, its slot and its ident."""
    blob = uncarry(value, NAME)
    dialect, mark, where = blob.dialect.partition("@")
    if not mark:
        return blob, "", None
    slot, _, ident = where.partition("/")
    return Opaque(dialect, blob.value), slot, ident or None


def hidden_block(blob: Opaque, slot: Slot, ident: str | None = None) -> dict[str, Any]:
    """The `redacted_thinking` block that carries a blob of another part, or reasoning without text."""
    return {"type": "redacted_thinking", "data": carry_as(blob, slot, ident)}


def thinking_block(part: Reasoning) -> dict[str, Any] | None:
    """The block of reasoning for a client; None when there is nothing to show and nothing to send back."""
    if part.encrypted is not None:
        slot: Slot = "summary" if part.is_summary else "sealed"
        if not part.text:
            return hidden_block(part.encrypted, slot, part.id)
        return {"type": "thinking", "thinking": part.text, "signature": carry_as(part.encrypted, slot, part.id)}
    if part.signature is None:
        return {"type": "thinking", "thinking": part.text, "signature": ""} if part.text else None
    return {"type": "thinking", "thinking": part.text, "signature": carry_as(part.signature, "", part.id)}


def read_thinking(text: str, signature: str) -> Reasoning:
    """Reasoning from a `thinking` block. Without a signature no upstream takes it back, but its text is kept."""
    if not signature:
        return Reasoning(text=text)
    blob, slot, ident = uncarry_as(signature)
    if slot in ("sealed", "summary"):
        return Reasoning(text=text, encrypted=blob, id=ident, is_summary=slot == "summary")
    return Reasoning(text=text, signature=blob, id=ident)


def read_redacted(data: str) -> Reasoning:
    """Reasoning from a `redacted_thinking` block; a blob of another part keeps its slot until `reattach`."""
    blob, slot, ident = uncarry_as(data)
    if slot in ("call", "text"):
        return Reasoning(encrypted=uncarry(data, NAME))
    return Reasoning(encrypted=blob, id=ident, is_summary=slot == "summary")


def reattach(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of a message with carried signatures back on the parts they belong to."""
    if not any(
        isinstance(part, Reasoning) and part.encrypted is not None and "@" in part.encrypted.dialect for part in parts
    ):
        return tuple(parts)
    kept: list[Part] = []
    calls: dict[str, Opaque] = {}
    for part in parts:
        if isinstance(part, Reasoning) and part.encrypted is not None and "@" in part.encrypted.dialect:
            dialect, _, where = part.encrypted.dialect.partition("@")
            slot, _, ident = where.partition("/")
            blob = Opaque(dialect, part.encrypted.value)
            if slot == "call":
                calls[ident] = blob
            elif kept and isinstance(kept[-1], Text):
                kept[-1] = msgspec.structs.replace(kept[-1], signature=blob)
            continue
        kept.append(part)
    return tuple(
        msgspec.structs.replace(part, signature=calls[part.id])
        if isinstance(part, ToolCall) and part.id in calls
        else part
        for part in kept
    )
