"""Content blocks → parts, for requests and answers alike (platform.claude.com/docs/en/api/messages).

Blocks of tools that the vendor hosts (searches, code execution, MCP) and blocks not known here are `Native`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import (
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
)
from gatewright.core.errors import Kind
from gatewright.core.events import merge_extensions
from gatewright.dialects.anthropic.carried import read_redacted, read_thinking, reattach
from gatewright.dialects.anthropic.citations import read_citation
from gatewright.dialects.anthropic.vocabulary import NAME, read_cache
from gatewright.wire.json_object import JsonObject
from gatewright.wire.tool_arguments import is_object

_any = msgspec.json.Decoder()
_TEXT_FIRST: Final = re.compile(rb'\[\s*\{\s*"type"\s*:\s*"text"')


class _PlainText(Struct, tag_field="type", tag="text", forbid_unknown_fields=True, gc=False):
    text: str


_plain_texts = msgspec.json.Decoder(list[_PlainText])


def read_content(raw: Raw | None, owner: str, name: str, kind: Kind = Kind.MALFORMED_REQUEST) -> tuple[Part, ...]:
    """The content that stands as member `name` at path `owner`: a string is one text part, an empty one none."""
    if raw is None:
        return ()
    spelled = bytes(raw)
    if spelled[:1] == b'"':
        text = JsonObject({name: raw}, owner, kind).string(name)
        return (Text(text=text),) if text else ()
    if _TEXT_FIRST.match(spelled):
        # Nearly all content is text alone; reading it in one go takes a third of the time.
        try:
            return tuple([Text(text=block.text) for block in _plain_texts.decode(spelled)])
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass
    content = JsonObject({name: raw}, owner, kind)
    path = content.at(name)
    items = content.items(name) or ()
    return reattach([read_block(item, f"{path}[{index}]", kind) for index, item in enumerate(items)])


def read_block(raw: Raw, path: str, kind: Kind = Kind.MALFORMED_REQUEST) -> Part:
    """One block. Raises GatewayError of `kind` when it is not what its type promises."""
    block = JsonObject.parse(raw, path, kind)
    type_ = block.required_string("type")
    reader = _READERS.get(type_)
    part = None if reader is None else reader(block, kind)
    if part is None:
        # Spelled as it came: such blocks are sent back whole or not at all.
        return Native(dialect=NAME, kind=type_, raw=raw, cache=read_cache(block))
    return part


def _text(block: JsonObject, kind: Kind) -> Part:
    text = block.required_string("text")
    citations = block.objects("citations") or ()
    return Text(
        text=text,
        citations=tuple([read_citation(citation) for citation in citations]),
        cache=read_cache(block),
        extra=block.rest(NAME),
    )


def _source(block: JsonObject, kind: Kind) -> Source | None:
    """The source of a medium; None when its type is not known here. Takes the member only when it is."""
    raw = block.peek("source")
    if raw is None:
        return None
    source = JsonObject.parse(raw, block.at("source"), kind)
    type_ = source.string("type")
    found: Source | None = None
    if type_ == "base64":
        found = Source(media_type=source.string("media_type"), data=source.required_string("data"))
    elif type_ == "url":
        found = Source(url=source.required_string("url"))
    elif type_ == "file":
        found = Source(file_id=source.required_string("file_id"), dialect=NAME)
    elif type_ == "text":
        text = source.required_string("data")
        media_type = source.string("media_type") or "text/plain"
        found = Source(media_type=media_type, data=base64.b64encode(text.encode()).decode())
    return found if source.rest(NAME) is None else None


def _image(block: JsonObject, kind: Kind) -> Part | None:
    source = _source(block, kind)
    if source is None:
        return None
    block.drop("source")
    return Image(source=source, cache=read_cache(block), extra=block.rest(NAME))


def _document(block: JsonObject, kind: Kind) -> Part | None:
    source = _source(block, kind)
    spelled: Extension | None = None
    if source is None:
        raw = block.peek("source")
        text = None if raw is None else _plain_content(raw)
        if raw is None or text is None:
            return None
        # Other dialects read the words; this one gets its own chunks back, on which its citations count.
        source = Source(media_type="text/plain", data=base64.b64encode(text.encode()).decode())
        spelled = Extension(NAME, {"source": raw})
    block.drop("source")
    citations = block.peek("citations")
    is_cited = None
    if citations is not None:
        switch = JsonObject.parse(citations, block.at("citations"), kind)
        is_cited = switch.boolean("enabled")
        if switch.rest(NAME) is None:
            block.drop("citations")
    return File(
        source=source,
        title=block.string("title"),
        context=block.string("context"),
        is_cited=is_cited,
        cache=read_cache(block),
        extra=merge_extensions(block.rest(NAME), spelled),
    )


def _plain_content(raw: Raw) -> str | None:
    """The words of a `content` source; None when it is another source or holds more than text."""
    try:
        source = _any.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    content = source.get("content") if isinstance(source, dict) and source.get("type") == "content" else None
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [block.get("text") for block in content if isinstance(block, dict) and block.get("type") == "text"]
    if len(texts) != len(content) or not all(isinstance(text, str) for text in texts):
        return None
    return "\n".join(map(str, texts))


def _tool_use(block: JsonObject, kind: Kind) -> Part:
    raw = block.peek("input")
    arguments = "{}"
    if raw is not None:
        try:
            arguments = str(bytes(raw), "utf-8")
        except UnicodeDecodeError:
            raise block.error("input", "must be UTF-8") from None
        if not is_object(raw):
            raise block.error("input", "must be an object")
    block.drop("input")
    return ToolCall(
        id=block.required_string("id"),
        name=block.required_string("name"),
        arguments=arguments,
        cache=read_cache(block),
        extra=block.rest(NAME),
    )


def _tool_result(block: JsonObject, kind: Kind) -> Part:
    return ToolResult(
        call_id=block.required_string("tool_use_id"),
        content=read_content(block.raw("content"), block.path, "content", kind),
        is_error=block.boolean("is_error"),
        cache=read_cache(block),
        extra=block.rest(NAME),
    )


def _thinking(block: JsonObject, kind: Kind) -> Part:
    text, signature = block.string("thinking") or "", block.string("signature") or ""
    if kind is Kind.UPSTREAM_BAD_RESPONSE:
        # Whatever an upstream issued is its own, another gateway's carried blobs included.
        part = Reasoning(text=text, signature=Opaque(NAME, signature) if signature else None)
    else:
        part = read_thinking(text, signature)
    extra = block.rest(NAME)
    return part if extra is None else msgspec.structs.replace(part, extra=extra)


def _redacted(block: JsonObject, kind: Kind) -> Part:
    data = block.required_string("data")
    part = Reasoning(encrypted=Opaque(NAME, data)) if kind is Kind.UPSTREAM_BAD_RESPONSE else read_redacted(data)
    extra = block.rest(NAME)
    return part if extra is None else msgspec.structs.replace(part, extra=extra)


_READERS: Final[dict[str, Callable[[JsonObject, Kind], Part | None]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
