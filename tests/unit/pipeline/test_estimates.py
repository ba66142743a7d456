"""How much an exchange may use, told before anybody counted."""

from __future__ import annotations

import base64
import random

import msgspec
import pytest

from gatewright.core.exchange import Exchange
from gatewright.dialects import DIALECTS
from gatewright.pipeline.estimates import STREAM_SLICE, WHOLE_SLICE, asked_output, estimate_input, first_slice


def exchange(body: bytes = b"{}", **members: object) -> Exchange:
    x = Exchange("req_1", None, {}, body, 0.0)
    for name, value in members.items():
        setattr(x, name, value)
    return x


def fields(text: str) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])


def encoded(head: bytes, size: int) -> bytes:
    """A medium of so many bytes in base64, compressed as they are behind their heads."""
    return base64.b64encode(head + random.Random(1).randbytes(size - len(head)))


PNG = encoded(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 300_000)
JPEG = encoded(b"\xff\xd8\xff\xe0", 60_000)
WORDS = b"/9j/" + b"all-these-words-Are/Text_with-No-spaces+like-Names2Of3Things" * 5_000


@pytest.mark.parametrize(
    ("body", "least", "most"),
    [
        (b"", 1, 1),
        (b'{"model":"m"}', 5, 5),
        (b"word " * 2_000, 2_000, 3_400),
        (b"word " * 20_000, 20_000, 34_000),
        (b'{"image":"' + PNG + b'"}', 1_600, 1_700),
        (b'{"image":"data:image/png;base64,' + PNG + b'"}', 1_600, 1_700),
        (b'{"image":"' + JPEG + b'"} {"image":"' + PNG + b'"}' + b"word " * 100, 3_200, 3_500),
        (b'{"image":"' + JPEG.replace(b"/", b"\\/") + b'"}', 1_600, 1_700),
        (b'{"image":"' + encoded(b"RIFF\x10\x20\x30\x40WEBPVP8 ", 50_000) + b'"}', 1_600, 1_700),
        (b'{"data":"' + encoded(b"RIFF\x10\x20\x30\x40WAVEfmt ", 960_000) + b'"}', 1_000, 6_000),
        (b'{"data":"' + encoded(b"ID3\x03", 480_000) + b'"}', 960, 12_000),
        (b'{"data":"' + encoded(b"%PDF-1.7", 800_000) + b'"}', 40_000, 80_000),
        # However it begins and ends.
        (b'{"content":"' + b"word " * 200_000 + PNG[-2_000:] + b'"}', 250_000, 350_000),
        (b'{"content":"' + PNG[:2_000] + b"word " * 200_000 + b'"}', 250_000, 350_000),
        (b'{"content":"' + PNG[:2_000] + b"word " * 200_000 + PNG[-2_000:] + b'"}', 250_000, 350_000),
        (b'{"content":"' + WORDS + b'"}', len(WORDS) // 4, len(WORDS) // 2),
        (b'{"content":"' + b"A" * 300_000 + b'"}', 37_500, 150_000),
        (b'{"content":"data:' + b"0123456789abcdef" * 20_000 + b'"}', 100_000, 160_000),
    ],
    ids=[
        "empty",
        "tiny",
        "prose",
        "long prose",
        "an image",
        "the URL of an image",
        "two images and prose",
        "escaped slashes",
        "WebP",
        "thirty seconds of WAV",
        "thirty seconds of MP3",
        "a PDF of twenty pages",
        "prose that ends like an image",
        "prose that begins like an image",
        "prose between images",
        "words without spaces",
        "one letter",
        "hex",
    ],
)
def test_input_by_bytes(body: bytes, least: int, most: int) -> None:
    assert least <= estimate_input(exchange(body)) <= most


@pytest.mark.parametrize("member", ["prompt", "input"])
def test_text_as_numbers_of_tokens(member: str) -> None:
    body = msgspec.json.encode({"model": "m", member: [7] * 8_000})
    dialect = next(each for each in DIALECTS if each.name == "openai.embeddings") if member == "input" else None
    x = exchange(body, fields=fields(body.decode()), dialect=dialect)
    assert 8_000 <= estimate_input(x) <= 8_100


def test_an_upload_says_nothing_about_tokens() -> None:
    assert estimate_input(exchange(b"x" * 1_000_000, is_media=True)) == 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("{}", None),
        ('{"max_tokens":7}', 7),
        ('{"max_output_tokens":9}', 9),
        ('{"n_predict":9}', 9),
        ('{"generationConfig":{"maxOutputTokens":10}}', 10),
        ('{"generation_config":{"max_output_tokens":10}}', 10),
        ('{"inferenceConfig":{"maxTokens":11}}', 11),
        ('{"options":{"num_predict":12}}', 12),
        ('{"options":{}}', None),
        ('{"options":[1]}', None),
        ('{"options":{"num_predict":-1}}', None),
        ('{"max_tokens":null}', None),
        ('{"max_tokens":0}', None),
        ('{"max_tokens":"7"}', None),
        ('{"max_tokens":1.5}', None),
        ('{"max_tokens":99999999999999999999}', None),
        # Which of several the upstream obeys, it alone knows.
        ('{"max_completion_tokens":8,"max_tokens":7}', 8),
        ('{"max_completion_tokens":1,"max_tokens":700}', 700),
        ('{"max_completion_tokens":8,"max_tokens":null}', 8),
        ('{"max_completion_tokens":8,"max_tokens":"700"}', None),
        ('{"max_completion_tokens":8,"max_tokens":0}', None),
        ('{"max_tokens":1,"options":{"num_predict":600}}', 600),
        ('{"max_tokens":1,"options":{"num_predict":-1}}', None),
        ('{"max_tokens":1,"n_predict":600}', 600),
        ('{"max_tokens":1,"generationConfig":{"maxOutputTokens":600}}', 600),
    ],
)
def test_what_the_client_allows(text: str, limit: int | None) -> None:
    assert asked_output(fields(text)) == (limit, 1)


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"n":4}', 4),
        ('{"n":null}', 1),
        ('{"n":"4"}', 1),
        ('{"n":0}', 1),
        ('{"n":2,"best_of":5}', 5),
        ('{"generationConfig":{"candidateCount":8}}', 8),
        ('{"generation_config":{"candidate_count":8}}', 8),
        ('{"prompt":"[1,2]"}', 1),
        ('{"prompt":[]}', 1),
        ('{"prompt":["a","b","c"]}', 3),
        ('{"prompt":[1,2,3]}', 1),
        ('{"prompt":[[1,2],[3]],"n":3}', 6),
        ('{"prompt":{"id":"p"}}', 1),
        ('{"n":999999999,"prompt":["a","b"]}', 100_000),
    ],
)
def test_how_many_answers_the_client_wants(text: str, answers: int) -> None:
    assert asked_output(fields(text)) == (None, answers)


@pytest.mark.parametrize(
    ("text", "stream", "has_output", "tokens"),
    [
        ("{}", True, True, STREAM_SLICE),
        ('{"max_tokens":7}', True, True, 7),
        ('{"max_tokens":7,"n":3}', True, True, 21),
        ('{"max_tokens":100000}', True, True, STREAM_SLICE),
        ('{"max_tokens":512,"n":128}', True, True, STREAM_SLICE),
        ("{}", False, True, 1_024),
        ('{"n":3}', False, True, 3 * 1_024),
        ('{"max_tokens":7}', False, True, 7),
        ('{"max_tokens":7,"n":3}', False, True, 21),
        ('{"max_tokens":100000}', False, True, WHOLE_SLICE),
        ('{"max_tokens":100000,"n":3}', False, True, 3 * WHOLE_SLICE),
        ("{}", False, False, 0),
    ],
)
def test_first_slice(text: str, stream: bool, has_output: bool, tokens: int) -> None:
    assert first_slice(exchange(fields=fields(text), stream=stream), has_output=has_output) == tokens
