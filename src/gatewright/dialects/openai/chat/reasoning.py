"""Thoughts in chat messages, in the forms of the hosts, both ways.

`reasoning_content` (DeepSeek and most), `reasoning` (vLLM, Groq, OpenRouter), `reasoning_details` (OpenRouter: entries
of types `reasoning.text`, `reasoning.summary`, `reasoning.encrypted`, with signatures), `thinking_blocks` (Anthropic's
blocks, as some clients send them), and a content list with parts of type `thinking` (Mistral).

Only entries can hold what must come back unchanged, so the gateway writes an entry for each thought that has a
signature or is encrypted, whoever issued it: `format` names the issuer's dialect, and the blob says it too, by `carry`.
Such an entry is whole: text and encrypted form stand in one. A client that sends the message back gives all of it back.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gatewright.core.chat import Extension, Opaque, Reasoning, carry, uncarry
from gatewright.dialects.openai.chat.words import NAME, extended, own, take_objects
from gatewright.wire.json_object import JsonObject, render_json

STRINGS: Final = ("reasoning_content", "reasoning")
"""Members that hold thoughts as one string, in the order they are looked for."""
_DIALECT: Final = re.compile(r"[a-z]+\.[a-z_]+\Z")


def is_gateway_format(word: str | None) -> bool:
    """Whether an entry's `format` is a dialect's name, so the gateway wrote it."""
    return word is not None and _DIALECT.match(word) is not None


def read_entry(entry: JsonObject) -> Reasoning:
    """One entry of `reasoning_details`."""
    kind = entry.string("type") or "reasoning.text"
    form = entry.string("format")
    summary = entry.string("summary")
    text = entry.string("text")
    signature = entry.string("signature")
    data = entry.string("data")
    identity = entry.string("id")
    extra = None if is_gateway_format(form) else extended(entry.rest(NAME), type=kind, format=form)
    return Reasoning(
        text=text if text is not None else summary or "",
        signature=uncarry(signature, NAME) if signature else None,
        encrypted=uncarry(data, NAME) if data else None,
        is_summary=summary is not None,
        id=identity,
        extra=extra,
    )


def read_block(block: JsonObject) -> Reasoning:
    """One of `thinking_blocks`: Anthropic's `thinking` or `redacted_thinking`."""
    data = block.string("data")
    text = block.string("thinking") or ""
    signature = block.string("signature")
    kind = block.string("type") or "thinking"
    return Reasoning(
        text=text,
        signature=uncarry(signature, "anthropic.messages") if signature else None,
        encrypted=uncarry(data, "anthropic.messages") if data else None,
        extra=extended(block.rest(NAME), member="thinking_blocks", type=kind),
    )


def read_thinking(part: JsonObject) -> Reasoning:
    """A content part of type `thinking` (Mistral): its `thinking` is a list of text parts, or a string."""
    raw = part.peek("thinking")
    if raw is not None and bytes(raw).startswith(b'"'):
        text = part.string("thinking") or ""
    else:
        text = "".join(piece.string("text") or "" for piece in part.objects("thinking") or ())
    signature = part.string("signature")
    part.drop("type")
    return Reasoning(
        text=text,
        signature=uncarry(signature, NAME) if signature else None,
        extra=extended(part.rest(NAME), member="content"),
    )


def read_thoughts(message: JsonObject) -> list[Reasoning]:
    """The thoughts beside a message's content. A plain string that repeats the entries stays, unless the gateway wrote
    them: then it says nothing more."""
    entries = take_objects(message, "reasoning_details")
    if entries:
        if all(is_gateway_format(_format(entry)) for entry in entries):
            message.drop("reasoning_content")
        return [read_entry(entry) for entry in entries]
    blocks = take_objects(message, "thinking_blocks")
    if blocks:
        return [read_block(block) for block in blocks]
    for name in STRINGS:
        text = _string(message, name)
        if text:
            message.drop(name)
            return [Reasoning(text=text, extra=extended(None, member=name))]
    return []


def _format(entry: JsonObject) -> str | None:
    raw = entry.peek("format")
    return None if raw is None else str(bytes(raw)[1:-1], "utf-8", "replace")


def _string(message: JsonObject, name: str) -> str | None:
    raw = message.peek(name)
    if raw is None or not bytes(raw).startswith(b'"'):
        return None
    value = message.string(name)
    if not value:
        # An empty string says nothing, but it was there: it goes back where it came from.
        message.keep(name, raw)
    return value


def member_of(part: Reasoning) -> str | None:
    """The member in which this dialect gave a thought; None when another dialect did."""
    members = own(part.extra)
    raw = members.get("member")
    if raw is not None:
        return bytes(raw)[1:-1].decode()
    return "reasoning_details" if "type" in members else None


def needs_entry(part: Reasoning) -> bool:
    """Whether a thought has what a plain string cannot hold."""
    is_entry = member_of(part) == "reasoning_details"
    return is_entry or part.signature is not None or part.encrypted is not None or part.id is not None


def write_entry(part: Reasoning, index: int) -> dict[str, Any]:
    """A thought as an entry of `reasoning_details`: as it came from this dialect, or marked with its issuer."""
    members: dict[str, Any] = {n: value for n, value in own(part.extra).items() if n != "member"}
    entry: dict[str, Any] = {}
    if "type" not in members:
        blob = part.encrypted or part.signature
        kind = "encrypted" if part.encrypted else "summary" if part.is_summary else "text"
        entry = {
            "type": f"reasoning.{kind}",
            "format": NAME if blob is None else blob.dialect,
            "index": index,
        }
    if part.text or (part.encrypted is None and part.signature is None):
        entry["summary" if part.is_summary else "text"] = part.text
    if part.signature is not None:
        entry["signature"] = carry(part.signature, NAME)
    if part.encrypted is not None:
        entry["data"] = carry(part.encrypted, NAME)
    if part.id is not None:
        entry["id"] = part.id
    return {**entry, **members}


def write_block(part: Reasoning) -> dict[str, Any]:
    """A thought as one of `thinking_blocks`."""
    members = {n: value for n, value in own(part.extra).items() if n != "member"}
    if part.encrypted is not None:
        return {"type": "redacted_thinking", "data": part.encrypted.value, **members}
    signed = {} if part.signature is None else {"signature": part.signature.value}
    return {"type": "thinking", "thinking": part.text, **signed, **members}


def write_thinking(part: Reasoning) -> dict[str, Any]:
    """A thought as a content part (Mistral)."""
    members = {n: value for n, value in own(part.extra).items() if n != "member"}
    signed = {} if part.signature is None else {"signature": carry(part.signature, NAME)}
    return {"type": "thinking", "thinking": [{"type": "text", "text": part.text}], **signed, **members}


def read_thought_signature(owner: JsonObject) -> Opaque | None:
    """Take the signature in `extra_content.google.thought_signature` (Google's OpenAI endpoints) of a message or call;
    whatever else stands there stays."""
    raw = owner.peek("extra_content")
    if raw is None or b"thought_signature" not in bytes(raw):
        return None
    content = owner.object("extra_content")
    google = None if content is None else content.object("google")
    value = None if google is None else google.string("thought_signature")
    if content is not None and google is not None:
        rest = google.rest(NAME)
        left: Extension | None = content.rest(NAME)
        if rest is not None:
            left = extended(left, google=rest.members)
        if left is not None:
            owner.keep("extra_content", render_json(left.members))
    return uncarry(value, NAME) if value else None


def write_thought_signature(signature: Opaque, extra: Extension | None = None) -> dict[str, Any]:
    """The `extra_content` that holds a signature, with whatever else this dialect had there."""
    raw = own(extra).get("extra_content")
    if raw is None:
        return {"google": {"thought_signature": carry(signature, NAME)}}
    content = JsonObject.parse(raw)
    google = content.object("google")
    rest = None if google is None else google.rest(NAME)
    merged = {**({} if rest is None else rest.members), "thought_signature": carry(signature, NAME)}
    left = content.rest(NAME)
    return {**({} if left is None else left.members), "google": merged}
