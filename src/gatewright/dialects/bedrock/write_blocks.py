"""Parts of the hub → content blocks of Converse, in requests (losses are told) and in answers (losses are noted)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Raw, Struct

from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.dialects.bedrock.carried import Block, write_redacted, write_signature, write_thought, write_thoughts
from gatewright.dialects.bedrock.media import AUDIOS, DOCUMENTS, IMAGES, VIDEOS, own, write_source
from gatewright.dialects.bedrock.names import NAME, DocumentNames, call_id, tool_name
from gatewright.wire.tool_arguments import arguments_object, tell_arguments

_PLACED: Final = frozenset(("format", "source", "name", "json", "guardContent", "citationsContent"))
"""Members of extensions that the writers put where they belong."""


def cache_point(mark: CacheMark) -> Block:
    """The block that a cache mark is, to stand after what it marks."""
    return {"cachePoint": {"type": "default"} if mark.ttl is None else {"type": "default", "ttl": mark.ttl}}


def write_citation(citation: Citation) -> Block:
    """One citation: as this dialect spelled it, or what of a foreign one has a place."""
    kept = own(citation.extra)
    if kept:
        return dict(kept)
    out: Block = {}
    if citation.title is not None:
        out["title"] = citation.title
    if citation.quote is not None:
        out["sourceContent"] = [{"text": citation.quote}]
    if citation.url is not None:
        out["location"] = {"web": {"url": citation.url}}
    return out


def write_text(part: Text) -> Block | None:
    """A text block, or one with citations; None for no words, which Converse refuses."""
    kept = own(part.extra)
    for name in ("guardContent", "citationsContent"):
        if name in kept:
            return {name: kept[name]}
    if part.citations:
        return {
            "citationsContent": {
                "content": [{"text": part.text}],
                "citations": [write_citation(citation) for citation in part.citations],
            }
        }
    return {"text": part.text, **kept} if part.text else None


def write_call(part: ToolCall, *, strict_ids: bool) -> Block:
    """A toolUse block."""
    use = {
        "toolUseId": call_id(part.id, strict=strict_ids),
        "name": tool_name(part.name),
        "input": arguments_object(part),
    }
    return {"toolUse": {**use, **own(part.extra)}}


class RequestWriter(Struct):
    """Writes the parts of one request."""

    report: LossReport
    names: DocumentNames
    strict_ids: bool
    """Whether the model takes no `.` and `:` in ids."""
    needs_signature: bool
    """Whether the model refuses thoughts without their signature."""
    replays_reasoning: bool
    """Whether thoughts of unknown origin are sent back."""

    def blocks(self, parts: Sequence[Part], path: str, role: Role = "user") -> list[Block | Raw]:
        """The blocks of a message of `role`."""
        out: list[Block | Raw] = []
        for index, part in enumerate(parts):
            block = self._block(part, role, f"{path}.parts[{index}]")
            if block is not None:
                out.append(block)
            mark = self._inner_mark(part, f"{path}.parts[{index}]") or getattr(part, "cache", None)
            if mark is not None and out:
                out.append(cache_point(mark))
        return out

    def _inner_mark(self, part: Part, path: str) -> CacheMark | None:
        """The last mark inside a tool's result, which has no place for one; behind the result it covers the same."""
        inside = part.content if isinstance(part, ToolResult) else ()
        marks: list[CacheMark] = [mark for inner in inside if (mark := getattr(inner, "cache", None)) is not None]
        if not marks:
            return None
        self.report.approximated(Feature.CACHE_MARK, path, "the mark is moved behind the tool result")
        return marks[-1]

    def _block(self, part: Part, role: Role, path: str) -> Block | Raw | None:
        match part:
            case Text():
                self._tell_signature(part.signature, path)
                return self._text(part, path)
            case ToolCall():
                self._tell_signature(part.signature, path)
                tell_arguments(part, path, self.report.add)
                return write_call(part, strict_ids=self.strict_ids)
            case ToolResult():
                return self._result(part, path)
            case Reasoning():
                return self._reasoning(part, path)
            case Refusal():
                self.report.approximated(Feature.REFUSAL, path, "sent as text")
                return {"text": part.text} if part.text else None
            case Native():
                if part.dialect == NAME:
                    return part.raw
                tell_native(part, role, path, self.report)
                return None
            case _:
                return self._medium(part, path)

    def _text(self, part: Text, path: str) -> Block | None:
        if part.citations and not any(own(citation.extra) for citation in part.citations):
            self.report.dropped(Feature.CITATIONS, path, "the words are sent without them")
            return {"text": part.text} if part.text else None
        return write_text(part)

    def _tell_signature(self, signature: Opaque | None, path: str) -> None:
        if signature is not None:
            self.report.dropped(Feature.REASONING_REPLAY, path, "there is no place for this signature")

    def _reasoning(self, part: Reasoning, path: str) -> Block | None:
        blob = part.encrypted
        if blob is not None and blob.dialect == NAME:
            return write_redacted(blob.value, part.extra)
        signature = part.signature
        if signature is not None and signature.dialect == NAME:
            return write_thought(part.text, signature.value, part.extra)
        is_own = part.extra is not None and part.extra.dialect == NAME
        is_usable = signature is None and blob is None and not self.needs_signature
        if part.text and is_usable and (is_own or self.replays_reasoning):
            return write_thought(part.text, None, part.extra)
        self.report.dropped(Feature.REASONING_REPLAY, path, "these thoughts mean nothing to the model")
        return None

    def _result(self, part: ToolResult, path: str) -> Block:
        content: list[Block | Raw] = []
        for index, inner in enumerate(part.content):
            at = f"{path}.content[{index}]"
            kept = own(inner.extra) if isinstance(inner, Text) else {}
            if "json" in kept:
                content.append({"json": kept["json"]})
            elif isinstance(inner, Text | Image | File | Video | Native | Refusal):
                block = self._block(inner, "user", at)
                if block is not None:
                    content.append(block)
            else:
                self.report.refused(Feature.TOOL_RESULT_MEDIA, at, f"a tool's result cannot hold {_word(inner)}")
        result: Block = {"toolUseId": call_id(part.call_id, strict=self.strict_ids), "content": content}
        if part.is_error is not None:
            result["status"] = "error" if part.is_error else "success"
        return {"toolResult": {**result, **own(part.extra)}}

    def _medium(self, part: Image | Audio | Video | File, path: str) -> Block | None:
        match part:
            case Image():
                if "guardContent" in own(part.extra):
                    return {"guardContent": own(part.extra)["guardContent"]}
                if part.detail not in (None, "auto"):
                    self.report.dropped(Feature.IMAGE_DETAIL, path, "the model looks as closely as it does")
                return self._placed("image", part, IMAGES, Feature.IMAGE_DATA, Feature.IMAGE_URL, path)
            case Video():
                return self._placed("video", part, VIDEOS, Feature.VIDEO, Feature.VIDEO, path)
            case Audio():
                if part.source.data is None and part.source.url is None and part.transcript:
                    self.report.approximated(Feature.AUDIO, path, "its transcript is sent")
                    return {"text": part.transcript}
                return self._placed("audio", part, AUDIOS, Feature.AUDIO, Feature.AUDIO, path)
            case File():
                return self._document(part, path)

    def _placed(
        self,
        word: str,
        part: Image | Audio | Video | File,
        formats: dict[str, str],
        feature: Feature,
        by_url: Feature,
        path: str,
    ) -> Block | None:
        """A block of bytes or of an object in S3, if that is what the source is."""
        source = part.source
        kept = own(part.extra)
        if "source" not in kept:
            if source.file_id is not None and source.data is None:
                self.report.refused(Feature.FILE_ID, path, "send the bytes instead of an uploaded file's id")
                return None
            if source.data is None and not _is_s3(source):
                self.report.refused(by_url, path, "send the bytes, or an s3:// address, instead of a URL")
                return None
        placed = write_source(source, formats, part.extra)
        if placed is None:
            told = source.media_type or "its type, which is not told,"
            self.report.refused(feature, path, f"{told} is none of {', '.join(formats)}")
            return None
        return {word: {**placed, **{name: raw for name, raw in kept.items() if name not in _PLACED}}}

    def _document(self, part: File, path: str) -> Block | None:
        block = self._placed("document", part, DOCUMENTS, Feature.DOCUMENT, Feature.DOCUMENT, path)
        if block is None:
            return None
        document = block["document"]
        kept = own(part.extra)
        if "name" in kept:
            document["name"] = kept["name"]
            self.names.keep(part.title or "")
        else:
            filename = (part.source.filename or part.source.url or "").rpartition("/")[2]
            document["name"] = self.names.take(part.title or filename.rpartition(".")[0] or filename or "Document")
        if part.context is not None:
            document["context"] = part.context
        if part.is_cited is not None:
            document["citations"] = {"enabled": part.is_cited}
        return block


def _is_s3(source: Source) -> bool:
    return source.url is not None and source.url.startswith("s3://")


def _word(part: Part) -> str:
    return type(part).__name__.lower()


Note = Callable[[Feature, str, str], None]
"""`(feature, path, what became of it)`."""


def write_answer_blocks(part: Part, path: str, note: Note) -> list[Block | Raw]:
    """The blocks of an answer's part, for a client; ids and names stand as the upstream gave them."""
    blocks = _answer_blocks(part, path, note)
    signature = write_signature(part)
    return blocks if signature is None else [*blocks, write_redacted(signature)]


def _answer_blocks(part: Part, path: str, note: Note) -> list[Block | Raw]:
    match part:
        case Text():
            text = write_text(part)
            if text is None and part.extra is not None and part.extra.dialect == NAME:
                text = {"text": ""}
            return [] if text is None else [text]
        case ToolCall():
            use = {"toolUseId": part.id, "name": part.name, "input": arguments_object(part)}
            return [{"toolUse": {**use, **own(part.extra)}}]
        case Reasoning():
            return [*write_thoughts(part)]
        case Image() if part.source.data is not None or _is_s3(part.source):
            block = write_source(part.source, IMAGES, part.extra)
            return [] if block is None else [{"image": block}]
        case Native() if part.dialect == NAME:
            return [part.raw]
        case _:
            words = words_of(part, path, note)
            return [{"text": words}] if words else []


def words_of(part: Part, path: str, note: Note) -> str:
    """The words that stand for a part Converse answers cannot hold; empty when there are none."""
    match part:
        case Refusal():
            note(Feature.REFUSAL, path, "written as text")
            return part.text
        case Audio():
            note(Feature.MEDIA_OUTPUT, path, "the transcript is written as text")
            return part.transcript or ""
        case Native():
            note(Feature.NATIVE_TOOLS, path, f"{part.kind} is left out")
        case _:
            note(Feature.MEDIA_OUTPUT, path, f"this {_word(part)} is left out")
    return ""
