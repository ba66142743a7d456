"""Media types and Converse's formats, sources and their bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from gatewright.core.chat import Extension, Source
from gatewright.core.errors import GatewayError
from gatewright.dialects.bedrock.media import (
    AUDIOS,
    DOCUMENTS,
    IMAGES,
    VIDEOS,
    format_of,
    own,
    read_source,
    write_source,
)
from gatewright.dialects.bedrock.names import NAME
from gatewright.wire.json_object import JsonObject


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("formats", [IMAGES, DOCUMENTS, VIDEOS, AUDIOS])
def test_every_format_has_its_own_media_type(formats: dict[str, str]) -> None:
    assert [format_of(formats, Source(media_type=kind)) for kind in formats.values()] == list(formats)


@pytest.mark.parametrize(
    ("formats", "source", "word"),
    [
        (IMAGES, Source(media_type="image/JPG"), "jpeg"),
        (IMAGES, Source(data=b64(b"\x89PNG\r\n\x1a\n....")), "png"),
        (IMAGES, Source(data=b64(b"\xff\xd8\xff\xe0....")), "jpeg"),
        (IMAGES, Source(data=b64(b"GIF89a......")), "gif"),
        (IMAGES, Source(data=b64(b"RIFF....WEBP")), "webp"),
        (IMAGES, Source(media_type="application/octet-stream", filename="a.PNG"), "png"),
        (IMAGES, Source(url="s3://bucket/cat.webp"), "webp"),
        (IMAGES, Source(media_type="image/tiff", filename="a.png"), None),
        (IMAGES, Source(data="AAAA"), None),
        (DOCUMENTS, Source(media_type="text/plain; charset=utf-8"), "txt"),
        (DOCUMENTS, Source(media_type="text/x-python"), "txt"),
        (DOCUMENTS, Source(media_type="text/x-log", filename="a.md"), "md"),
        (DOCUMENTS, Source(media_type="application/zip"), None),
        (AUDIOS, Source(media_type="audio/mp3"), "mp3"),
        (VIDEOS, Source(media_type="audio/mp3"), None),
    ],
)
def test_formats_are_found(formats: dict[str, str], source: Source, word: str | None) -> None:
    assert format_of(formats, source) == word


BLOCKS = [
    pytest.param(IMAGES, {"format": "png", "source": {"bytes": "AAAA"}}, Source(media_type="image/png", data="AAAA")),
    pytest.param(
        VIDEOS,
        {"format": "three_gp", "source": {"s3Location": {"uri": "s3://b/a"}}},
        Source(media_type="video/3gpp", url="s3://b/a"),
    ),
    pytest.param(
        VIDEOS,
        {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/a", "bucketOwner": "123456789012"}}},
        Source(media_type="video/mp4", url="s3://b/a"),
    ),
    pytest.param(
        DOCUMENTS, {"source": {"text": "words"}}, Source(media_type="text/plain", data=b64(b"words")), id="words"
    ),
    pytest.param(
        DOCUMENTS,
        {"format": "md", "source": {"content": [{"text": "a"}, {"text": "b"}]}},
        Source(media_type="text/markdown", data=b64(b"a\nb")),
    ),
    pytest.param(IMAGES, {"format": "heic", "source": {"bytes": "AAAA"}}, Source(data="AAAA"), id="unknown format"),
]


@pytest.mark.parametrize(("formats", "block", "source"), BLOCKS)
def test_sources_come_back(formats: dict[str, str], block: dict[str, Any], source: Source) -> None:
    read, kept = read_source(JsonObject.parse(json.dumps(block).encode()), formats)
    assert read == source
    written = write_source(read, formats, Extension(NAME, kept))
    assert json.loads(msgspec.json.encode(written)) == block


@pytest.mark.parametrize("block", [{"format": "png"}, {"format": "png", "source": {}}, {"source": {"s3Location": {}}}])
def test_sources_that_are_none(block: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match="source"):
        read_source(JsonObject.parse(json.dumps(block).encode()), IMAGES)


def test_extensions_of_others_are_not_read() -> None:
    assert own(None) == {}
    assert own(Extension("openai.chat", {"format": msgspec.Raw(b'"x"')})) == {}
    assert write_source(Source(media_type="image/tiff", data="A"), IMAGES, None) is None
