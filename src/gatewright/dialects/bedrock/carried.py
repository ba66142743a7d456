"""Opaque blobs of other vendors inside the opaque members of this API.

A client sends `reasoningText.signature` and `redactedContent` back as they came, and has no other place for what a
vendor wants back: Gemini signs calls and words, OpenAI encrypts thoughts that have ids. Each blob is marked with its
issuer (`core.chat.carry`) and with what it belongs to: `call` signs the call before it (or that of the id behind the
slash), `text` the words before it, `sealed` and `summary` are encrypted thoughts beside their text or its summary.
`redactedContent` holds bytes, so a foreign blob stands in it in base64. None of it reaches this API's own upstream.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

from gatewright.core.chat import Extension, Opaque, Part, Reasoning, Text, ToolCall, carry, uncarry
from gatewright.dialects.bedrock.media import own
from gatewright.dialects.bedrock.names import NAME

Block = dict[str, Any]
Slot = Literal["", "call", "text", "sealed", "summary"]

_SAFE: Final = re.compile(r"[a-zA-Z0-9_.-]+")
_CARRIED: Final = b"gatewright."


def carry_as(blob: Opaque, slot: Slot, ident: str | None = None) -> str:
    """The string that carries `blob`; the API's own are unchanged. An id that would not fit is left out."""
    if blob.dialect == NAME:
        return blob.value
    name = f"/{ident}" if ident and _SAFE.fullmatch(ident) else ""
    mark = f"@{slot}{name}" if slot or name else ""
    return carry(Opaque(blob.dialect + mark, blob.value), NAME)


def uncarry_as(value: str) -> tuple[Opaque, str, str | None]:
    """Undo `carry_as`: the blob, its slot and its id."""
    blob = uncarry(value, NAME)
    dialect, mark, where = blob.dialect.partition("@")
    if not mark:
        return blob, "", None
    slot, _, ident = where.partition("/")
    return Opaque(dialect, blob.value), slot, ident or None


def redacted(blob: Opaque, slot: Slot, ident: str | None = None) -> str:
    """The `redactedContent` that carries a blob: base64, as the API's own are."""
    value = carry_as(blob, slot, ident)
    return value if blob.dialect == NAME else base64.b64encode(value.encode()).decode()


def sealed(part: Reasoning) -> Slot:
    """The slot of encrypted thoughts."""
    return "summary" if part.is_summary else "sealed"


def write_thought(text: str, signature: str | None, extra: Extension | None) -> Block:
    """A block of readable thoughts."""
    thought: Block = {"text": text}
    if signature is not None:
        thought["signature"] = signature
    return {"reasoningContent": {"reasoningText": {**thought, **own(extra)}}}


def write_redacted(value: str, extra: Extension | None = None) -> Block:
    """A block of thoughts, or of a signature, that only its issuer can read."""
    return {"reasoningContent": {"redactedContent": value, **own(extra)}}


def write_thoughts(part: Reasoning) -> list[Block]:
    """The blocks of thoughts for a client."""
    blob, signature = part.encrypted, part.signature
    if blob is not None and blob.dialect != NAME and part.text and signature is None:
        return [write_thought(part.text, carry_as(blob, sealed(part), part.id), part.extra)]
    out: list[Block] = []
    if part.text or signature is not None or blob is None:
        written = None if signature is None else carry_as(signature, "", part.id)
        out.append(write_thought(part.text, written, part.extra))
    if blob is not None:
        out.append(write_redacted(redacted(blob, sealed(part), part.id), part.extra))
    return out


def read_thought(text: str, signature: str | None, extra: Extension) -> Reasoning:
    """The thoughts that a client sends back."""
    if signature is None:
        return Reasoning(text=text, extra=extra)
    blob, slot, ident = uncarry_as(signature)
    if slot in ("sealed", "summary"):
        return Reasoning(text=text, encrypted=blob, id=ident, is_summary=slot == "summary", extra=extra)
    return Reasoning(text=text, signature=blob, id=ident, extra=extra)


def read_redacted(value: str, extra: Extension) -> Reasoning:
    """What a client sends back in `redactedContent`; a blob of another part keeps its mark until `reattach`."""
    blob, slot, ident = Opaque(NAME, value), "", None
    try:
        # The beginning alone tells it; a blob of this API is not decoded.
        if base64.b64decode(value[:20]).startswith(_CARRIED):
            said = base64.b64decode(value).decode()
            if uncarry(said, NAME).dialect != NAME:
                blob, slot, ident = uncarry_as(said)
                if slot in ("call", "text"):
                    return Reasoning(encrypted=uncarry(said, NAME), extra=extra)
    except (binascii.Error, ValueError):
        pass
    return Reasoning(encrypted=blob, id=ident, is_summary=slot == "summary", extra=extra)


def reattach(parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts of a message with carried signatures back on the parts they belong to."""
    if not any(isinstance(part, Reasoning) and _is_marked(part) for part in parts):
        return tuple(parts)
    kept: list[Part] = []
    calls: dict[str, Opaque] = {}
    for part in parts:
        if not (isinstance(part, Reasoning) and part.encrypted is not None and _is_marked(part)):
            kept.append(part)
            continue
        dialect, _, where = part.encrypted.dialect.partition("@")
        slot, _, ident = where.partition("/")
        blob = Opaque(dialect, part.encrypted.value)
        before = kept[-1] if kept else None
        if slot == "call" and ident:
            calls[ident] = blob
        elif isinstance(before, ToolCall if slot == "call" else Text):
            kept[-1] = msgspec.structs.replace(before, signature=blob)
    return tuple(
        msgspec.structs.replace(part, signature=calls[part.id])
        if isinstance(part, ToolCall) and part.id in calls
        else part
        for part in kept
    )


def _is_marked(part: Reasoning) -> bool:
    return part.encrypted is not None and "@" in part.encrypted.dialect


def write_signature(part: Part, pieces: Sequence[Opaque] = ()) -> str | None:
    """The `redactedContent` behind words or a call of another vendor that must come back with their signature."""
    if not isinstance(part, Text | ToolCall):
        return None
    blobs = [*([] if part.signature is None else [part.signature]), *pieces]
    if not blobs or blobs[0].dialect == NAME:
        return None
    blob = Opaque(blobs[0].dialect, "".join(piece.value for piece in blobs))
    return redacted(blob, "call", part.id) if isinstance(part, ToolCall) else redacted(blob, "text")
