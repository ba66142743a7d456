"""Content parts: texts, images, sound, films and files, as chat messages hold them, both ways.

Hosts add forms of their own: `image_url` as a plain string (Mistral), `video_url` (OpenRouter), `document_url`
(Mistral), `cache_control` on parts (OpenRouter). They come in, and go out again where they came from this dialect.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Raw

from gatewright.core.chat import Audio, CacheMark, File, Image, Native, Part, Refusal, Source, Text, Video
from gatewright.dialects.openai.chat.words import NAME, extended, own
from gatewright.wire.json_object import JsonObject
from gatewright.wire.media import read_data_url

_AUDIO_FORMATS: Final = {"mpeg": "mp3", "mp3": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "mp4": "m4a"}
_AUDIO_TYPES: Final = {"mp3": "audio/mpeg"}


def audio_format(media_type: str | None) -> str:
    """OpenAI's word for a kind of sound (`audio/mpeg` → `mp3`)."""
    word = (media_type or "audio/wav").partition(";")[0].partition("/")[2].lower()
    return _AUDIO_FORMATS.get(word, word)


def audio_type(word: str) -> str:
    """The media type of OpenAI's word for a kind of sound."""
    return _AUDIO_TYPES.get(word, f"audio/{word}")


def read_cache(part: JsonObject) -> CacheMark | None:
    """The cache mark of a part or tool; its spelling stays where it is, for hosts that take it back."""
    for name in ("cache_control", "prompt_cache_breakpoint"):
        if part.has(name):
            mark = JsonObject.parse(part.peek(name) or Raw(b"{}"), part.at(name), part.kind)
            return CacheMark("1h" if mark.any("ttl") == "1h" else "5m" if name == "cache_control" else None)
    return None


def read_part(part: JsonObject) -> Part:
    """One content part of a client's message."""
    kind = part.peek("type")
    word = part.string("type") or next((n for n in ("text", "image_url", "input_audio", "file") if part.has(n)), "")
    reader = _READERS.get(word)
    if reader is None:
        fields = {"type": kind} if kind is not None else {}
        return Native(dialect=NAME, kind=word or "part", raw=_spelled(part, fields))
    return reader(part)


def _spelled(part: JsonObject, fields: dict[str, Raw]) -> Raw:
    body = bytes(part.spelled())
    head = b",".join(b'"%b":%b' % (name.encode(), bytes(value)) for name, value in fields.items())
    return Raw(b"{%b%b%b" % (head, b"," if head and body != b"{}" else b"", body[1:]))


def _read_text(part: JsonObject) -> Part:
    cache = read_cache(part)
    return Text(text=part.required_string("text"), cache=cache, extra=part.rest(NAME))


def _read_refusal(part: JsonObject) -> Part:
    return Refusal(text=part.required_string("refusal"), extra=extended(part.rest(NAME), form="part"))


def _url_member(part: JsonObject, name: str) -> tuple[str, JsonObject | None]:
    raw = part.peek(name)
    if raw is not None and bytes(raw).startswith(b'"'):
        return part.required_string(name), None
    inner = part.object(name)
    if inner is None:
        raise part.error(name, "is missing")
    return inner.required_string("url"), inner


def read_image(part: JsonObject) -> Image:
    """An `image_url` part."""
    cache = read_cache(part)
    url, inner = _url_member(part, "image_url")
    detail = None if inner is None else inner.string("detail")
    extra = part.rest(NAME)
    if inner is None:
        extra = extended(extra, form="string")
    elif (rest := inner.rest(NAME)) is not None:
        extra = extended(extra, image_url=rest.members)
    return Image(source=read_data_url(url), detail=detail, cache=cache, extra=extra)


def _read_video(part: JsonObject) -> Part:
    cache = read_cache(part)
    url, inner = _url_member(part, "video_url")
    rest = None if inner is None else inner.rest(NAME)
    extra = extended(part.rest(NAME), form="string" if inner is None else "object")
    if rest is not None:
        extra = extended(extra, video_url=rest.members)
    return Video(source=read_data_url(url), cache=cache, extra=extra)


def _read_audio(part: JsonObject) -> Part:
    cache = read_cache(part)
    raw = part.peek("input_audio")
    if raw is not None and bytes(raw).startswith(b'"'):
        value = part.required_string("input_audio")
        is_url = value.startswith(("http://", "https://", "data:"))
        source = read_data_url(value) if is_url else Source(data=value)
        return Audio(source=source, cache=cache, extra=extended(part.rest(NAME), form="string"))
    inner = part.object("input_audio")
    if inner is None:
        raise part.error("input_audio", "is missing")
    word = inner.string("format")
    source = Source(data=inner.required_string("data"), media_type=audio_type(word) if word else None)
    extra = part.rest(NAME)
    if (rest := inner.rest(NAME)) is not None:
        extra = extended(extra, input_audio=rest.members)
    return Audio(source=source, cache=cache, extra=extra)


def _read_file(part: JsonObject) -> Part:
    cache = read_cache(part)
    inner = part.object("file")
    if inner is None:
        raise part.error("file", "is missing")
    filename = inner.string("filename")
    file_id, data = inner.string("file_id"), inner.string("file_data")
    extra = part.rest(NAME)
    if file_id is not None:
        source = Source(file_id=file_id, dialect=NAME, filename=filename)
    elif data is None:
        raise inner.error("file_data", "is missing")
    else:
        found = read_data_url(data)
        if found.url is not None and not data.startswith(("http://", "https://", "data:")):
            found = Source(data=data)
        source = Source(media_type=found.media_type, data=found.data, url=found.url, filename=filename)
        if found.url is not None:
            extra = extended(extra, form="url")
        elif filename is None:
            extra = extended(extra)
    if (rest := inner.rest(NAME)) is not None:
        extra = extended(extra, file=rest.members)
    return File(source=source, cache=cache, extra=extra)


def _read_document(part: JsonObject) -> Part:
    cache = read_cache(part)
    source = read_data_url(part.required_string("document_url"))
    return File(
        source=source,
        title=part.string("document_name"),
        cache=cache,
        extra=extended(part.rest(NAME), form="document_url"),
    )


_READERS: Final = {
    "text": _read_text,
    "refusal": _read_refusal,
    "image_url": read_image,
    "video_url": _read_video,
    "input_audio": _read_audio,
    "file": _read_file,
    "document_url": _read_document,
}


def form_of(part: Any) -> str | None:
    """The host's own form that a part came in."""
    raw = own(part.extra).get("form")
    return None if raw is None else bytes(raw)[1:-1].decode()


def rest_of(part: Any, *inner: str) -> dict[str, Any]:
    """What else this dialect said of a part, without its form and the members of inner objects."""
    return {name: value for name, value in own(part.extra).items() if name != "form" and name not in inner}


def inner_of(part: Any, name: str) -> dict[str, Any]:
    """What else this dialect said inside the member `name` of a part."""
    raw = own(part.extra).get(name)
    rest = None if raw is None else JsonObject.parse(raw).rest(NAME)
    return {} if rest is None else dict(rest.members)


def write_image(part: Image, url: str) -> dict[str, Any]:
    """An `image_url` part."""
    if form_of(part) == "string":
        return {"type": "image_url", "image_url": url, **rest_of(part)}
    image: dict[str, Any] = {"url": url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": {**image, **inner_of(part, "image_url")}, **rest_of(part, "image_url")}
