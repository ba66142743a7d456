"""Parts of an answer as parts of a content, for clients.

Signatures of other dialects go to the client in a form that survives its SDK (`signatures`), so they come back.
"""

from __future__ import annotations

from typing import Any

from gatewright.core.call_ids import is_made_up
from gatewright.core.chat import (
    Audio,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.events import Finish
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.usage import Usage
from gatewright.dialects.google.finish import write_word
from gatewright.dialects.google.members import NAME, merged, own_members
from gatewright.dialects.google.read_parts import NULL
from gatewright.dialects.google.signatures import write_signature, write_thought
from gatewright.dialects.google.usage import write_usage
from gatewright.wire.tool_arguments import arguments_object, tell_arguments


def write_part(part: Part, path: str, report: LossReport) -> dict[str, Any] | None:
    """One part, whole; None when a client of this API cannot get it, which the report was told."""
    match part:
        case Text():
            return _signed({"text": part.text}, part.signature, part.extra)
        case Reasoning():
            return write_reasoning(part)
        case ToolCall():
            return write_call(part, path, report)
        case Refusal():
            report.note(Feature.REFUSAL, Outcome.APPROXIMATED, path, "written as text")
            return {"text": part.text}
        case Image():
            return _signed(_medium(part.source, path, report), part.signature, part.extra)
        case Audio() | Video() | File():
            if isinstance(part, Audio) and part.transcript:
                report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, path, "Gemini's answers have no transcripts")
            return _signed(_medium(part.source, path, report), None, part.extra)
        case Native() if part.dialect == NAME:
            return merged({}, part.raw)
        case Native():
            report.note(Feature.NATIVE_TOOLS, Outcome.DROPPED, path, f"Gemini has no `{part.kind}` parts")
            return None
        case ToolResult():
            report.note(Feature.TOOLS, Outcome.DROPPED, path, "an answer holds no results")
            return None


def write_reasoning(part: Reasoning) -> dict[str, Any] | None:
    """A thought."""
    written: dict[str, Any] = {"text": part.text, "thought": True} if part.text else {}
    signature = write_thought(part.signature, part.encrypted, part.id)
    if signature is not None:
        written["thoughtSignature"] = signature
        if not part.text and not _is_own(part):
            written |= {"text": "", "thought": True}
    return written | own_members(part.extra, NAME) or None


def _is_own(part: Reasoning) -> bool:
    return part.signature is not None and part.signature.dialect == NAME and part.encrypted is None


def write_call(part: ToolCall, path: str, report: LossReport) -> dict[str, Any]:
    """A call; its arguments are an object whatever the model wrote."""
    tell_arguments(part, path, report.note)
    call: dict[str, Any] = {"name": part.name, "args": arguments_object(part)}
    if part.id and not is_made_up(part.id):
        call["id"] = part.id
    extra = own_members(part.extra, NAME)
    written: dict[str, Any] = {"functionCall": merged(call, extra.pop("functionCall", None))}
    if part.signature is not None:
        written["thoughtSignature"] = write_signature(part.signature)
    return written | extra


def _signed(written: dict[str, Any], signature: Opaque | None, extra: Extension | None) -> dict[str, Any]:
    if signature is not None:
        written["thoughtSignature"] = write_signature(signature)
    if extra is None:
        return written
    kept = own_members(extra, NAME)
    for name in ("inlineData", "fileData"):
        if name in kept and name in written:
            written[name] = merged(written[name], kept.pop(name))
    return written | kept


def _medium(source: Source, path: str, report: LossReport) -> dict[str, Any]:
    if source.data is not None:
        return {"inlineData": {"mimeType": source.media_type or "application/octet-stream", "data": source.data}}
    uri = source.url or source.file_id
    if uri is None:
        report.note(Feature.MEDIA_OUTPUT, Outcome.DROPPED, path, "it has no content")
    blob = {"fileUri": uri or ""}
    return {"fileData": blob if source.media_type is None else {"mimeType": source.media_type, **blob}}


def write_end(finish: Finish, path: str, report: LossReport) -> dict[str, Any]:
    """The members of a candidate that say why it ended; none for an answer that had no candidates."""
    word = write_word(finish)
    written: dict[str, Any] = {} if word is None else {"finishReason": word}
    if finish.reason in ("pause", "error") and finish.dialect != NAME:
        report.note(Feature.VENDOR, Outcome.APPROXIMATED, path, f"`{finish.native or finish.reason}` is told as OTHER")
        written["finishMessage"] = finish.native or finish.reason
    return written | own_members(finish.extra, NAME)


def blocked_feedback(finish: Finish | None) -> dict[str, Any] | None:
    """What an answer without candidates says instead; None when it has them."""
    if finish is None or finish.extra is None:
        return None
    kept = own_members(finish.extra, NAME)
    if "promptFeedback" not in kept:
        return None
    return {} if kept["promptFeedback"] == NULL else {"promptFeedback": kept["promptFeedback"]}


def usage_member(usage: Usage | None, extra: Extension | None) -> dict[str, Any]:
    """`usageMetadata`, where something was counted."""
    return {} if usage is None else {"usageMetadata": write_usage(usage, extra)}
