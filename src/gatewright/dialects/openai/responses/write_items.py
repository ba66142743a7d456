"""Writes what a model made as items: the parts of an assistant's turn, put together as they once were.

Used for the history of a request and for an answer alike; an answer's items then get the members every client expects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import Opaque, Part, Reasoning, Refusal, Text, ToolCall
from gatewright.dialects.openai.responses.names import (
    ENCRYPTED,
    SIGNATURE,
    carry_blob,
    object_members,
    own,
)
from gatewright.dialects.openai.responses.write_content import part_rest, write_citations, write_text

_list: msgspec.json.Decoder[list[Raw]] = msgspec.json.Decoder(list[Raw])
_MAX_CALL_ID: Final = 64
"""The API refuses longer ones."""


def group_items(parts: Iterable[Part], *, joins_reasoning: bool) -> Iterator[list[Part]]:
    """The parts of each item. Text that came from another dialect is put together to one message.

    `joins_reasoning`: also put summaries before the encrypted thoughts they belong to, when their item is not known.
    """
    group: list[Part] = []
    for part in parts:
        if group and not continues(group[-1], part, joins_reasoning=joins_reasoning):
            yield group
            group = []
        group.append(part)
    if group:
        yield group


def continues(last: Part, part: Part, *, joins_reasoning: bool) -> bool:
    members = own(getattr(last, "extra", None))
    if members:
        return "open" in members
    if own(getattr(part, "extra", None)):
        return False
    if isinstance(last, Text | Refusal):
        return isinstance(part, Text | Refusal) and (not isinstance(last, Text) or last.signature is None)
    if isinstance(last, Reasoning) and isinstance(part, Reasoning):
        return joins_reasoning and last.signature is None and last.encrypted is None
    return False


def item_members(group: Sequence[Part]) -> dict[str, Raw]:
    """The members of the item that the hub has no place for."""
    return object_members(own(getattr(group[-1], "extra", None)).get("item"))


def write_message(group: Sequence[Part], contents: list[Any]) -> dict[str, Any]:
    """An assistant's message around its contents."""
    members: dict[str, Any] = dict(item_members(group))
    unknown = members.pop("content", None)
    contents = [] if "empty" in own(getattr(group[-1], "extra", None)) else contents
    if unknown is not None:
        contents = [*contents, *_list.decode(unknown)]
    return {"role": "assistant", "content": contents, **members}


def request_message(group: Sequence[Part]) -> dict[str, Any]:
    """An assistant's message as part of a request's history."""
    contents: list[Any] = []
    for part in group:
        if isinstance(part, Text):
            contents.append(write_text(part, "output_text"))
        elif isinstance(part, Refusal):
            contents.append({"type": "refusal", "refusal": part.text, **part_rest(part.extra)})
    message = write_message(group, contents)
    if message["content"] == contents and len(contents) == 1 and contents[0].keys() == {"type", "text"}:
        message["content"] = contents[0]["text"]
    return message


def answer_content(part: Text | Refusal, logprobs: list[dict[str, Any]]) -> dict[str, Any]:
    """One content part of an answer's message, with all members clients expect."""
    members: dict[str, Any] = dict(part_rest(part.extra))
    had_logprobs = members.pop("logprobs", None) is not None
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text, **members}
    written: dict[str, Any] = {
        "type": "output_text",
        "annotations": write_citations(part.citations, part.text),
        "text": part.text,
        **members,
    }
    if had_logprobs or not own(part.extra):
        written["logprobs"] = logprobs
    return written


def write_reasoning(group: Sequence[Part]) -> dict[str, Any]:
    """A reasoning item: its texts, and the blob that only its issuer can read."""
    summary: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    encrypted: str | None = None
    for part in group:
        if not isinstance(part, Reasoning):
            continue
        if part.text or "text" in own(part.extra):
            if part.is_summary:
                summary.append({"type": "summary_text", "text": part.text, **part_rest(part.extra)})
            else:
                content.append({"type": "reasoning_text", "text": part.text, **part_rest(part.extra)})
        if part.encrypted is not None:
            encrypted = carry_blob(part.encrypted, ENCRYPTED)
        elif part.signature is not None:
            encrypted = carry_blob(part.signature, SIGNATURE)
    item: dict[str, Any] = {"type": "reasoning", "summary": summary, **item_members(group)}
    if content:
        item["content"] = content
    if encrypted is not None:
        item["encrypted_content"] = encrypted
    return item


def previous_signature(blob: Opaque, slot: str) -> dict[str, Any]:
    """A reasoning item that carries the signature of the part before it, of a dialect whose parts have signatures."""
    return {"type": "reasoning", "summary": [], "encrypted_content": carry_blob(blob, slot)}


def write_call(call: ToolCall) -> dict[str, Any]:
    """A call of one of the client's tools."""
    slot = ("custom_tool_call", "input") if call.is_custom else ("function_call", "arguments")
    return {
        "type": slot[0],
        "call_id": write_call_id(call.id),
        "name": call.name,
        slot[1]: call.arguments or ("" if call.is_custom else "{}"),
        **item_members([call]),
    }


def write_call_id(call_id: str) -> str:
    """The id as it is, or a stable short one in place of one the API would refuse."""
    if len(call_id) <= _MAX_CALL_ID:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]
