from __future__ import annotations

import base64

import pytest

from gatewright.core.chat import File, Source
from gatewright.wire.media import image_type, read_data_url, text_of_base64, text_of_file, write_data_url


def spelled(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://a/b.png", Source(url="https://a/b.png")),
        ("data:image/png;base64,AA==", Source(media_type="image/png", data="AA==")),
        ("DATA:image/png;BASE64,AA==", Source(media_type="image/png", data="AA==")),
        ("data:text/plain;charset=utf-8;base64,AA==", Source(media_type="text/plain;charset=utf-8", data="AA==")),
        ("data:;base64,AA==", Source(data="AA==")),
        ("data:text/plain,hello", Source(url="data:text/plain,hello")),
        ("data:image/png;base64", Source(url="data:image/png;base64")),
        ("s3://bucket/key", Source(url="s3://bucket/key")),
    ],
)
def test_urls(url: str, source: Source) -> None:
    assert read_data_url(url) == source


def test_a_url_for_a_source() -> None:
    assert write_data_url(Source(media_type="image/png", data="AA==")) == "data:image/png;base64,AA=="
    assert write_data_url(Source(data="AA==")) == "data:;base64,AA=="
    assert write_data_url(Source(data="AA=="), "image/png") == "data:image/png;base64,AA=="
    assert write_data_url(Source(url="https://a"), "image/png") == "https://a"
    assert write_data_url(Source(file_id="f")) is None


@pytest.mark.parametrize(
    ("begins", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBP", "image/webp"),
        (b"BM\x00\x00", "image/bmp"),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_pictures_are_known_by_their_beginning(begins: bytes, media_type: str | None) -> None:
    assert image_type(spelled(begins)) == media_type


@pytest.mark.parametrize(
    ("data", "text"), [(spelled("häh".encode()), "häh"), ("", ""), (spelled(b"\xff"), None), ("a", None)]
)
def test_text_in_base64(data: str, text: str | None) -> None:
    assert text_of_base64(data) == text


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (File(source=Source(media_type="text/plain", data=spelled(b"one"))), "one"),
        (
            File(source=Source(media_type="text/csv; charset=utf-8", data=spelled(b"a,b"), filename="t.csv")),
            "t.csv\na,b",
        ),
        (
            File(source=Source(media_type="text/plain", data=spelled(b"one"), filename="f"), title="T", context="C"),
            "T\nC\none",
        ),
        (File(source=Source(media_type="application/pdf", data=spelled(b"one"))), None),
        (File(source=Source(media_type="text/plain", url="https://a")), None),
        (File(source=Source(media_type="text/plain", data=spelled(b"\xff"))), None),
        (File(source=Source(data=spelled(b"one"))), None),
    ],
)
def test_the_words_of_a_file(file: File, text: str | None) -> None:
    assert text_of_file(file) == text
