"""Parts → content blocks of a request. Whatever the API cannot take is told to the report, part by part."""

from __future__ import annotations

from typing import Any

from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    File,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.dialects.anthropic.cache_marks import Marks
from gatewright.dialects.anthropic.citations import is_own, write_citation
from gatewright.dialects.anthropic.vocabulary import NAME, clean_id, clean_name, own
from gatewright.dialects.anthropic.write_media import write_document, write_image
from gatewright.wire.tool_arguments import arguments_object, tell_arguments

Block = dict[str, Any] | Raw


class BlockWriter:
    """Writes the parts of one request's messages."""

    def __init__(self, report: LossReport, marks: Marks) -> None:
        self._report = report
        self._marks = marks

    def write(self, parts: tuple[Part, ...], role: Role, path: str) -> list[Block]:
        """The blocks of a message's parts."""
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            block = self._block(part, role, f"{path}.parts[{index}]")
            if block is not None:
                blocks.append(block)
        return blocks

    def _block(self, part: Part, role: Role, path: str) -> Block | None:
        match part:
            case Text():
                return self._text(part, path)
            case ToolCall():
                return self._call(part, path)
            case ToolResult():
                return self._result(part, path)
            case Reasoning():
                return self._reasoning(part, path)
            case Native():
                return self._native(part, role, path)
            case Refusal():
                if not part.text:
                    return None
                self._report.approximated(Feature.REFUSAL, path, "sent back as plain text")
                return {"type": "text", "text": part.text}
            case _:
                return self._medium(part, role, path)

    def _text(self, part: Text, path: str) -> Block | None:
        self._foreign_signature(part, path)
        if not part.text:
            return None  # the API refuses empty text
        block: dict[str, Any] = {"type": "text", "text": part.text}
        if part.citations:
            kept = [write_citation(citation) for citation in part.citations if is_own(citation)]
            if len(kept) < len(part.citations):
                self._report.dropped(Feature.CITATIONS, path, "citations of another vendor cannot be sent back")
            if kept:
                block["citations"] = kept
        self._marks.put(block, part.cache, path)
        block.update(own(part.extra))
        return block

    def _call(self, part: ToolCall, path: str) -> Block:
        self._foreign_signature(part, path)
        tell_arguments(part, path, self._report.add)
        arguments = arguments_object(part)
        name = clean_name(part.name)
        if name != part.name:
            self._report.approximated(Feature.TOOLS, path, f"the tool's name is written `{name}`")
        block: dict[str, Any] = {"type": "tool_use", "id": clean_id(part.id), "name": name, "input": arguments}
        self._marks.put(block, part.cache, path)
        block.update(own(part.extra))
        return block

    def _foreign_signature(self, part: Text | ToolCall, path: str) -> None:
        if part.signature is not None and part.signature.dialect != NAME:
            self._report.dropped(
                Feature.REASONING_REPLAY, path, f"only {part.signature.dialect} can read its signature"
            )

    def _result(self, part: ToolResult, path: str) -> Block:
        block: dict[str, Any] = {"type": "tool_result", "tool_use_id": clean_id(part.call_id)}
        mark = part.cache
        content: list[Block] = []
        for index, inner in enumerate(part.content):
            inner_path = f"{path}.content[{index}]"
            # A mark inside the content is refused by the API; on the result it covers the same prompt.
            mark = getattr(inner, "cache", None) or mark
            if isinstance(inner, Audio | Video):
                self._report.refused(Feature.TOOL_RESULT_MEDIA, inner_path, "tool results hold text, images, documents")
                continue
            written = self._inner(inner, inner_path)
            if written is not None:
                content.append(written)
        if content:
            block["content"] = content
        if part.is_error is not None:
            block["is_error"] = part.is_error
        if mark is not part.cache:
            self._report.approximated(Feature.CACHE_MARK, path, "the mark is moved onto the tool result")
        self._marks.put(block, mark, path)
        block.update(own(part.extra))
        return block

    def _inner(self, part: Part, path: str) -> Block | None:
        match part:
            case Text():
                return {"type": "text", "text": part.text, **own(part.extra)} if part.text else None
            case Image():
                return write_image(part, path, self._report)
            case File():
                return write_document(part, path, self._report)
            case _:
                return self._block(part, "user", path)

    def _reasoning(self, part: Reasoning, path: str) -> Block | None:
        if part.encrypted is not None and part.encrypted.dialect == NAME:
            return {"type": "redacted_thinking", "data": part.encrypted.value, **own(part.extra)}
        if part.signature is not None and part.signature.dialect == NAME:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature.value, **own(part.extra)}
        blob = part.encrypted or part.signature
        reason = "it carries no signature" if blob is None else f"only {blob.dialect} can read its signature"
        self._report.dropped(Feature.REASONING_REPLAY, path, reason)
        return None

    def _native(self, part: Native, role: Role, path: str) -> Block | None:
        if part.dialect == NAME:
            self._marks.count(part.cache)
            return part.raw
        tell_native(part, role, path, self._report)
        return None

    def _medium(self, part: Image | File | Audio | Video, role: Role, path: str) -> Block | None:
        if role == "assistant":
            return self._made_medium(part, path)
        block: dict[str, Any] | None = None
        match part:
            case Audio():
                self._report.refused(Feature.AUDIO, path, "the API takes no sound")
            case Video():
                self._report.refused(Feature.VIDEO, path, "the API takes no films")
            case Image():
                block = write_image(part, path, self._report)
            case File():
                block = write_document(part, path, self._report)
        if block is not None:
            self._marks.put(block, part.cache, path)
            block.update({name: raw for name, raw in own(part.extra).items() if name == "cache_control"})
        return block

    def _made_medium(self, part: Image | File | Audio | Video, path: str) -> Block | None:
        """Media that a model made earlier: assistant turns of this API hold none, but may hold what was said."""
        if isinstance(part, Audio) and part.transcript:
            self._report.approximated(Feature.MEDIA_OUTPUT, path, "the sound is sent back as its transcript")
            return {"type": "text", "text": part.transcript}
        self._report.dropped(Feature.MEDIA_OUTPUT, path, "the API takes no media in assistant turns")
        return None
