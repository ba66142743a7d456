"""Parts of messages, written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.chat import (
    Audio,
    CacheMark,
    Citation,
    Extension,
    File,
    Image,
    Native,
    Part,
    Refusal,
    Source,
    Text,
    Video,
)
from gatewright.core.errors import Kind
from gatewright.core.events import TokenLogprob
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.openai.responses.names import NAME
from gatewright.dialects.openai.responses.read_content import read_content
from gatewright.dialects.openai.responses.write_content import (
    part_rest,
    write_citation,
    write_citations,
    write_contents,
    write_logprobs,
    write_text,
)

DROPPED, REFUSED, NEARLY = Outcome.DROPPED, Outcome.REFUSED, Outcome.APPROXIMATED


def write(part: Part) -> tuple[Any, list[tuple[Feature, Outcome]]]:
    report = LossReport("permissive")
    written = json.loads(msgspec.json.encode(write_contents([part], "input_text", "messages[0].parts", report)))
    assert all(loss.path == "messages[0].parts[0]" for loss in report.entries)
    return written, [(loss.feature, loss.outcome) for loss in report.entries]


@pytest.mark.parametrize(
    "told",
    [
        {"type": "input_text", "text": "a"},
        {"type": "text", "text": "a", "x": [1]},
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "high"},
        {"type": "input_image", "file_id": "f", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,QQ==", "filename": "a"},
        {"type": "input_file", "file_data": "QQ=="},
        {"type": "input_file", "file_url": "https://x", "detail": "low"},
        {"type": "refusal", "refusal": "no"},
        {"type": "input_hologram", "x": 1},
    ],
)
def test_own_parts_come_back_without_loss(told: Any) -> None:
    part, members = read_content(Raw(json.dumps(told).encode()), "p", Kind.MALFORMED_REQUEST, "input_text")
    if not isinstance(part, Native):
        part = msgspec.structs.replace(part, extra=Extension(NAME, members))
    assert write(part) == ([told], [])


PNG = Source(media_type="image/png", data="AAAA")
PDF = Source(media_type="application/pdf", data="QQ==")
FILE = {"type": "input_file", "file_data": "data:application/pdf;base64,QQ=="}


@pytest.mark.parametrize(
    ("part", "written", "losses"),
    [
        (Text(text="a", cache=CacheMark()), [{"type": "input_text", "text": "a"}], [(Feature.CACHE_MARK, DROPPED)]),
        (
            Image(source=PNG, detail="low"),
            [{"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"}],
            [],
        ),
        (Image(source=Source(url="gs://b/o")), [], [(Feature.IMAGE_URL, REFUSED)]),
        (Image(source=Source(file_id="f", dialect="anthropic.messages")), [], [(Feature.FILE_ID, REFUSED)]),
        (
            Image(source=Source(file_id="f", dialect="openai.chat")),
            [{"type": "input_image", "file_id": "f"}],
            [],
        ),
        (File(source=PDF, title="t"), [{**FILE, "filename": "t"}], []),
        (File(source=PDF), [{**FILE, "filename": "document.pdf"}], []),
        (
            File(source=PDF, title="t", context="c", is_cited=True),
            [{"type": "input_text", "text": "c"}, {**FILE, "filename": "t"}],
            [(Feature.DOCUMENT, NEARLY), (Feature.CITATIONS, DROPPED)],
        ),
        (File(source=Source(url="s3://b/o")), [], [(Feature.DOCUMENT, REFUSED)]),
        (Audio(source=Source(data="AA")), [], [(Feature.AUDIO, REFUSED)]),
        (Video(source=Source(data="AA")), [], [(Feature.VIDEO, REFUSED)]),
        (Native(dialect="google", kind="code", raw=Raw(b"{}")), [], [(Feature.NATIVE_TOOLS, REFUSED)]),
        (Refusal(text="no"), [{"type": "refusal", "refusal": "no"}], []),
    ],
)
def test_parts_of_other_dialects(part: Part, written: Any, losses: Any) -> None:
    assert write(part) == (written, losses)


def test_citations() -> None:
    own = Citation(title="t", extra=Extension(NAME, {"type": Raw(b'"file_citation"'), "index": Raw(b"3")}))
    assert json.loads(msgspec.json.encode(write_citation(own, 9))) == {
        "type": "file_citation",
        "index": 3,
        "title": "t",
    }
    foreign = Citation(url="u", quote="q")
    url = {"type": "url_citation", "url": "u", "title": "u", "start_index": 0, "end_index": 9}
    assert write_citation(foreign, 9) == url
    assert write_citation(Citation(title="a book", quote="q"), 9) is None
    assert write_citations([foreign, Citation(quote="q")], "x" * 9) == [url]
    assert write_text(Text(text="x" * 9, citations=(foreign,)), "output_text")["annotations"] == [url]


def test_log_probabilities() -> None:
    token = TokenLogprob("é", -0.5, None, (TokenLogprob("e", -1.0, (101,)),))
    assert write_logprobs([token]) == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
        }
    ]


def test_only_own_members_are_written() -> None:
    assert part_rest(Extension("openai.chat", {"part": Raw(b'{"x":1}')})) == {}
