"""Reads the parts of a message's content: text with its annotations, refusals, images, files.

What the hub has no place for stands in the part's extension as `part`, an object of the members as they were spelled
(platform.openai.com/docs/api-reference/responses/create, `input` and `output`).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw

from gatewright.core.chat import CacheMark, Citation, Extension, File, Image, Native, Part, Refusal, Source, Text
from gatewright.core.errors import Kind
from gatewright.core.events import TokenLogprob
from gatewright.dialects.openai.responses.names import NAME
from gatewright.wire.json_object import JsonObject, render_json
from gatewright.wire.media import read_data_url

_EMPTY_LIST: Final = Raw(b"[]")
_TRUE: Final = Raw(b"true")


class _Logprob(msgspec.Struct):
    token: str = ""
    logprob: float = 0.0
    bytes: tuple[int, ...] | None = None
    top_logprobs: tuple[_Logprob, ...] = ()


class _PlainText(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A text part with nothing special about it, which nearly all are."""

    type: str
    text: str
    annotations: tuple[()] | None = None
    logprobs: tuple[()] | None = None


_PLAIN: Final = {
    # (annotations told, log probabilities told, is an answer): the extension's `part`
    (True, False, True): {"part": Raw(b'{"annotations":[]}')},
    (True, False, False): {"part": Raw(b'{"annotations":[]}')},
    (True, True, True): {"part": Raw(b'{"annotations":[],"logprobs":0}')},
    (True, True, False): {"part": Raw(b'{"logprobs":[],"annotations":[]}')},
    (False, True, True): {"part": Raw(b'{"logprobs":0}')},
    (False, True, False): {"part": Raw(b'{"logprobs":[]}')},
    (False, False, True): {},
    (False, False, False): {},
}
_plain = msgspec.json.Decoder(_PlainText)
_logprobs: msgspec.json.Decoder[list[_Logprob]] = msgspec.json.Decoder(list[_Logprob])


def read_logprobs(raw: Raw | None) -> tuple[TokenLogprob, ...]:
    """Log probabilities as the hub has them; none when the member makes no sense."""
    if raw is None or bytes(raw) == b"[]":
        return ()
    try:
        tokens = _logprobs.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ()
    return tuple(_token(token) for token in tokens)


def _token(token: _Logprob) -> TokenLogprob:
    top = tuple(TokenLogprob(other.token, other.logprob, other.bytes) for other in token.top_logprobs)
    return TokenLogprob(token.token, token.logprob, token.bytes, top)


def part_members(fields: JsonObject, kind: str, default: str, **more: Any) -> dict[str, Raw]:
    """The extension's `part`: members not taken, and the type when it is not what the writer would choose."""
    rest = fields.rest(NAME)
    members: dict[str, Any] = {} if rest is None else dict(rest.members)
    members.update(more)
    if kind != default:
        members["type"] = kind
    return {"part": render_json(members)} if members else {}


def read_content(
    raw: Raw, path: str, error: Kind, default: str, tokens: list[TokenLogprob] | None = None
) -> tuple[Part, dict[str, Raw]]:
    """One part of a message, without extension, and the members of the extension it should get.

    `default` is the text type usual in this place. `tokens` takes the log probabilities of an answer; without it they
    stay in the extension, as part of a request's history. Unknown types become `Native`.
    """
    try:
        plain = _plain.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        if plain.type == default:
            told = plain.annotations is not None, plain.logprobs is not None, tokens is not None
            return Text(text=plain.text), dict(_PLAIN[told])
    fields = JsonObject.parse(raw, path, error)
    kind = fields.string("type") or default
    match kind:
        case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
            return _read_text(fields, kind, default, tokens)
        case "refusal":
            part: Part = Refusal(text=fields.string("refusal") or "")
            return part, part_members(fields, kind, "refusal")
        case "input_image":
            return _read_image(fields), part_members(fields, kind, "input_image")
        case "input_file":
            return _read_file(fields), part_members(fields, kind, "input_file")
        case _:
            return Native(dialect=NAME, kind=kind, raw=raw), {}


def _read_text(
    fields: JsonObject, kind: str, default: str, tokens: list[TokenLogprob] | None
) -> tuple[Part, dict[str, Raw]]:
    more: dict[str, Any] = {}
    annotations = fields.objects("annotations")
    if annotations == []:
        more["annotations"] = _EMPTY_LIST
    if tokens is not None and fields.has("logprobs"):
        found = read_logprobs(fields.raw("logprobs"))
        tokens.extend(found)
        more["logprobs"] = len(found)
    cache = CacheMark() if fields.has("prompt_cache_breakpoint") else None
    text = fields.string("text") or ""
    part = Text(text=text, citations=tuple(map(read_citation, annotations or ())), cache=cache)
    return part, part_members(fields, kind, default, **more)


def read_citation(fields: JsonObject) -> Citation:
    """One annotation. Its own type and what only OpenAI defines travel in the extension."""
    return Citation(
        url=fields.string("url"),
        title=fields.string("title"),
        start=fields.integer("start_index"),
        end=fields.integer("end_index"),
        extra=fields.rest(NAME) or Extension(NAME, {}),
    )


def _read_image(fields: JsonObject) -> Image:
    url = fields.string("image_url")
    file_id = fields.string("file_id")
    if url is None and file_id is None:
        raise fields.error("image_url", "is missing")
    if url is not None and file_id is not None:
        raise fields.error("file_id", "must not stand beside image_url")
    cache = CacheMark() if fields.has("prompt_cache_breakpoint") else None
    return Image(source=_source(url, file_id), detail=fields.string("detail"), cache=cache)


def _read_file(fields: JsonObject) -> File:
    filename = fields.string("filename")
    data = fields.string("file_data")
    url = fields.string("file_url")
    file_id = fields.string("file_id")
    if [data, url, file_id].count(None) != 2:
        raise fields.error("file_data", "must be the only one of file_data, file_url and file_id")
    cache = CacheMark() if fields.has("prompt_cache_breakpoint") else None
    if data is None:
        source = _source(url, file_id)
    elif data.startswith("data:"):
        source = _source(data, None)
    else:
        source = Source(data=data)
    return File(source=msgspec.structs.replace(source, filename=filename), cache=cache)


def _source(url: str | None, file_id: str | None) -> Source:
    if url is None:
        return Source(file_id=file_id, dialect=NAME)
    return read_data_url(url)
