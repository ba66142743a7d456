"""How much an exchange may use, told before anybody counted."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.core.exchange import Exchange
from gatewright.pipeline.estimates import STREAM_SLICE, WHOLE_SLICE, allowed_output, estimate_input, first_slice


def exchange(body: bytes = b"{}", **members: object) -> Exchange:
    x = Exchange("req_1", None, {}, body, 0.0)
    for name, value in members.items():
        setattr(x, name, value)
    return x


def fields(text: str) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(text.encode(), type=dict[str, msgspec.Raw])


@pytest.mark.parametrize(
    ("body", "least", "most"),
    [
        (b"", 1, 1),
        (b'{"model":"m"}', 5, 5),
        (b"word " * 2_000, 2_000, 3_400),
        (b"word " * 20_000, 20_000, 34_000),
        (b'{"image":"' + b"A" * 400_000 + b'"}', 1_600, 1_700),
        (b'{"image":"' + b"A" * 400_000 + b'"} {"image":"' + b"B" * 90_000 + b'"}' + b"word " * 100, 3_200, 3_500),
    ],
    ids=["empty", "tiny", "prose", "long prose", "an image", "two images and prose"],
)
def test_input_by_bytes(body: bytes, least: int, most: int) -> None:
    assert least <= estimate_input(exchange(body)) <= most


def test_an_upload_says_nothing_about_tokens() -> None:
    assert estimate_input(exchange(b"x" * 1_000_000, is_media=True)) == 1


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("{}", None),
        ('{"max_tokens":7}', 7),
        ('{"max_completion_tokens":8,"max_tokens":7}', 8),
        ('{"max_output_tokens":9}', 9),
        ('{"generationConfig":{"maxOutputTokens":10}}', 10),
        ('{"inferenceConfig":{"maxTokens":11}}', 11),
        ('{"options":{"num_predict":12}}', 12),
        ('{"options":{}}', None),
        ('{"options":[1]}', None),
        ('{"options":{"num_predict":-1}}', None),
        ('{"max_tokens":null}', None),
        ('{"max_tokens":"7"}', None),
        ('{"max_tokens":1.5}', None),
        ('{"max_tokens":99999999999999999999}', None),
    ],
)
def test_what_the_client_allows(text: str, allowed: int | None) -> None:
    assert allowed_output(fields(text)) == allowed


@pytest.mark.parametrize(
    ("text", "stream", "has_output", "tokens"),
    [
        ("{}", True, True, STREAM_SLICE),
        ('{"max_tokens":7}', True, True, 7),
        ('{"max_tokens":100000}', True, True, STREAM_SLICE),
        ("{}", False, True, 1_024),
        ('{"max_tokens":7}', False, True, 7),
        ('{"max_tokens":100000}', False, True, WHOLE_SLICE),
        ("{}", False, False, 0),
    ],
)
def test_first_slice(text: str, stream: bool, has_output: bool, tokens: int) -> None:
    assert first_slice(exchange(fields=fields(text), stream=stream), has_output=has_output) == tokens
