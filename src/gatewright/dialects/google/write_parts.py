"""The hub's parts as parts of a content, for requests to an upstream.

Answers of tools must be objects (ai.google.dev/api/caching#FunctionResponse): JSON objects are written as they are,
anything else as `{"result": text}`, or `{"error": text}` when the tool failed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.call_ids import is_made_up
from gatewright.core.chat import (
    Audio,
    CacheMark,
    File,
    Image,
    Native,
    Part,
    Reasoning,
    Refusal,
    Role,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
    tool_names,
)
from gatewright.core.chat import Message as HubMessage
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, tell_native
from gatewright.dialects.google.members import NAME, merged, own_members
from gatewright.dialects.google.read_parts import is_object_text
from gatewright.wire.json_object import mend_surrogates
from gatewright.wire.media import image_type
from gatewright.wire.tool_arguments import arguments_object, tell_arguments

_FEATURES: Final[dict[type, Feature]] = {
    Image: Feature.IMAGE_DATA,
    Audio: Feature.AUDIO,
    Video: Feature.VIDEO,
    File: Feature.DOCUMENT,
}
_DEFAULT_TYPES: Final[dict[type, str]] = {
    Image: "image/jpeg",
    Audio: "audio/wav",
    Video: "video/mp4",
    File: "application/pdf",
}
_EXTENSIONS: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "html": "text/html",
    "csv": "text/csv",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "webm": "video/webm",
}
"""Media types of addresses, by how they end."""
_FLAT_RESULTS: Final = ("gemini-1", "gemini-2")
"""Models whose results of tools hold no media; Gemini 3's do."""
Medium = Image | Audio | Video | File
_any = msgspec.json.Decoder()


class PartWriter:
    """Writes the parts of one request, and tells its report what cannot be written."""

    __slots__ = ("_beside", "_is_mark_told", "_names", "_nests_media", "_report", "is_own", "role")

    def __init__(self, messages: tuple[HubMessage, ...], report: LossReport, model: str = "") -> None:
        self._names = tool_names(messages)
        self._report = report
        self._is_mark_told = False
        self._nests_media = not any(generation in model for generation in _FLAT_RESULTS)
        self._beside: list[dict[str, Any]] = []
        self.role: Role = "user"
        """Who says what is being written."""
        self.is_own = False
        """Whether a client of this API wrote what is being written, and so as its model takes it."""

    def write(self, part: Part, path: str) -> dict[str, Any] | None:
        """One part; None when it is left out, which the report was told."""
        if not isinstance(part, Reasoning | Refusal) and part.cache is not None:
            self.tell_mark(part.cache, path)
        match part:
            case Text():
                return self._text(part, path)
            case ToolCall():
                return self._call(part, path)
            case ToolResult():
                return self._result(part, path)
            case Reasoning():
                return self._thought(part, path)
            case Image() | Audio() | Video() | File():
                return self._medium(part, path)
            case Native():
                if part.dialect != NAME:
                    tell_native(part, self.role, path, self._report)
                    return None
                return _native(part.raw)
            case Refusal():
                self._report.approximated(Feature.REFUSAL, path, "written as text")
                return {"text": part.text}

    def take_beside(self) -> list[dict[str, Any]]:
        """Media of results that have to stand behind them, in the same content."""
        beside, self._beside = self._beside, []
        return beside

    def tell_mark(self, mark: CacheMark, path: str) -> None:
        """Tell, once for a request, that marks are not written."""
        if not self._is_mark_told:
            self._is_mark_told = True
            self._report.dropped(Feature.CACHE_MARK, path, "Gemini caches prompts by itself or by `cachedContent`")

    def _text(self, part: Text, path: str) -> dict[str, Any]:
        if part.citations:
            self._report.dropped(Feature.CITATIONS, path, "Gemini takes no citations back")
        written: dict[str, Any] = {"text": part.text}
        if part.signature is not None:
            if part.signature.dialect == NAME:
                written["thoughtSignature"] = part.signature.value
            else:
                self._foreign(path)
        return written if part.extra is None else written | own_members(part.extra, NAME)

    def _foreign(self, path: str) -> None:
        self._report.dropped(Feature.REASONING_REPLAY, path, "only the provider that signed it can read the signature")

    def _call(self, part: ToolCall, path: str) -> dict[str, Any]:
        extra = own_members(part.extra, NAME)
        tell_arguments(part, path, self._report.add)
        call: dict[str, Any] = {"name": part.name, "args": arguments_object(part)}
        if part.id and not is_made_up(part.id):
            call["id"] = part.id
        written: dict[str, Any] = {"functionCall": merged(call, extra.pop("functionCall", None))}
        if part.signature is not None:
            if part.signature.dialect == NAME:
                written["thoughtSignature"] = part.signature.value
            else:
                self._foreign(path)
        return written | extra

    def _result(self, part: ToolResult, path: str) -> dict[str, Any]:
        extra = own_members(part.extra, NAME)
        name = part.name or self._names.get(part.call_id)
        if name is None:
            raise GatewayError(
                Kind.MALFORMED_REQUEST, f"`{path}` answers a tool call that is not in the conversation.", param=path
            )
        texts: list[str] = []
        media: list[dict[str, Any]] = []
        for number, each in enumerate(part.content):
            where = f"{path}.content[{number}]"
            if isinstance(each, Text | Refusal):
                if isinstance(each, Text) and each.cache is not None:
                    self.tell_mark(each.cache, where)
                texts.append(each.text)
                continue
            written = self.write(each, where)
            if written is not None:
                media.append(written)
        answer: dict[str, Any] = {"name": name, "response": _response(texts, is_error=bool(part.is_error))}
        if media and (self._nests_media or self.is_own):
            answer["parts"] = media
        elif media:
            self._beside += media
            self._report.approximated(Feature.TOOL_RESULT_MEDIA, path, "written behind the result, not in it")
        if "id" in extra:
            del extra["id"]
        elif part.call_id and not is_made_up(part.call_id):
            answer["id"] = part.call_id
        return {"functionResponse": merged(answer, extra.pop("functionResponse", None))} | extra

    def _thought(self, part: Reasoning, path: str) -> dict[str, Any] | None:
        blobs = [blob for blob in (part.signature, part.encrypted) if blob is not None]
        if any(blob.dialect != NAME for blob in blobs):
            self._foreign(path)
            return None
        written: dict[str, Any] = {}
        if part.text:
            written = {"text": part.text, "thought": True}
        if blobs:
            written["thoughtSignature"] = blobs[0].value
        written |= own_members(part.extra, NAME)
        return written or None

    def _medium(self, part: Medium, path: str) -> dict[str, Any] | None:
        extra = own_members(part.extra, NAME)
        self._tell_details(part, path)
        found = self._source(part, path)
        if found is None:
            return None
        name, blob = found
        written: dict[str, Any] = {name: merged(blob, extra.pop(name, None))}
        if isinstance(part, Image) and part.signature is not None:
            if part.signature.dialect == NAME:
                written["thoughtSignature"] = part.signature.value
            else:
                self._foreign(path)
        return written | extra

    def _tell_details(self, part: Medium, path: str) -> None:
        if isinstance(part, Image) and part.detail not in (None, "auto"):
            self._report.dropped(Feature.IMAGE_DETAIL, path, "Gemini chooses the resolution itself")
        if isinstance(part, File):
            if part.title is not None or part.context is not None:
                self._report.dropped(Feature.DOCUMENT, path, "Gemini takes no title or context of a document")
            if part.is_cited:
                self._report.dropped(Feature.CITATIONS, path, "Gemini does not cite documents")

    def _source(self, part: Medium, path: str) -> tuple[str, dict[str, Any]] | None:
        source = part.source
        if source.data is not None:
            return "inlineData", self._inline(part, source, path)
        if source.file_id is not None:
            if source.dialect != NAME:
                self._report.refused(Feature.FILE_ID, path, "the file was uploaded to another provider")
                return None
            return "fileData", _file(source.file_id, source.media_type)
        if source.url is None:
            self._report.refused(_FEATURES[type(part)], path, "it has no content")
            return None
        media_type = source.media_type or _type_of(source.url)
        if media_type is None and isinstance(part, Image):
            self._report.approximated(Feature.IMAGE_URL, path, "its media type is not known, Gemini has to find it out")
        return "fileData", _file(source.url, media_type)

    def _inline(self, part: Medium, source: Source, path: str) -> dict[str, Any]:
        media_type = source.media_type
        if media_type is None and isinstance(part, Image):
            media_type = image_type(source.data or "")
        if media_type is None:
            media_type = _DEFAULT_TYPES[type(part)]
            self._report.approximated(_FEATURES[type(part)], path, f"its media type is taken to be {media_type}")
        return {"mimeType": media_type, "data": source.data}


def _response(texts: list[str], *, is_error: bool) -> Raw | dict[str, Any]:
    if not texts:
        return {}
    text = texts[0] if len(texts) == 1 else "\n".join(texts)
    if is_object_text(text):
        spelled = Raw(text.encode("utf-8", "replace"))
        return spelled if not is_error or _has_error(spelled) else {"error": spelled}
    return {"error" if is_error else "result": text}


def _has_error(spelled: Raw) -> bool:
    return "error" in _any.decode(mend_surrogates(bytes(spelled)))


def _native(raw: Raw) -> dict[str, Any]:
    return merged({}, raw)


def _file(uri: str, media_type: str | None) -> dict[str, Any]:
    return {"fileUri": uri} if media_type is None else {"mimeType": media_type, "fileUri": uri}


def _type_of(url: str) -> str | None:
    path = url.partition("?")[0].partition("#")[0]
    return _EXTENSIONS.get(path.rpartition("/")[2].rpartition(".")[2].lower())
