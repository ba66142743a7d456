"""What expressions may read of an exchange (`FACTS`), built only as far as an expression asks for it.

Parameters are read through the codec of the client's dialect, so that one condition holds on every surface, however the
dialect spells them. A request is decoded at most once for all conditions, and not at all while none asks; a translation
may take over what was decoded (`decoded_request`).

Where a request could be understood in two ways, the facts take the one that allows less: of two limits the larger, a
limit below zero as none, as many answers as any member asks for, a file of unknown kind as a picture too. Headers that
carry credentials are left out, since what an expression gives may be written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from gatewright.core.chat import (
    Audio,
    ChatRequest,
    Extension,
    File,
    Image,
    Message,
    Native,
    NativeTool,
    Part,
    Source,
    Text,
    ToolResult,
    Video,
)
from gatewright.core.embedding import EmbeddingRequest
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.pipeline.expressions import Path
from gatewright.translate.hub import read_request
from gatewright.wire.json_object import mend_surrogates

_NOTHING: Final = (None, None)
_SECRET_HEADERS: Final = frozenset(
    (b"authorization", b"proxy-authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie")
)
_LIMITS: Final = frozenset(
    (
        "maxtokens",
        "maxcompletiontokens",
        "maxoutputtokens",
        "maxnewtokens",
        "maxtokencount",
        "maxtokenstosample",
        "maxgenlen",
        "numpredict",
        "npredict",
        "mintokens",
        "minnewtokens",
    )
)
"""Members that limit an answer's length or ask for one, in small letters alone: a provider may obey one that its
dialect's codec does not read, when the request goes on as it is."""
_ANSWERS: Final = frozenset(
    ("n", "bestof", "candidatecount", "ncmpl", "numgenerations", "numresults", "numreturnsequences")
)
"""Members that ask for several answers, which are as long each."""
_STORED: Final = frozenset(("prompt", "cachedcontent", "container", "agent", "agentid"))
"""Members that name what is kept at a vendor: it may bring tools and pictures of its own."""
_TOOLS: Final = frozenset(
    (
        "functions",
        "tools",
        "mcpservers",
        "websearchoptions",
        "websearch",
        "enablesearch",
        "searchparameters",
        "plugins",
        "connectors",
        "datasources",
        "toolresources",
        "skills",
    )
)
"""Members that give the model tools beside the list of them, in small letters alone."""
_TYPES: Final = ("mimeType", "mime_type", "media_type", "contentType", "content_type")
_IMAGE_SUFFIXES: Final = frozenset(
    ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "heic", "heif", "avif", "svg")
)
_SCHEMAS: Final = frozenset(("properties", "$defs", "definitions"))
"""Members of JSON Schemas with names of the client's making."""
_MAX_DEPTH: Final = 16
_decoder: Final = msgspec.json.Decoder(float_hook=str)  # a number may be too large for any float
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_KINDS: Final = {
    "image": "images",
    "screenshot": "images",
    "audio": "audio",
    "video": "videos",
    "document": "documents",
    "file": "documents",
    "upload": "uploads",
}
"""Words in the names of parts, and what such a part counts as."""
_SETTINGS: Final = ("config", "options", "settings", "size", "format", "quality", "detail", "resolution", "filter")
"""How members end that say what pictures and sounds the answer should have; OpenAI's `audio` says it by its voice."""

Read = ChatRequest | EmbeddingRequest


class Media(Struct):
    """How many of each a request holds, wherever they stand in it."""

    images: int = 0
    audio: int = 0
    videos: int = 0
    documents: int = 0


def facts_of(x: Exchange, wanted: Iterable[str | Path]) -> dict[str, Any]:
    """The facts of an exchange for one expression: `wanted` is its `reads`, or names of whole facts.

    Call when consumer and model are known. Raises GatewayError (malformed_request) when a parameter is asked for and
    the request cannot be read.
    """
    facts: dict[str, Any] = {}
    for path in wanted:
        name, members = (path, ()) if isinstance(path, str) else (path[0], path[1:])
        if name == "request":
            _add_request(x, members, facts.setdefault(name, {}))
        elif name == "jwt":
            _add_claims(x.consumer.claims, members, facts.setdefault(name, {}))
        else:
            facts[name] = _WHOLE[name](x)
    return facts


def request_of(x: Exchange) -> Read | None:
    """The request in the hub's terms, decoded once for the members that the exchange holds now.

    None on surfaces that are only passed through. Raises GatewayError (malformed_request).
    """
    dialect = x.dialect
    if dialect is None or dialect.family == "passing":
        return None
    if x.wish is not None:
        read: Read = x.wish.request
        return read
    found = decoded_request(x)
    if found is None:
        found = read_request(dialect, x.fields, x.requested_model, stream=x.stream)
        x.notes[request_of] = (x.fields, found)
    return found


def decoded_request(x: Exchange) -> Read | None:
    """The request if it was decoded for the members that the exchange holds now, so that nobody need do it again."""
    fields, found = x.notes.get(request_of, _NOTHING)
    if fields is not x.fields:
        return None
    read: Read | None = found
    return read


def max_tokens_of(x: Exchange) -> int | None:
    """How many output tokens the request allows at most, all answers together; None when it does not say, or does not
    limit them."""
    request = request_of(x)
    if not isinstance(request, ChatRequest):
        return None
    stated = [] if request.max_output_tokens is None else [request.max_output_tokens]
    stated += _numbers(request.extra, _LIMITS)
    answers = answers_of(x)
    return max(stated) * answers if stated and min(stated) >= 0 and answers is not None else None


def answers_of(x: Exchange) -> int | None:
    """How many answers the request asks for, at least one; None when what it says is no number."""
    request = request_of(x)
    if not isinstance(request, ChatRequest):
        return 1
    stated = [1 if request.sampling.n is None else request.sampling.n, *_numbers(request.extra, _ANSWERS)]
    return max(1, *stated) * _prompts(request.messages) if min(stated) >= 0 else None


def tools_of(x: Exchange) -> int:
    """How many tools the request offers, the vendor's own included."""
    request = request_of(x)
    if not isinstance(request, ChatRequest):
        return 0
    # Bedrock's list of tools has marks for the cache between them.
    tools = sum(1 for tool in request.tools if not isinstance(tool, NativeTool) or "cache" not in tool.kind.lower())
    kept = [*_kept(request.extra, _TOOLS), *_stored(request)]
    for part in _parts(request.messages):
        if isinstance(part, Native):  # items that bring tools into the conversation
            kept += _named(_plain(part.raw), _TOOLS)
    return tools + sum(len(value) if isinstance(value, list) else 1 for value in kept)


def media_of(x: Exchange) -> Media:
    """What the request holds beside words."""
    found = Media()
    request = request_of(x)
    if isinstance(request, ChatRequest):
        for message in request.messages:
            _count_extra(message.extra, found)
            for part in message.parts:
                if isinstance(part, ToolResult):
                    _count_extra(part.extra, found)
        for part in _parts(request.messages):
            _count_part(part, found)
        found.images += sum(1 for _ in _stored(request))
    if request is not None:
        _count_extra(request.extra, found)
    return found


def _headers(x: Exchange, names: tuple[str, ...]) -> dict[str, str]:
    if not names:
        return {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in x.headers.items()
            if name not in _SECRET_HEADERS
        }
    found = {}
    for name in names:
        key = name.lower().encode("utf-8", "replace")
        value = None if key in _SECRET_HEADERS else x.headers.get(key)
        if value is not None:
            found[name] = value.decode("latin-1")
    return found


def _consumer(x: Exchange) -> dict[str, str]:
    path = x.consumer.path
    organisation, _, rest = path.partition("/")
    team, _, application = rest.partition("/")
    return {"path": path, "organisation": organisation, "team": team, "application": application}


_REQUEST: Final[Mapping[str, Callable[[Exchange], Any]]] = {
    "surface": lambda x: "" if x.surface is None else x.surface.name,
    "dialect": lambda x: "" if x.dialect is None else x.dialect.name,
    "model": lambda x: x.requested_model,
    "published_model": lambda x: x.published_model,
    "stream": lambda x: x.stream,
    "max_tokens": max_tokens_of,
    "tools": tools_of,
    "images": lambda x: media_of(x).images,
    "audio": lambda x: media_of(x).audio,
    "videos": lambda x: media_of(x).videos,
    "documents": lambda x: media_of(x).documents,
}
_WHOLE: Final[Mapping[str, Callable[[Exchange], Any]]] = {
    "consumer": _consumer,
    "user": lambda x: x.user,
    "key": lambda x: {"id": x.consumer.key_id},
    "issuer": lambda x: x.consumer.issuer,
}
FACTS: Final[Mapping[str, tuple[str, ...] | None]] = {
    "request": (*_REQUEST, "headers"),
    "consumer": ("path", "organisation", "team", "application"),
    "user": None,
    "key": ("id",),
    "jwt": None,
    "issuer": None,
}
"""What expressions may read, for `compile_expression`, with the members of each where they are known."""


def _add_request(x: Exchange, members: Path, facts: dict[str, Any]) -> None:
    for name in members[:1] or FACTS["request"] or ():
        if name == "headers":
            facts[name] = facts.get(name, {}) | _headers(x, members[1:2])
        else:
            facts[name] = _REQUEST[name](x)


def _add_claims(claims: Mapping[str, Any], members: Path, facts: dict[str, Any]) -> None:
    if not members:
        facts.update(claims)
    elif members[0] in claims:
        facts[members[0]] = claims[members[0]]


# -- what a request holds ---------------------------------------------------------------------------------------------


def _parts(messages: Iterable[Message]) -> Iterator[Part]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolResult):
                yield from part.content
            else:
                yield part


def _count_part(part: Part, found: Media) -> None:
    match part:
        case Image():
            found.images += 1
        case Audio():
            found.audio += 1
        case Video():
            found.videos += 1
        case File():
            kind = (part.source.media_type or "").partition("/")[0]
            if kind in ("image", "audio", "video"):
                _add(found, _KINDS[kind])
            else:
                found.documents += 1
                found.images += part.source.media_type is None and _may_be_image(part.source)
        case Native():
            _count_json(_plain(part.raw), found)
        case Text():
            _count_extra(part.extra, found)
        case _:
            pass


def _count_extra(extra: Extension | None, found: Media) -> None:
    if extra is not None:
        _count_json({name: _plain(raw) for name, raw in extra.members.items()}, found)


def _may_be_image(source: Source) -> bool:
    """Whether a file, of which no more is told than its name or address, could be a picture."""
    name = source.filename or (source.url or "").partition("?")[0].rpartition("/")[2]
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    return not suffix or suffix in _IMAGE_SUFFIXES


def _count_json(value: Any, found: Media, depth: int = 0) -> None:
    """Count media in JSON that no codec reads, by how they are called there."""
    if depth > _MAX_DEPTH:
        found.images += 1  # no API has anything so deep; it could be whatever
        return
    if isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):  # and not one of the numbers of a prompt's tokens
                _count_json(item, found, depth + 1)
    elif isinstance(value, dict):
        kind = _kind_of(value.get("type")) or _kind_of(next((value[name] for name in _TYPES if name in value), None))
        if kind is not None:
            _add(found, kind)
        if kind is not None and kind != "documents":
            return
        for name, inner in value.items():  # a document may have pictures in it
            if name not in _SCHEMAS:
                _count_member(name, inner, found, depth)


def _count_member(name: str, value: Any, found: Media, depth: int) -> None:
    kind = _kind_of(name)
    if kind is None or kind == "documents":
        _count_json(value, found, depth + 1)
    elif name.lower().endswith(_SETTINGS) or (kind == "audio" and isinstance(value, dict) and "voice" in value):
        pass
    elif value and isinstance(value, str | list | dict):
        _add(found, kind, len(value) if isinstance(value, list) else 1)


def _kind_of(name: Any) -> str | None:
    if not isinstance(name, str):
        return None
    lower = name.lower()
    return next((kind for word, kind in _KINDS.items() if word in lower), None)


def _add(found: Media, kind: str, count: int = 1) -> None:
    for each in ("documents", "images") if kind == "uploads" else (kind,):  # what is uploaded may be either
        setattr(found, each, getattr(found, each) + count)


def _stored(request: ChatRequest) -> Iterator[Any]:
    """The values of members that name what is kept at the vendor."""
    if request.extra is not None:
        for name, raw in request.extra.members.items():
            if name.replace("_", "").casefold() in _STORED and (value := _plain(raw)) is not None:
                yield value


def _prompts(messages: Iterable[Message]) -> int:
    """How many prompts a request holds that are answered apart: completions take texts, or tokens, in a list."""
    count = 1
    for part in _parts(messages):
        if isinstance(part, Native) and isinstance(prompts := _plain(part.raw), list):
            is_one = all(isinstance(token, int) for token in prompts)
            count = max(count, 1 if is_one else len(prompts))
    return count


def _numbers(extra: Extension | None, names: frozenset[str]) -> list[int]:
    """The values of members called so; -1 for one that is no whole number."""
    return [value if isinstance(value, int) else -1 for value in _kept(extra, names)]


def _kept(extra: Extension | None, names: frozenset[str]) -> Iterator[Any]:
    """The values of members called so in what the codec kept unread, at any depth, except null and false."""
    if extra is not None:
        yield from _named({name: _plain(raw) for name, raw in extra.members.items()}, names)


def _named(value: Any, names: frozenset[str], depth: int = 0) -> Iterator[Any]:
    if depth > _MAX_DEPTH:
        yield ""  # no API has anything so deep; it could be whatever
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list):  # and not one of the numbers of a prompt's tokens
                yield from _named(item, names, depth + 1)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name.replace("_", "").casefold() in names:
                if inner is not None and inner is not False:
                    yield inner
            elif name not in _SCHEMAS and isinstance(inner, dict | list):
                yield from _named(inner, names, depth + 1)


def _plain(raw: Raw) -> Any:
    try:
        return _decoder.decode(raw)
    except _UNREADABLE:
        pass
    try:
        return _decoder.decode(mend_surrogates(bytes(raw)))
    except _UNREADABLE:
        raise GatewayError(Kind.MALFORMED_REQUEST, "The request holds JSON that cannot be read.") from None
