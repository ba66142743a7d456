from __future__ import annotations

import base64
from typing import Any

import pytest

from gatewright.core.chat import Audio, File, Image, Source, Video
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.openai.chat.write_media import Media, write_media

PDF = Source(media_type="application/pdf", data="AAAA")


@pytest.mark.parametrize(
    ("part", "written"),
    [
        (
            Image(source=Source(media_type="image/png", data="AAAA"), detail="low"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
        ),
        (
            Audio(source=Source(media_type="audio/mpeg", data="AAAA")),
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        ),
        (
            File(source=PDF, title="Report"),
            {"type": "file", "file": {"filename": "Report", "file_data": "data:application/pdf;base64,AAAA"}},
        ),
        (
            File(source=PDF),
            {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        ),
    ],
)
def test_media_of_other_dialects(part: Media, written: dict[str, Any]) -> None:
    report = LossReport("strict")
    assert write_media(part, report, "p") == written


@pytest.mark.parametrize(
    ("part", "feature"),
    [
        (Image(source=Source(file_id="f", dialect="anthropic.messages")), Feature.FILE_ID),
        (Image(source=Source(url="gs://bucket/a.png")), Feature.IMAGE_URL),
        (Audio(source=Source(url="https://a/b.mp3")), Feature.AUDIO),
        (Video(source=Source(url="https://a/b.mp4")), Feature.VIDEO),
        (File(source=Source(url="https://a/b.pdf")), Feature.DOCUMENT),
        (File(source=Source(file_id="f", dialect="anthropic.messages")), Feature.FILE_ID),
    ],
)
def test_what_cannot_be_sent_is_refused(part: Media, feature: Feature) -> None:
    report = LossReport("permissive")
    assert write_media(part, report, "p") is None
    assert [(loss.feature, loss.outcome, loss.path) for loss in report.entries] == [(feature, Outcome.REFUSED, "p")]


def test_text_documents_become_text() -> None:
    report = LossReport("warn")
    data = base64.b64encode("größe".encode()).decode()
    part = File(source=Source(media_type="text/plain", data=data), title="T", context="C")
    assert write_media(part, report, "p") == {"type": "text", "text": "T\nC\ngröße"}
    assert [loss.outcome for loss in report.entries] == [Outcome.APPROXIMATED]


def test_words_about_documents_are_told_to_be_lost() -> None:
    report = LossReport("warn")
    assert write_media(File(source=PDF, context="C", is_cited=True), report, "p") is not None
    assert [loss.feature for loss in report.entries] == [Feature.DOCUMENT, Feature.CITATIONS]
