"""Images and documents as blocks."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from msgspec import Raw

from gatewright.core.chat import Extension, File, Image, Source
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.anthropic.vocabulary import NAME
from gatewright.dialects.anthropic.write_media import write_document, write_image

TEXT = base64.b64encode("a,é".encode()).decode()
APPROXIMATED, DROPPED, REFUSED = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED


def losses(report: LossReport) -> list[tuple[Feature, Outcome]]:
    assert all(loss.path.startswith("messages[0].parts[0]") for loss in report.entries)
    return [(loss.feature, loss.outcome) for loss in report.entries]


@pytest.mark.parametrize(
    ("image", "source", "told"),
    [
        (
            Image(source=Source(media_type="image/png", data="iVBOR")),
            {"type": "base64", "media_type": "image/png", "data": "iVBOR"},
            [],
        ),
        (
            Image(source=Source(media_type="image/jpg", data="/9j/")),
            {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"},
            [],
        ),
        (
            Image(source=Source(data="UklGRg"), detail="auto"),
            {"type": "base64", "media_type": "image/webp", "data": "UklGRg"},
            [],
        ),
        (
            Image(source=Source(url="https://x"), detail="high"),
            {"type": "url", "url": "https://x"},
            [(Feature.IMAGE_DETAIL, DROPPED)],
        ),
        (Image(source=Source(file_id="file_1", dialect=NAME)), {"type": "file", "file_id": "file_1"}, []),
        (Image(source=Source(file_id="f", dialect="openai.responses")), None, [(Feature.FILE_ID, REFUSED)]),
        (Image(source=Source(url="gs://b/x")), None, [(Feature.IMAGE_URL, REFUSED)]),
        (Image(source=Source(media_type="image/tiff", data="x")), None, [(Feature.IMAGE_DATA, REFUSED)]),
    ],
)
def test_images(image: Image, source: Any, told: list[tuple[Feature, Outcome]]) -> None:
    report = LossReport("permissive")
    block = write_image(image, "messages[0].parts[0]", report)
    assert block == (None if source is None else {"type": "image", "source": source})
    assert losses(report) == told


@pytest.mark.parametrize(
    ("source", "written", "told"),
    [
        (
            Source(media_type="application/pdf", data="JVBERi0"),
            {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0"},
            [],
        ),
        (Source(data="JVBERi0"), {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0"}, []),
        (
            Source(media_type="text/plain", data=TEXT),
            {"type": "text", "media_type": "text/plain", "data": "a,é"},
            [],
        ),
        (
            Source(media_type="text/csv; charset=utf-8", data=TEXT),
            {"type": "text", "media_type": "text/plain", "data": "a,é"},
            [(Feature.DOCUMENT, APPROXIMATED)],
        ),
        (Source(media_type="text/plain", data="//79"), None, [(Feature.DOCUMENT, REFUSED)]),
        (Source(media_type="application/msword", data="x"), None, [(Feature.DOCUMENT, REFUSED)]),
        (Source(url="https://x/a.pdf"), {"type": "url", "url": "https://x/a.pdf"}, []),
        (Source(url="s3://x/a.pdf"), None, [(Feature.DOCUMENT, REFUSED)]),
        (Source(file_id="file_1", dialect=NAME), {"type": "file", "file_id": "file_1"}, []),
        (Source(file_id="file-1", dialect="openai.chat"), None, [(Feature.FILE_ID, REFUSED)]),
    ],
)
def test_documents(source: Source, written: Any, told: list[tuple[Feature, Outcome]]) -> None:
    report = LossReport("permissive")
    block = write_document(File(source=source), "messages[0].parts[0]", report)
    assert block == (None if written is None else {"type": "document", "source": written})
    assert losses(report) == told


def test_what_is_told_beside_a_document() -> None:
    report = LossReport("strict")
    source = Source(url="https://x", filename="a.pdf")
    extra = Extension(NAME, {"new": Raw(b"1")})
    block = write_document(File(source=source, context="c", is_cited=True, extra=extra), "p", report)
    assert block == {
        "type": "document",
        "source": {"type": "url", "url": "https://x"},
        "title": "a.pdf",
        "context": "c",
        "citations": {"enabled": True},
        "new": Raw(b"1"),
    }


def test_chunks_come_back_as_they_were() -> None:
    spelled = Raw(b'{"type":"content","content":"x"}')
    part = File(source=Source(media_type="text/plain", data=TEXT), extra=Extension(NAME, {"source": spelled}))
    assert write_document(part, "p", LossReport("strict")) == {"type": "document", "source": spelled}


def test_a_picture_sent_as_a_file_is_a_picture() -> None:
    block = write_document(File(source=Source(media_type="image/png", data="iVBOR")), "p", LossReport("strict"))
    assert block is not None
    assert block["type"] == "image"
