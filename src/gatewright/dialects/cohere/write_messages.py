"""Writes the messages of a request of Cohere's API.

System turns stand first; those in mid-conversation are sent as words of the user. Results of tools are messages of
their own.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gatewright.core.chat import (
    ChatRequest,
    File,
    Image,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.core.traits import Traits
from gatewright.dialects.cohere.message import write_assistant
from gatewright.dialects.cohere.names import NAME, is_own, members_of, own
from gatewright.wire.json_object import JsonObject
from gatewright.wire.media import text_of_file, write_data_url
from gatewright.wire.tool_arguments import tell_arguments

_MEDIA: Final[dict[str, Feature]] = {"audio": Feature.AUDIO, "video": Feature.VIDEO, "file": Feature.DOCUMENT}


class MessageWriter:
    """Writes one conversation; `write` once."""

    def __init__(self, request: ChatRequest, traits: Traits, report: LossReport) -> None:
        self._request = request
        self._traits = traits
        self._report = report
        self._is_begun = False
        """Whether anything but system turns was written."""

    def write(self) -> list[dict[str, Any]]:
        """The messages, in order. Tells the report whatever is not carried over exactly."""
        written: list[dict[str, Any]] = []
        messages = self._request.messages
        for index, message in enumerate(messages):
            path = f"messages[{index}]"
            if message.name is not None:
                self._report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "the API has no names of speakers")
            if message.role == "assistant":
                self._is_begun = True
                written.append(self._write_assistant(message, path))
            else:
                self._write_other(message, path, written)
        last = messages[-1] if messages else None
        if last is not None and last.role == "assistant" and last.parts and isinstance(last.parts[-1], Text):
            self._report.approximated(
                Feature.PREFILL, f"messages[{len(messages) - 1}]", "it is answered, not continued"
            )
        return written

    def _write_assistant(self, message: Message, path: str) -> dict[str, Any]:
        parts: list[Part] = []
        for index, part in enumerate(message.parts):
            at = f"{path}.parts[{index}]"
            self._tell_cache(part, at)
            kept = self._keep(part, at)
            if kept is not None:
                parts.append(kept)
        members = own(message.extra)
        citations = members.pop("citations", None)
        more = [] if citations is None else JsonObject({"citations": citations}).items("citations") or []
        written = write_assistant(parts, more)
        contents = written.get("content")
        if contents is not None and len(contents) == 1 and isinstance(contents[0], dict):
            plain: dict[str, Any] = contents[0]
            if plain.keys() == {"type", "text"}:
                written["content"] = plain["text"]
        if written.keys() == {"role"}:
            written["content"] = ""
        return written | members

    def _keep(self, part: Part, path: str) -> Part | None:
        """A part of an assistant's turn as this API can hold it; None for one that is left out."""
        match part:
            case Text():
                self._tell_signature(part, path)
                if not part.text and not part.citations and not is_own(part.extra):
                    return None  # other APIs spell a turn of nothing but calls so
                if any(not is_own(citation.extra) for citation in part.citations):
                    self._report.dropped(Feature.CITATIONS, path, "the API takes back its own citations only")
                    own_ones = tuple([citation for citation in part.citations if is_own(citation.extra)])
                    return msgspec.structs.replace(part, citations=own_ones)
                return part
            case Refusal(text=text):
                self._report.approximated(Feature.REFUSAL, path, "sent as plain words")
                return Text(text=text)
            case Reasoning():
                return self._keep_thoughts(part, path)
            case ToolCall():
                self._tell_signature(part, path)
                if part.is_custom:
                    tell_arguments(part, path, self._report.add)
                return part
            case Native():
                if part.dialect == NAME:
                    return part
                tell_native(part, "assistant", path, self._report)
                return None
            case _:
                self._report.dropped(Feature.MEDIA_OUTPUT, path, "an assistant's turn holds text only")
                return None

    def _tell_signature(self, part: Text | ToolCall, path: str) -> None:
        if part.signature is not None:
            self._report.dropped(Feature.REASONING_REPLAY, path, "the API has no place for signatures")

    def _keep_thoughts(self, part: Reasoning, path: str) -> Reasoning | None:
        blob = part.encrypted or part.signature
        if is_own(part.extra) or (blob is not None and blob.dialect == NAME):
            return part
        # Thoughts of another vendor's model are not taken by models that do not think, so the host must want them.
        if blob is None and part.text and self._traits.replays_reasoning:
            return part
        self._report.dropped(Feature.REASONING_REPLAY, path, "only the provider that issued them can use them")
        return None

    def _write_other(self, message: Message, path: str, written: list[dict[str, Any]]) -> None:
        """A message that is not the assistant's: results of tools first, then what else it says."""
        said: list[tuple[str, Part]] = []
        for index, part in enumerate(message.parts):
            at = f"{path}.parts[{index}]"
            self._tell_cache(part, at)
            if isinstance(part, ToolResult):
                self._is_begun = True
                written.append(self._write_result(part, at))
            else:
                said.append((at, part))
        if not said and message.parts:
            return
        role = self._role(message, path)
        content = _plain([block for at, part in said for block in self._write_part(part, at)])
        written.append({"role": role, "content": content, **own(message.extra)})

    def _role(self, message: Message, path: str) -> str:
        if message.role == "developer":
            self._report.approximated(Feature.DEVELOPER, path, "sent as a system message")
        if message.role == "user":
            self._is_begun = True
            return "user"
        if self._is_begun and not self._traits.has_mid_system:
            self._report.approximated(Feature.MID_SYSTEM, path, "sent as words of the user")
            return "user"
        return "system"

    def _write_result(self, result: ToolResult, path: str) -> dict[str, Any]:
        if result.is_error:
            self._report.approximated(Feature.TOOL_RESULT_ERROR, path, "the API has no mark for failed calls")
        blocks: list[Any] = []
        for index, part in enumerate(result.content):
            at = f"{path}.content[{index}]"
            self._tell_cache(part, at)
            if isinstance(part, Text) or (isinstance(part, Native) and part.dialect == NAME):
                blocks.extend(self._write_part(part, at))
            else:
                self._report.refused(Feature.TOOL_RESULT_MEDIA, at, "results of tools are text")
        content = _plain(blocks)
        return {"role": "tool", "tool_call_id": result.call_id, "content": content, **own(result.extra)}

    def _write_part(self, part: Part, path: str) -> list[Any]:
        match part:
            case Text(text=text):
                members = own(part.extra)
                block = members.pop("block", None)
                return [{"type": "text", "text": text, **members} if block is None else block]
            case Image():
                return self._write_image(part, path)
            case Refusal(text=text):
                return [{"type": "text", "text": text}]
            case Native():
                if part.dialect == NAME:
                    return [part.raw]
                tell_native(part, "user", path, self._report)
            case Reasoning() | ToolCall() | ToolResult():
                self._report.dropped(Feature.REASONING_REPLAY, path, "only an assistant's turn can hold it")
            case _:
                return self._write_medium(part, path)
        return []

    def _write_image(self, part: Image, path: str) -> list[Any]:
        source = part.source
        url = write_data_url(source, "image/png")
        if url is None or not url.startswith(("http:", "https:", "data:")):
            feature = Feature.IMAGE_URL if source.url is not None else Feature.FILE_ID
            self._report.refused(feature, path, "images are sent inline or by an address of the web")
            return []
        image: dict[str, Any] = {"url": url}
        if part.detail in ("auto", "low", "high") or (part.detail is not None and is_own(part.extra)):
            image["detail"] = part.detail
        elif part.detail is not None:
            self._report.dropped(Feature.IMAGE_DETAIL, f"{path}.detail", f"{part.detail} is no level of the API")
        members = own(part.extra)
        image.update(members_of(members.pop("image_url", None)))
        return [{"type": "image_url", **members, "image_url": image}]

    def _write_medium(self, part: Any, path: str) -> list[Any]:
        feature = _MEDIA.get(part.__struct_config__.tag, Feature.DOCUMENT)
        text = text_of_file(part) if isinstance(part, File) else None
        if text is not None:
            self._report.approximated(feature, path, "sent as text of the message")
            if part.is_cited:
                self._report.dropped(Feature.CITATIONS, path, "the API does not cite documents")
            return [{"type": "text", "text": text}]
        if part.source.file_id is not None:
            feature = Feature.FILE_ID
        self._report.refused(feature, path, "the API takes text and images only")
        return []

    def _tell_cache(self, part: Any, path: str) -> None:
        if getattr(part, "cache", None) is not None:
            self._report.dropped(Feature.CACHE_MARK, path, "the provider caches prompts by itself")


def _plain(blocks: list[Any]) -> Any:
    """Contents in the shortest form: one text is a string."""
    if not blocks:
        return ""
    first = blocks[0]
    is_string = len(blocks) == 1 and isinstance(first, dict) and first.keys() == {"type", "text"}
    return first["text"] if is_string else blocks
