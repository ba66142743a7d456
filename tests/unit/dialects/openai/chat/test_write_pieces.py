from __future__ import annotations

import msgspec

from gatewright.core.chat import Audio, ChatRequest, Citation, Extension, Image, Source, Tool
from gatewright.core.loss import Feature, LossReport
from gatewright.core.usage import Usage
from gatewright.dialects.openai.chat.words import extended
from gatewright.dialects.openai.chat.write_pieces import (
    wants_functions,
    write_answer_image,
    write_audio,
    write_citation,
    write_usage,
)


def test_citations_without_an_address_are_told_to_be_lost() -> None:
    report = LossReport("strict")
    assert write_citation(Citation(title="page 3"), 0, report) is None
    assert [loss.feature for loss in report.entries] == [Feature.CITATIONS]


def test_usage_is_the_hosts_own_where_it_has_any() -> None:
    usage = Usage(input_total=1, output_total=2)
    own = {"prompt_tokens": msgspec.Raw(b"1"), "cost": msgspec.Raw(b"0.5")}
    assert write_usage(usage, Extension("openai.chat", own)) == own
    assert write_usage(usage, Extension("another", own))["total_tokens"] == 3


def test_sound() -> None:
    audio = Audio(source=Source(data="AAAA"), transcript="hi", extra=extended(None, expires_at=9))
    assert write_audio(audio, "r1") == {
        "id": "audio_r1",
        "data": "AAAA",
        "transcript": "hi",
        "expires_at": msgspec.Raw(b"9"),
    }


def test_pictures_need_an_address() -> None:
    assert write_answer_image(Image(source=Source(file_id="f"))) is None
    assert write_answer_image(Image(source=Source(url="u"))) == {"type": "image_url", "image_url": {"url": "u"}}


def test_clients_that_speak_of_functions() -> None:
    old = Tool(name="f", extra=extended(None, form="functions"))
    assert wants_functions(ChatRequest(model="m", messages=(), tools=(old,)))
    assert not wants_functions(ChatRequest(model="m", messages=(), tools=(Tool(name="f"),)))
