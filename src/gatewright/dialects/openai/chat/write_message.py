"""The hub's messages as chat messages, in the order the API wants: results right after the calls they answer.

Media that stand where chat completions allow only text (in tool results, in an assistant's message) follow in a user
message of their own.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any, Final

from gatewright.core.chat import (
    Audio,
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
    Video,
)
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.core.traits import Traits
from gatewright.dialects.openai.chat.media import form_of, rest_of, write_image
from gatewright.dialects.openai.chat.reasoning import (
    member_of,
    write_block,
    write_entry,
    write_thinking,
    write_thought_signature,
)
from gatewright.dialects.openai.chat.words import NAME, own
from gatewright.dialects.openai.chat.write_media import write_media

_ALNUM9: Final = re.compile(r"[a-zA-Z0-9]{9}\Z")
_MAX_ID: Final = 40
"""Characters of the longest id that OpenAI takes."""
_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def hashed_id(call_id: str) -> str:
    """Nine letters or digits for an id, always the same for the same id."""
    number = int.from_bytes(sha256(call_id.encode("utf-8", "replace")).digest()[:8], "big")
    letters = []
    for _ in range(9):
        number, digit = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[digit])
    return "".join(letters)


class MessageWriter:
    """Writes the messages of one request."""

    def __init__(self, traits: Traits, report: LossReport) -> None:
        self._traits = traits
        self._report = report
        self._later: list[dict[str, Any]] = []
        """Content parts that wait for the next place where a user message may stand."""
        self._has_told_cache = False
        self._has_told_citations = False
        self.messages: list[dict[str, Any]] = []

    def write(self, message: Message, path: str) -> None:
        """Add what one message of the hub becomes."""
        match message.role:
            case "user":
                self._write_user(message, path)
            case "assistant":
                self._flush()
                self._write_assistant(message, path)
            case _:
                self._flush()
                self._write_system(message, path)

    def end(self) -> list[dict[str, Any]]:
        """All messages."""
        self._flush()
        return self.messages

    def _flush(self) -> None:
        if self._later:
            self.messages.append({"role": "user", "content": self._later})
            self._later = []

    # -- system

    def _write_system(self, message: Message, path: str) -> None:
        role: str = message.role
        if role == "developer" and not self._traits.has_developer_role:
            role = "system"
        elif role == "system" and not self._traits.has_system_role:
            role = "developer"
        content: list[dict[str, Any]] = []
        for index, part in enumerate(message.parts):
            if isinstance(part, Text):
                content.append(self._write_text(part, f"{path}.parts[{index}]"))
            else:
                self._refuse(part, f"{path}.parts[{index}]", "system messages hold only text")
        self.messages.append(self._message(message, role, _content(content)))

    def _message(self, message: Message, role: str, content: Any) -> dict[str, Any]:
        named = {} if message.name is None else {"name": message.name}
        if content is None and role != "assistant" and message.parts:
            content = ""  # all parts were left out; null is refused in all but an assistant's messages
        return {"role": role, "content": content, **named, **own(message.extra)}

    def _write_text(self, part: Text, path: str) -> dict[str, Any]:
        if part.cache is not None:
            self._tell_cache(part, path)
        return {"type": "text", "text": part.text, **own(part.extra)}

    def _tell_cache(self, part: Any, path: str) -> None:
        # One entry serves for all marks: they say the same, and there may be many.
        is_own = part.extra is not None and part.extra.dialect == NAME
        if not is_own and not self._has_told_cache:
            self._has_told_cache = True
            self._report.dropped(Feature.CACHE_MARK, path, "the provider chooses by itself what it caches")

    def _refuse(self, part: Part, path: str, note: str, role: Role = "user") -> None:
        match part:
            case Native():
                if part.dialect != NAME:
                    tell_native(part, role, path, self._report)
            case Audio():
                self._report.refused(Feature.AUDIO, path, note)
            case Video():
                self._report.refused(Feature.VIDEO, path, note)
            case File():
                self._report.refused(Feature.DOCUMENT, path, note)
            case Image():
                self._report.refused(Feature.IMAGE_DATA, path, note)
            case Reasoning():
                self._report.dropped(Feature.REASONING_REPLAY, path, note)
            case _:
                self._report.refused(Feature.TOOLS, path, note)

    # -- user

    def _write_user(self, message: Message, path: str) -> None:
        content: list[Any] = []
        has_results = False
        for index, part in enumerate(message.parts):
            where = f"{path}.parts[{index}]"
            match part:
                case ToolResult():
                    has_results = True
                    self._write_result(part, where)
                case Text():
                    content.append(self._write_text(part, where))
                case Image() | Audio() | Video() | File():
                    if part.cache is not None:
                        self._tell_cache(part, where)
                    written = write_media(part, self._report, where)
                    if written is not None:
                        content.append(written)
                case Native(dialect=dialect) if dialect == NAME:
                    content.append(part.raw)
                case _:
                    self._refuse(part, where, "it cannot stand in a user's message")
        if content or not has_results:
            self._flush()
            self.messages.append(self._message(message, "user", _content(content)))

    def _write_result(self, part: ToolResult, path: str) -> None:
        content: list[Any] = []
        media: list[dict[str, Any]] = []
        for index, piece in enumerate(part.content):
            where = f"{path}.content[{index}]"
            match piece:
                case Text():
                    content.append(self._write_text(piece, where))
                case Image() | Audio() | Video() | File():
                    written = write_media(piece, self._report, where)
                    if written is not None:
                        media.append(written)
                        self._report.approximated(
                            Feature.TOOL_RESULT_MEDIA, where, "sent in a user message after the tool results"
                        )
                case Native(dialect=dialect) if dialect == NAME:
                    content.append(piece.raw)
                case _:
                    self._refuse(piece, where, "tool results hold text and media")
        if part.is_error:
            self._report.approximated(Feature.TOOL_RESULT_ERROR, path, "the failure is told by its text alone")
        if part.cache is not None:
            self._tell_cache(part, path)
        call_id = self._call_id(part.call_id)
        if media:
            self._later += [{"type": "text", "text": f"From the result of tool call {call_id}:"}, *media]
            if not content:
                content = [{"type": "text", "text": "The result is in the next message of the user."}]
        text = _content(content) if content else ""
        if form_of(part) == "function":
            self.messages.append({"role": "function", "name": part.name, "content": text, **rest_of(part)})
            return
        named = {"name": part.name} if part.name is not None and part.extra is not None else {}
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text, **named, **rest_of(part)})

    def _call_id(self, call_id: str) -> str:
        if self._traits.tool_id_form == "alnum9" and _ALNUM9.match(call_id) is None:
            return hashed_id(call_id)
        if self._traits.tool_id_form == "max40" and len(call_id) > _MAX_ID:
            return f"call_{sha256(call_id.encode()).hexdigest()[:32]}"
        return call_id

    # -- assistant

    def _write_assistant(self, message: Message, path: str) -> None:
        content: list[Any] = []
        out: dict[str, Any] = {}
        thoughts: list[str] = []
        for index, part in enumerate(message.parts):
            where = f"{path}.parts[{index}]"
            match part:
                case Text():
                    content.append(self._write_text(part, where))
                    self._tell_citations(part, where)
                    if part.signature is not None:
                        self._write_signature(part, out, where)
                case ToolCall():
                    self._write_call(part, out, where)
                case Reasoning():
                    self._write_reasoning(part, out, thoughts, content, where)
                case Refusal():
                    if form_of(part) == "part":
                        content.append({"type": "refusal", "refusal": part.text, **rest_of(part)})
                    else:
                        out["refusal"] = out.get("refusal", "") + part.text
                case Native(dialect=dialect) if dialect == NAME:
                    content.append(part.raw)
                case Image() | Audio() | Video() | File():
                    self._write_made_medium(part, out, content, where)
                case _:
                    self._refuse(part, where, "it cannot stand in an assistant's message", "assistant")
        if thoughts:
            member = self._traits.reasoning_member
            out[member] = "\n\n".join(([out[member]] if member in out else []) + thoughts)
        members = own(message.extra)
        if not content and not out and not members:
            return  # nothing of the message is left
        self.messages.append({**self._message(message, "assistant", _content(content)), **out, **members})

    def _tell_citations(self, part: Text, path: str) -> None:
        if part.citations and not self._has_told_citations:
            self._has_told_citations = True
            self._report.dropped(Feature.CITATIONS, path, "citations of earlier answers are not sent back")

    def _write_call(self, part: ToolCall, out: dict[str, Any], path: str) -> None:
        if part.cache is not None:
            self._tell_cache(part, path)
        rest = rest_of(part, "function")
        if form_of(part) == "function_call":
            out["function_call"] = {"name": part.name, "arguments": part.arguments, **rest}
            return
        call: dict[str, Any] = {"id": self._call_id(part.id)}
        if part.is_custom:
            call |= {"type": "custom", "custom": {"name": part.name, "input": part.arguments}, **rest}
        else:
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            call |= {"type": "function", "function": function, **rest}
        if part.signature is not None:
            self._write_signature(part, call, path)
        out.setdefault("tool_calls", []).append(call)

    def _write_signature(self, part: Text | ToolCall, into: dict[str, Any], path: str) -> None:
        signature = part.signature
        if signature is not None and signature.dialect == NAME:
            into["extra_content"] = write_thought_signature(signature, part.extra)
        elif signature is not None:
            self._report.dropped(Feature.REASONING_REPLAY, path, "its signature is another vendor's")

    def _write_reasoning(
        self, part: Reasoning, out: dict[str, Any], thoughts: list[str], content: list[Any], path: str
    ) -> None:
        member = member_of(part)
        blobs = [blob for blob in (part.signature, part.encrypted) if blob is not None]
        if member == "thinking_blocks":
            out.setdefault("thinking_blocks", []).append(write_block(part))
        elif any(blob.dialect != NAME for blob in blobs):
            if self._traits.replays_reasoning and part.text:
                self._report.approximated(Feature.REASONING_REPLAY, path, "sent without its signature")
                thoughts.append(part.text)
            else:
                self._report.dropped(Feature.REASONING_REPLAY, path, "only its own vendor can take it back")
        elif member == "content":
            content.append(write_thinking(part))
        elif member == "reasoning_details" or blobs:
            entries = out.setdefault("reasoning_details", [])
            entries.append(write_entry(part, len(entries)))
        elif member is not None and not self._traits.replays_reasoning:
            out[member] = out[member] + part.text if member in out else part.text
        elif self._traits.replays_reasoning:
            thoughts.append(part.text)
        else:
            self._report.dropped(Feature.REASONING_REPLAY, path, "the provider takes no thoughts back")

    def _write_made_medium(
        self, part: Image | Audio | Video | File, out: dict[str, Any], content: list[Any], path: str
    ) -> None:
        """Sound is named by its id; pictures that the model made are shown to it in a user message."""
        if isinstance(part, Audio) and part.source.data is None and part.id is not None:
            out["audio"] = {"id": part.id, **rest_of(part)}
            return
        if isinstance(part, Audio) and part.transcript:
            self._report.approximated(Feature.MEDIA_OUTPUT, path, "only the spoken words are sent back")
            content.append({"type": "text", "text": part.transcript})
            return
        if isinstance(part, Image) and part.extra is not None and part.extra.dialect == NAME and part.source.url:
            out.setdefault("images", []).append(write_image(part, part.source.url))
            return
        written = write_media(part, self._report, path)
        if written is not None:
            self._report.approximated(Feature.MEDIA_OUTPUT, path, "sent back in a user message")
            self._later += [{"type": "text", "text": "From the assistant's answer:"}, written]


def _content(parts: list[Any]) -> Any:
    """Content parts as they are written: one plain text is a string."""
    if len(parts) == 1 and isinstance(parts[0], dict) and parts[0].keys() == {"type", "text"}:
        return parts[0]["text"]
    return parts or None
