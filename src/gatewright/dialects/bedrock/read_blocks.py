"""Content blocks of Converse → parts of the hub, in requests and answers alike.

A block is an object with one member that says what it is (docs.aws.amazon.com/bedrock/latest/APIReference,
ContentBlock). What the hub has no part for becomes `Native`; a cache point becomes a mark on the part before it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
    Extension,
    File,
    Image,
    Native,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    Video,
)
from gatewright.core.errors import Kind
from gatewright.core.events import merge_extensions
from gatewright.dialects.bedrock.carried import read_redacted, read_thought, reattach
from gatewright.dialects.bedrock.media import AUDIOS, DOCUMENTS, IMAGES, VIDEOS, read_source
from gatewright.dialects.bedrock.names import JSON_TOOL, NAME, read_tool_name
from gatewright.wire.json_object import JsonObject, render_json


class _Use(Struct, forbid_unknown_fields=True):
    toolUseId: str
    name: str
    input: Raw


class _Result(Struct, forbid_unknown_fields=True):
    toolUseId: str
    content: list[Raw]
    status: Literal["success", "error"] | None = None


class _Plain(Struct, forbid_unknown_fields=True):
    """A block of a usual kind, without members that nobody expects: read at once instead of member by member."""

    text: str | None = None
    toolUse: _Use | None = None
    toolResult: _Result | None = None


_plain = msgspec.json.Decoder(_Plain)
OWN: Final = Extension(NAME, {})
"""Marks thoughts without a signature, and blocks of no words, as this dialect's, so that they come back."""


def read_blocks(items: list[Raw], path: str, kind: Kind) -> tuple[Part, ...]:
    """The parts that the elements of a `content` list are. Raises GatewayError of `kind`, naming the member."""
    parts: list[Part] = []
    for index, item in enumerate(items):
        at = f"{path}[{index}]"
        plain = _read_plain(item, at, kind)
        if plain is not None:
            parts.append(plain)
            continue
        block = JsonObject.parse(item, at, kind)
        if block.has("cachePoint"):
            mark = read_cache_point(block)
            before = parts[-1] if parts else None
            if mark is not None and before is not None and not isinstance(before, Refusal | Reasoning):
                if before.cache is None:
                    parts[-1] = msgspec.structs.replace(before, cache=mark)
                    continue
            parts.append(Native(dialect=NAME, kind="cachePoint", raw=item))
        else:
            parts.append(_read_block(block, item, kind))
    return reattach(parts)


def _read_plain(item: Raw, path: str, kind: Kind) -> Part | None:
    """The part that a usual block is; None when it must be read with care."""
    try:
        block = _plain.decode(item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    text, use, result = block.text, block.toolUse, block.toolResult
    if text is not None:
        if use is not None or result is not None:
            return None
        return Text(text=text) if text else Text(text="", extra=OWN)
    if use is not None:
        if result is not None or bytes(use.input) == b"null":
            return None
        return _called(use.toolUseId, use.name, _text(use.input), None, kind)
    if result is None:
        return None
    inner = f"{path}.toolResult.content"
    return ToolResult(
        call_id=result.toolUseId,
        content=tuple(_read_result_content(each, f"{inner}[{at}]", kind) for at, each in enumerate(result.content)),
        is_error=None if result.status is None else result.status == "error",
    )


def read_cache_point(block: JsonObject) -> CacheMark | None:
    """Take a cache point; None when it says what a mark cannot hold."""
    point = block.object("cachePoint")
    if point is None or point.string("type") != "default":
        return None
    ttl = point.string("ttl")
    if point.rest(NAME) is not None:
        return None
    if ttl == "5m":
        return CacheMark("5m")
    if ttl == "1h":
        return CacheMark("1h")
    return CacheMark() if ttl is None else None


def _read_block(block: JsonObject, item: Raw, kind: Kind) -> Part:
    if block.has("text"):
        return Text(text=block.required_string("text"), extra=block.rest(NAME))
    if (inner := block.object("toolUse")) is not None:
        return _read_tool_use(block, inner, item, kind)
    if (inner := block.object("toolResult")) is not None:
        return _read_tool_result(block, inner, item, kind)
    if (inner := block.object("reasoningContent")) is not None:
        return _read_reasoning(block, inner, item, kind)
    if (raw := block.peek("citationsContent")) is not None:
        return _read_citations(block, raw)
    if (raw := block.peek("guardContent")) is not None:
        return _read_guarded(block, raw, item)
    return _read_medium(block, item)


def _read_medium(block: JsonObject, item: Raw) -> Part:
    if (inner := block.object("image")) is not None:
        source, kept = read_source(inner, IMAGES)
        return Image(source=source, extra=_extra(block, inner, kept))
    if (inner := block.object("document")) is not None:
        name = inner.string("name")
        cites = inner.object("citations")
        source, kept = read_source(inner, DOCUMENTS)
        if name is not None:
            kept["name"] = render_json(name)
        if cites is not None:
            is_cited = cites.boolean("enabled")
            context = inner.string("context")
            return File(source=source, title=name, context=context, is_cited=is_cited, extra=_extra(block, inner, kept))
        return File(source=source, title=name, context=inner.string("context"), extra=_extra(block, inner, kept))
    if (inner := block.object("video")) is not None:
        source, kept = read_source(inner, VIDEOS)
        return Video(source=source, extra=_extra(block, inner, kept))
    if (inner := block.object("audio")) is not None:
        source, kept = read_source(inner, AUDIOS)
        return Audio(source=source, extra=_extra(block, inner, kept))
    unknown = block.rest(NAME)
    return Native(dialect=NAME, kind=next(iter(unknown.members)) if unknown is not None else "block", raw=item)


def _extra(block: JsonObject, inner: JsonObject, kept: dict[str, Raw]) -> Extension | None:
    """What block and inner object still hold, and what `read_source` could not place."""
    rest = merge_extensions(inner.rest(NAME), block.rest(NAME))
    return merge_extensions(rest, Extension(NAME, kept)) if kept else rest


def _read_guarded(block: JsonObject, raw: Raw, item: Raw) -> Part:
    """Words or a picture that guardrails look at: for the model they are no other than any."""
    extra = Extension(NAME, {"guardContent": raw})
    guarded = block.object("guardContent")
    if guarded is not None and (words := guarded.object("text")) is not None:
        return Text(text=words.required_string("text"), extra=extra)
    if guarded is not None and (picture := guarded.object("image")) is not None:
        return Image(source=read_source(picture, IMAGES)[0], extra=extra)
    return Native(dialect=NAME, kind="guardContent", raw=item)


def _read_tool_use(block: JsonObject, use: JsonObject, item: Raw, kind: Kind) -> Part:
    type_ = use.string("type")
    if type_ is not None and type_ != "tool_use":
        return Native(dialect=NAME, kind="toolUse", raw=item)
    call, name, given = use.required_string("toolUseId"), use.required_string("name"), use.raw("input")
    arguments = "{}" if given is None else _text(given)
    kept = {} if type_ is None else {"type": render_json(type_)}
    return _called(call, name, arguments, _extra(block, use, kept), kind)


def _called(call: str, name: str, arguments: str, extra: Extension | None, kind: Kind) -> Part:
    """A call. In an answer, a name may be one that was written for the upstream; a client's names are its own."""
    if kind is Kind.UPSTREAM_BAD_RESPONSE:
        if name == JSON_TOOL:
            return Text(text=arguments)
        name = read_tool_name(name)
    return ToolCall(id=call, name=name, arguments=arguments, extra=extra)


def _text(raw: Raw) -> str:
    """JSON as the text it is; what is not UTF-8 in it was not JSON."""
    return bytes(raw).decode("utf-8", "replace")


def _read_tool_result(block: JsonObject, result: JsonObject, item: Raw, kind: Kind) -> Part:
    if result.has("type"):
        return Native(dialect=NAME, kind="toolResult", raw=item)
    call, status = result.required_string("toolUseId"), result.string("status")
    path = result.at("content")
    contents = result.items("content") or []
    parts = tuple(_read_result_content(each, f"{path}[{at}]", kind) for at, each in enumerate(contents))
    kept = {} if status in (None, "success", "error") else {"status": render_json(status)}
    return ToolResult(
        call_id=call,
        content=parts,
        is_error=None if status not in ("success", "error") else status == "error",
        extra=_extra(block, result, kept),
    )


def _read_result_content(item: Raw, path: str, kind: Kind) -> Part:
    plain = _read_plain(item, path, kind)
    if plain is not None:
        return plain
    block = JsonObject.parse(item, path, kind)
    given = block.raw("json")
    if given is not None:
        return Text(text=_text(given), extra=Extension(NAME, {"json": given}))
    return _read_block(block, item, kind)


def _read_reasoning(block: JsonObject, content: JsonObject, item: Raw, kind: Kind) -> Part:
    """Thoughts. A client's may be another vendor's, carried here; an upstream's are its own whatever they hold."""
    is_answer = kind is Kind.UPSTREAM_BAD_RESPONSE
    if (thought := content.object("reasoningText")) is not None:
        signature, text = thought.string("signature"), thought.string("text") or ""
        extra = _extra(block, thought, {}) or OWN
        if is_answer:
            return Reasoning(text=text, signature=None if signature is None else Opaque(NAME, signature), extra=extra)
        return read_thought(text, signature, extra)
    blob = content.string("redactedContent")
    if blob is None:
        return Native(dialect=NAME, kind="reasoningContent", raw=item)
    extra = _extra(block, content, {}) or OWN
    return Reasoning(encrypted=Opaque(NAME, blob), extra=extra) if is_answer else read_redacted(blob, extra)


def _read_citations(block: JsonObject, raw: Raw) -> Part:
    content = block.object("citationsContent")
    pieces = (content.objects("content") if content is not None else None) or []
    cited = (content.objects("citations") if content is not None else None) or []
    citations = tuple(read_citation(citation) for citation in cited)
    text = "".join(piece.string("text") or "" for piece in pieces)
    has_rest = content is None or any(each.rest(NAME) is not None for each in (content, *pieces))
    is_plain = len(pieces) == 1 and citations and not has_rest
    return Text(text=text, citations=citations, extra=None if is_plain else Extension(NAME, {"citationsContent": raw}))


def read_citation(citation: JsonObject) -> Citation:
    """One citation; all its members stay beside what the hub knows of them."""
    members = citation.rest(NAME)
    title, quoted = citation.string("title"), citation.objects("sourceContent")
    location = citation.object("location")
    web = None if location is None else location.object("web")
    return Citation(
        url=None if web is None else web.string("url"),
        title=title,
        quote=None if quoted is None else "".join(piece.string("text") or "" for piece in quoted),
        extra=members,
    )
