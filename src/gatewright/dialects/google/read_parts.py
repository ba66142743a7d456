"""Parts of a content (ai.google.dev/api/caching#Part) into the hub's, for requests and answers alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from gatewright.core.call_ids import OpenCalls, make_call_id
from gatewright.core.chat import (
    Audio,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.dialects.google.members import NAME, Members, text_of
from gatewright.dialects.google.signatures import read_signature, read_thought, standard_base64
from gatewright.wire.json_object import mend_surrogates, render_json

HOSTED: Final = frozenset(("executableCode", "codeExecutionResult", "toolCall", "toolResponse"))
"""Parts of tools that Google runs."""
FILES_API: Final = "https://generativelanguage.googleapis.com/"
"""Where uploaded files have their addresses, which mean nothing to anyone else."""
_VIDEO_HOSTS: Final = ("https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/")
NULL: Final = Raw(b"null")
_string = msgspec.json.Decoder(str)
_any = msgspec.json.Decoder()

CallId = Callable[[str | None, str], str]
"""`(id as spelled, name)` → the id of the call that is being read."""


class Place:
    """Where in a request's conversation parts are being read, so that calls without ids find theirs."""

    __slots__ = ("calls", "content", "part")

    def __init__(self) -> None:
        self.calls = OpenCalls()
        self.content = 0
        self.part = 0

    def call_id(self, call_id: str | None, name: str) -> str:
        found = call_id or make_call_id("request", self.content, self.part, name)
        self.calls.made(found, name)
        return found

    def result_id(self, call_id: str | None, name: str) -> str:
        return self.calls.answered(call_id, name) or make_call_id("result", self.content, self.part, name)


def read_part(raw: Raw, part: Members, call_id: CallId, result_id: CallId | None) -> Part:
    """The part that `raw` is, read as `part`."""
    hosted = part.first_of(HOSTED)
    if hosted is not None:
        return Native(dialect=NAME, kind=hosted, raw=raw)
    signature = part.string("thoughtSignature") or None
    if part.has("text"):
        return _text(part, signature)
    if part.has("functionCall"):
        return read_call(part, signature, call_id)
    if part.has("functionResponse"):
        return _result(part, result_id or call_id)
    for name in ("inlineData", "fileData"):
        blob = part.object(name)
        if blob is not None:
            return _medium(name, blob, part, signature)
    rest = part.rest(NAME)
    if signature is not None and rest is None:
        return read_thought("", signature, is_summary=False)
    return Native(dialect=NAME, kind="part", raw=raw)


def _text(part: Members, signature: str | None) -> Part:
    text = part.string("text") or ""
    if part.boolean("thought"):
        thought = read_thought(text, signature)
        # A thought without words is told from a signature that stands alone by what it kept.
        extra = part.rest(NAME) or (None if text else Extension(NAME, {"thought": Raw(b"true"), "text": Raw(b'""')}))
        return thought if extra is None else msgspec.structs.replace(thought, extra=extra)
    return Text(text=text, signature=_opaque(signature), extra=part.rest(NAME))


def _opaque(signature: str | None) -> Opaque | None:
    return None if signature is None else read_signature(signature)


def read_call(part: Members, signature: str | None, call_id: CallId) -> ToolCall:
    """The `functionCall` of a part."""
    call = part.object("functionCall")
    assert call is not None
    name = call.required_string("name")
    spelled_id = call.string("id") or None
    arguments = call.object_raw("args")
    extra = _with(part.rest(NAME), "functionCall", call.rest(NAME))
    return ToolCall(
        id=call_id(spelled_id, name),
        name=name,
        arguments="{}" if arguments is None else text_of(arguments),
        signature=_opaque(signature),
        extra=extra,
    )


def _result(part: Members, result_id: CallId) -> ToolResult:
    answer = part.object("functionResponse")
    assert answer is not None
    name = answer.required_string("name")
    spelled_id = answer.string("id") or None
    content: list[Part] = []
    is_error = None
    response = answer.object_raw("response")
    if response is not None:
        text, is_error = unwrapped(response)
        content.append(Text(text=text))
    for raw, each in answer.many("parts") or ():
        content.append(read_part(raw, each, lambda call_id, name: call_id or name, None))
    found = result_id(spelled_id, name)
    extra = _with(part.rest(NAME), "functionResponse", answer.rest(NAME))
    if spelled_id is None and extra is None:
        extra = Extension(NAME, {"id": NULL})
    elif spelled_id is None and extra is not None:
        extra.members["id"] = NULL
    return ToolResult(call_id=found, name=name, content=tuple(content), is_error=is_error, extra=extra)


def unwrapped(response: Raw) -> tuple[str, bool | None]:
    """What a tool answered: text stands in the member `result` or `error` alone, as `write_parts` puts it there."""
    try:
        value = _any.decode(response)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = None
    if isinstance(value, dict) and len(value) == 1:
        for name, is_error in (("result", None), ("error", True)):
            inner = value.get(name)
            if isinstance(inner, str) and not is_object_text(inner):
                return inner, is_error
    return text_of(response), None


def is_object_text(text: str) -> bool:
    """Whether text is a JSON object."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(_any.decode(text), dict)
    except UnicodeEncodeError:
        return False
    except (msgspec.DecodeError, RecursionError):
        try:
            return isinstance(_any.decode(mend_surrogates(text.encode())), dict)
        except (msgspec.DecodeError, RecursionError):
            return False


def _medium(name: str, blob: Members, part: Members, signature: str | None) -> Part:
    media_type = blob.string("mimeType")
    filename = _plain(blob.peek("displayName"))
    if name == "inlineData":
        data = standard_base64(blob.string("data") or "")
        source = Source(data=data, media_type=media_type, filename=filename)
    else:
        source = _file(blob.required_string("fileUri"), media_type, filename)
    extra = _with(part.rest(NAME), name, blob.rest(NAME))
    return _typed(source, extra, _opaque(signature))


def _typed(source: Source, extra: Extension | None, signature: Opaque | None) -> Part:
    kind = (source.media_type or "").partition("/")[0].lower()
    if kind == "image":
        return Image(source=source, signature=signature, extra=extra)
    if signature is not None:
        # Only pictures have a place for it in the hub.
        extra = Extension(NAME, {**(extra.members if extra else {}), "thoughtSignature": render_json(signature.value)})
    if kind == "audio":
        return Audio(source=source, extra=extra)
    if kind == "video" or (not kind and (source.url or "").startswith(_VIDEO_HOSTS)):
        return Video(source=source, extra=extra)
    return File(source=source, extra=extra)


def _file(uri: str, media_type: str | None, filename: str | None) -> Source:
    if uri.startswith(FILES_API):
        return Source(file_id=uri, dialect=NAME, media_type=media_type, filename=filename)
    return Source(url=uri, media_type=media_type, filename=filename)


def _plain(raw: Raw | None) -> str | None:
    if raw is None:
        return None
    try:
        return _string.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _with(extra: Extension | None, name: str, inner: Extension | None) -> Extension | None:
    """A part's extension with what its one object kept, under that object's name."""
    if inner is None:
        return extra
    return Extension(NAME, {**(extra.members if extra else {}), name: render_json(inner.members)})
