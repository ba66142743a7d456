"""How much an exchange may use, told before anybody counted."""

from __future__ import annotations

import msgspec
import pytest

from gatewright.core.exchange import Exchange
from gatewright.pipeline.estimates import STREAM_SLICE, WHOLE_SLICE, asked_output, estimate_input, first_slice


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
