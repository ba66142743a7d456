from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Audio, CacheMark, File, Image, Native, Part, Refusal, Source, Text, Video
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import LossReport
from gatewright.dialects.openai.chat.media import (
    audio_format,
    audio_type,
    form_of,
    inner_of,
    read_part,
    write_image,
)
from gatewright.dialects.openai.chat.write_media import write_media
from gatewright.wire.json_object import JsonObject


def part(value: Any) -> Part:
    return read_part(JsonObject.parse(msgspec.json.encode(value), "messages[0].content[0]"))


@pytest.mark.parametrize(
    ("word", "media_type"), [("wav", "audio/wav"), ("mp3", "audio/mpeg"), ("pcm16", "audio/pcm16")]
)
def test_kinds_of_sound(word: str, media_type: str) -> None:
    assert audio_type(word) == media_type
    assert audio_format(media_type) == word


@pytest.mark.parametrize(("media_type", "word"), [("audio/x-wav", "wav"), ("audio/mp4;codecs=x", "m4a"), (None, "wav")])
def test_other_names_of_sounds(media_type: str | None, word: str) -> None:
    assert audio_format(media_type) == word


PARTS: list[tuple[dict[str, Any], type[Part]]] = [
    ({"type": "image_url", "image_url": {"url": "https://a", "detail": "low", "x": 1}, "y": 2}, Image),
    ({"type": "image_url", "image_url": "https://a"}, Image),
    ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}, Audio),
    ({"type": "input_audio", "input_audio": "AAAA"}, Audio),
    ({"type": "input_audio", "input_audio": "https://a/b.mp3"}, Audio),
    ({"type": "video_url", "video_url": {"url": "https://a/b.webm", "fps": 2}}, Video),
    ({"type": "file", "file": {"file_id": "file-1"}}, File),
    ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf", "z": 1}}, File),
    ({"type": "file", "file": {"file_data": "https://a/b.pdf", "filename": "a.pdf"}}, File),
    ({"type": "file", "file": {"file_data": "AAAA"}}, File),
    ({"type": "document_url", "document_url": "https://a", "document_name": "b"}, File),
]


@pytest.mark.parametrize(("value", "kind"), PARTS)
def test_media_come_and_go(value: dict[str, Any], kind: type[Part]) -> None:
    read = part(value)
    assert isinstance(read, kind)
    assert isinstance(read, Image | Audio | Video | File)
    report = LossReport("strict")
    assert msgspec.json.decode(msgspec.json.encode(write_media(read, report, "p"))) == value


def test_marks_of_caches_are_seen_and_kept() -> None:
    read = part({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}})
    assert isinstance(read, Text)
    assert read.cache == CacheMark("1h")
    assert read.extra is not None
    explicit = part({"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}})
    assert isinstance(explicit, Text)
    assert explicit.cache == CacheMark(None)


def test_what_no_one_else_knows_is_kept_as_spelled() -> None:
    assert part({"type": "hologram", "x": [1]}) == Native(
        dialect="openai.chat", kind="hologram", raw=msgspec.Raw(b'{"type":"hologram","x":[1]}')
    )
    assert part({"type": "refusal", "refusal": "no"}).__class__ is Refusal
    assert part({"text": "no type"}) == Text(text="no type")


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"type": "text"}, "messages[0].content[0].text"),
        ({"type": "text", "text": 1}, "messages[0].content[0].text"),
        ({"type": "image_url"}, "messages[0].content[0].image_url"),
        ({"type": "image_url", "image_url": {}}, "messages[0].content[0].image_url.url"),
        ({"type": "file", "file": {}}, "messages[0].content[0].file.file_data"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "messages[0].content[0].input_audio.data"),
    ],
)
def test_wrong_shapes_name_their_place(value: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        part(value)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)


def test_forms_and_inner_members() -> None:
    image = part({"type": "image_url", "image_url": {"url": "https://a", "x": 1}})
    assert isinstance(image, Image)
    assert form_of(image) is None
    assert inner_of(image, "image_url") == {"x": msgspec.Raw(b"1")}
    assert write_image(Image(source=Source(url="u"), detail="high"), "u") == {
        "type": "image_url",
        "image_url": {"url": "u", "detail": "high"},
    }
