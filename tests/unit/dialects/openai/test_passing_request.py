"""What a request tells of what it will use: pictures, characters, the length of an uploaded sound."""

from __future__ import annotations

import io
import wave

import pytest
from msgspec import Raw

from gatewright.core.usage import Usage
from gatewright.dialects.openai.passing import PASSING
from gatewright.dialects.openai.passing_request import asked_images, asked_speech, uploaded_sound

BY_NAME = {dialect.name: dialect for dialect in PASSING}


@pytest.mark.parametrize(
    ("n", "images"),
    [
        (None, 1),
        (b"3", 3),
        (b'"3"', 3),  # a form's field
        (b"null", 1),
        (b"0", 1),
        (b"-5", 1),
        (b'"many"', 1),
        (b"1e9", 1_000),
        (b"[", 1),
        (b"10000000", 1_000),
    ],
)
def test_pictures(n: bytes | None, images: int) -> None:
    assert asked_images({} if n is None else {"n": Raw(n)}, b"") == Usage(images=images, estimated=True)


@pytest.mark.parametrize(
    ("text", "characters"),
    [(b'"Hello"', 5), (b'"\\u00e9\\ud83d\\ude00"', 2), ('"héé😀"'.encode(), 4), (b'""', 0), (b"5", None), (b"[", None)],
)
def test_characters(text: bytes, characters: int | None) -> None:
    expected = None if characters is None else Usage(characters=characters)
    assert asked_speech({"input": Raw(text)}, b"") == expected


@pytest.mark.parametrize(("form", "is_told"), [(b'"sse"', True), (b'"audio"', False), (b"null", False), (b"5", False)])
def test_events_of_speech_tell_more(form: bytes, is_told: bool) -> None:
    asked = asked_speech({"input": Raw(b'"Hello"'), "stream_format": Raw(form)}, b"")
    assert asked == Usage(characters=5, estimated=is_told)


def test_speech_of_nothing() -> None:
    assert asked_speech({}, b"") is None


def sound(frames: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(frames * 2))
    return out.getvalue()


def form(*contents: bytes) -> bytes:
    parts = [b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + content + b"\r\n" for content in contents]
    return b"".join(parts) + b"--b--\r\n"


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (form(b"whisper-1", sound(20_000)), 2.5),
        # What a field pretends to be makes the upload no shorter.
        (form(sound(8), sound(20_000)), 2.5),
        (form(sound(20_000), sound(8)), 2.5),
        # Other formats by their size, 64 kbit a second; so whatever part of a form it is that the provider reads.
        (form(b"whisper-1", b"ID3" + bytes(15_997)), 2.0),
        (form(sound(8), b"OggS" + bytes(15_996)), 2.0),
        (form(b"OggS" + bytes(15_996), sound(24_000)), 3.0),
        (form(b"x" * 28 + sound(20_000)), 5.009),
        (form(b""), None),
        (b"--b", None),
        (b"--b\r\n", None),
        (b'{"file": "RIFF"}', None),
        (b"", None),
    ],
)
def test_an_uploaded_sound(body: bytes, seconds: float | None) -> None:
    assert uploaded_sound({}, body) == (None if seconds is None else Usage(audio_s=seconds, estimated=True))


@pytest.mark.parametrize(
    ("name", "fields", "usage"),
    [
        ("openai.images.generations", {"n": Raw(b"2")}, Usage(images=2, estimated=True)),
        ("openai.images.edits", {"n": Raw(b'"2"')}, Usage(images=2, estimated=True)),
        ("openai.images.variations", {}, Usage(images=1, estimated=True)),
        ("openai.audio.speech", {"input": Raw(b'"Hi"')}, Usage(characters=2)),
        ("openai.audio.transcriptions", {}, Usage(audio_s=1.0, estimated=True)),
        ("openai.audio.translations", {}, Usage(audio_s=1.0, estimated=True)),
        # Free, or charged later, when the provider runs the batch.
        ("openai.moderations", {"input": Raw(b'"Hi"')}, None),
        ("openai.files", {}, None),
        ("openai.batches", {}, None),
        ("cohere.rerank", {}, None),
    ],
)
def test_each_surface_knows_its_unit(name: str, fields: dict[str, Raw], usage: Usage | None) -> None:
    assert BY_NAME[name].asked_units(fields, form(sound(8_000))) == usage
