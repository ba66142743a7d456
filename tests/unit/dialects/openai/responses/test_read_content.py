"""Parts of messages, read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from gatewright.core.chat import CacheMark, Citation, File, Image, Native, Part, Refusal, Source, Text
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.events import TokenLogprob
from gatewright.dialects.openai.responses.read_content import read_content, read_logprobs


def read(value: Any, default: str = "input_text", tokens: list[TokenLogprob] | None = None) -> tuple[Part, Any]:
    part, members = read_content(Raw(json.dumps(value).encode()), "p", Kind.MALFORMED_REQUEST, default, tokens)
    return part, json.loads(bytes(members["part"])) if "part" in members else None


@pytest.mark.parametrize(
    ("told", "part", "rest"),
    [
        ({"type": "input_text", "text": "a"}, Text(text="a"), None),
        ({"type": "text", "text": "a"}, Text(text="a"), {"type": "text"}),
        ({"type": "input_text", "text": "a", "x": 1}, Text(text="a"), {"x": 1}),
        (
            {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}},
            Text(text="a", cache=CacheMark()),
            {"prompt_cache_breakpoint": {"mode": "explicit"}},
        ),
        ({"type": "refusal", "refusal": "no"}, Refusal(text="no"), None),
        (
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
            Image(source=Source(url="https://x/y.png"), detail="low"),
            None,
        ),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            Image(source=Source(media_type="image/png", data="AAAA")),
            None,
        ),
        (
            {"type": "input_image", "image_url": "data:image/svg+xml,%3Csvg"},
            Image(source=Source(url="data:image/svg+xml,%3Csvg")),
            None,
        ),
        ({"type": "input_image", "file_id": "f"}, Image(source=Source(file_id="f", dialect="openai.responses")), None),
        (
            {"type": "input_file", "file_data": "data:application/pdf;base64,QQ==", "filename": "a.pdf"},
            File(source=Source(media_type="application/pdf", data="QQ==", filename="a.pdf")),
            None,
        ),
        ({"type": "input_file", "file_data": "QQ=="}, File(source=Source(data="QQ==")), None),
        ({"type": "input_file", "file_url": "https://x"}, File(source=Source(url="https://x")), None),
        ({"type": "input_file", "file_id": "f"}, File(source=Source(file_id="f", dialect="openai.responses")), None),
    ],
)
def test_parts(told: Any, part: Part, rest: Any) -> None:
    assert read(told) == (part, rest)


def test_what_nobody_knows_stays_whole() -> None:
    part, _ = read({"type": "input_hologram", "x": 1})
    assert isinstance(part, Native)
    assert (part.kind, json.loads(bytes(part.raw))) == ("input_hologram", {"type": "input_hologram", "x": 1})


def test_annotations_become_citations() -> None:
    url = {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 4}
    file = {"type": "file_citation", "file_id": "f", "filename": "n", "index": 3}
    part, _ = read({"type": "output_text", "text": "abcdef", "annotations": [url, file]}, "output_text")
    assert isinstance(part, Text)
    first, second = part.citations
    assert (first.url, first.title, first.start, first.end) == ("u", "t", 1, 4)
    assert isinstance(second, Citation)
    assert second.extra is not None
    assert second.extra.members.keys() == {"type", "file_id", "filename", "index"}


def test_log_probabilities_of_an_answer_are_taken_out() -> None:
    token = {
        "token": "a",
        "logprob": -0.5,
        "bytes": [97],
        "top_logprobs": [{"token": "b", "logprob": -1.0, "bytes": None}],
    }
    content = {"type": "output_text", "text": "a", "annotations": [], "logprobs": [token]}
    tokens: list[TokenLogprob] = []
    _, rest = read(content, "output_text", tokens)
    assert tokens == [TokenLogprob("a", -0.5, (97,), (TokenLogprob("b", -1.0),))]
    assert rest == {"annotations": [], "logprobs": 1}
    assert read(content, "output_text")[1]["logprobs"] == [token]  # in a history they stay as they are


@pytest.mark.parametrize("odd", [b"5", b'[{"token":3}]', b'{"a":1}'])
def test_odd_log_probabilities_are_none(odd: bytes) -> None:
    assert read_logprobs(Raw(odd)) == ()


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ({"type": "input_image"}, "p.image_url"),
        ({"type": "input_image", "image_url": "u", "file_id": "f"}, "p.file_id"),
        ({"type": "input_image", "image_url": {"url": "u"}}, "p.image_url"),
        ({"type": "input_file"}, "p.file_data"),
        ({"type": "input_file", "file_data": "a", "file_id": "b"}, "p.file_data"),
        ({"type": "input_text", "text": 5}, "p.text"),
        ("text", "p"),
    ],
)
def test_wrong_shapes_are_named(told: Any, path: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read(told)
    assert (caught.value.kind, caught.value.param) == (Kind.MALFORMED_REQUEST, path)
