"""Writes the messages of a request of the Ollama API.

Results of tools are messages of their own, told apart by the tool's name and, where calls have no ids, by their order:
they are written in the order of the calls.
"""

from __future__ import annotations

from typing import Any, Final

from gatewright.core.call_ids import is_made_up
from gatewright.core.chat import (
    ChatRequest,
    File,
    Image,
    Message,
    Native,
    Part,
    Reasoning,
    Refusal,
    Role,
    Text,
    ToolCall,
    ToolResult,
    tool_names,
)
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.dialects.ollama.message import join_text, with_extra, write_call
from gatewright.dialects.ollama.names import NAME, is_own, own
from gatewright.wire.media import text_of_file
from gatewright.wire.tool_arguments import tell_arguments

_MEDIA: Final[dict[str, Feature]] = {"audio": Feature.AUDIO, "video": Feature.VIDEO, "file": Feature.DOCUMENT}


class _Said:
    """What one message of the wire holds."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.images: list[str] = []
        self.calls: list[dict[str, Any]] = []

    def render(self, role: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": role, "content": join_text(self.texts) if self.texts else ""}
        if self.thoughts:
            message["thinking"] = join_text(self.thoughts)
        if self.images:
            message["images"] = self.images
        if self.calls:
            message["tool_calls"] = self.calls
        return message


class MessageWriter:
    """Writes one conversation; `write` once."""

    def __init__(self, request: ChatRequest, report: LossReport) -> None:
        self._request = request
        self._report = report
        self._names = tool_names(request.messages)
        self._called = 0
        self._places: dict[str, int] = {}
        """Call id → its place among the calls of the conversation, the latest call of an id."""

    def write(self) -> list[dict[str, Any]]:
        """The messages, in order. Tells the report whatever is not carried over exactly."""
        written: list[dict[str, Any]] = []
        results: list[tuple[int, dict[str, Any]]] = []
        for index, message in enumerate(self._request.messages):
            path = f"messages[{index}]"
            if message.name is not None:
                self._report.dropped(Feature.MESSAGE_NAME, f"{path}.name", "the API has no names of speakers")
            found, rest = self._split(message, path)
            results.extend(found)
            if rest or not message.parts:
                written.extend(self._ordered(results))
                results = []
                written.append(self._write_message(message, rest, path))
        written.extend(self._ordered(results))
        return written

    def _split(self, message: Message, path: str) -> tuple[list[tuple[int, dict[str, Any]]], list[tuple[str, Part]]]:
        """The results in a message, and its other parts with their paths."""
        results: list[tuple[int, dict[str, Any]]] = []
        rest: list[tuple[str, Part]] = []
        for number, part in enumerate(message.parts):
            at = f"{path}.parts[{number}]"
            if isinstance(part, ToolResult):
                results.append((self._places.get(part.call_id, self._called + 1), self._write_result(part, at)))
            else:
                rest.append((at, part))
        return results, rest

    def _ordered(self, results: list[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
        return [message for _, message in sorted(results, key=lambda result: result[0])]

    def _write_message(self, message: Message, parts: list[tuple[str, Part]], path: str) -> dict[str, Any]:
        role: str = message.role
        if role == "developer":
            if not is_own(message.extra):
                self._report.approximated(Feature.DEVELOPER, path, "sent as a system message")
            role = "system"
        said = _Said()
        for at, part in parts:
            self._say(part, at, said, message.role)
        if role == "assistant":
            calls = [part for _, part in parts if isinstance(part, ToolCall)]
            for call in calls:
                self._called += 1
                self._places[call.id] = self._called
        return with_extra(said.render(role), message.extra)

    def _write_result(self, result: ToolResult, path: str) -> dict[str, Any]:
        said = _Said()
        for number, part in enumerate(result.content):
            self._say(part, f"{path}.content[{number}]", said, "user", media=Feature.TOOL_RESULT_MEDIA)
        if result.is_error:
            self._report.approximated(Feature.TOOL_RESULT_ERROR, path, "the API has no mark for failed calls")
        if result.cache is not None:
            self._tell_cache(path)
        message = said.render("tool")
        name = result.name
        if name is None and not is_own(result.extra):
            name = self._names.get(result.call_id)
        if name is not None:
            message["tool_name"] = name
        members = own(result.extra)
        is_absent = members.pop("tool_call_id", None) is not None
        if not is_absent and not is_made_up(result.call_id):
            message["tool_call_id"] = result.call_id
        return message | members

    def _say(self, part: Part, path: str, said: _Said, role: Role, media: Feature | None = None) -> None:
        if getattr(part, "cache", None) is not None:
            self._tell_cache(path)
        match part:
            case Text(text=text):
                self._tell_text(part, path)
                said.texts.append(text)
            case Refusal(text=text):
                self._report.approximated(Feature.REFUSAL, path, "sent as plain words")
                said.texts.append(text)
            case Reasoning():
                self._think(part, path, said)
            case ToolCall():
                tell_arguments(part, path, self._report.add)
                if part.signature is not None:
                    self._tell_signature(path)
                said.calls.append(write_call(part))
            case Image():
                self._show(part, path, said, media)
            case Native():
                tell_native(part, role, path, self._report)
            case _:
                self._attach(part, path, said, media)

    def _tell_text(self, part: Text, path: str) -> None:
        if part.citations:
            self._report.dropped(Feature.CITATIONS, path, "the API takes no citations back")
        if part.signature is not None:
            self._tell_signature(path)

    def _tell_signature(self, path: str) -> None:
        self._report.dropped(Feature.REASONING_REPLAY, path, "the API has no place for signatures")

    def _think(self, part: Reasoning, path: str, said: _Said) -> None:
        blob = part.encrypted or part.signature
        if blob is not None and blob.dialect != NAME:
            # Thoughts of another vendor's model, proven or hidden: they are no thoughts of the model that is asked.
            self._report.dropped(Feature.REASONING_REPLAY, path, "only the provider that issued them can use them")
        elif part.text:
            said.thoughts.append(part.text)

    def _show(self, part: Image, path: str, said: _Said, media: Feature | None) -> None:
        source = part.source
        if part.detail not in (None, "auto"):
            self._report.dropped(Feature.IMAGE_DETAIL, f"{path}.detail", "the API has no such member")
        if source.data is not None:
            said.images.append(source.data)
        elif source.file_id is not None:
            self._report.refused(media or Feature.FILE_ID, path, "the API takes images as base64 only")
        else:
            self._report.refused(media or Feature.IMAGE_URL, path, "the API takes images as base64 only")

    def _attach(self, part: Any, path: str, said: _Said, media: Feature | None) -> None:
        text = text_of_file(part) if isinstance(part, File) else None
        feature = media or _MEDIA.get(part.__struct_config__.tag, Feature.DOCUMENT)
        if text is not None:
            self._report.approximated(feature, path, "sent as text of the message")
            if part.is_cited:
                self._report.dropped(Feature.CITATIONS, path, "the API does not cite documents")
            said.texts.append(text)
        elif getattr(part, "source", None) is not None and part.source.file_id is not None:
            self._report.refused(Feature.FILE_ID, path, "the API has no uploaded files")
        else:
            self._report.refused(feature, path, "the API takes text and images only")

    def _tell_cache(self, path: str) -> None:
        self._report.dropped(Feature.CACHE_MARK, path, "the server caches prompts by itself")
