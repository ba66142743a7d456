from typing import Any

import msgspec
import pytest

from gatewright.core.usage import Usage
from gatewright.dialects.openai.usage import read_answer, read_usage, render_usage


def read(reported: Any) -> Usage | None:
    return read_usage(msgspec.Raw(msgspec.json.encode(reported)))


def test_every_count_has_its_place() -> None:
    reported = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30, "audio_tokens": 20, "new": 1},
        "completion_tokens_details": {"reasoning_tokens": 10, "audio_tokens": 5, "rejected_prediction_tokens": 2},
        "cost": 0.001,
    }
    assert read(reported) == Usage(
        input_total=100,
        input_cached_read=40,
        input_cache_write=30,
        input_audio=20,
        output_total=50,
        output_reasoning=10,
        output_audio=5,
    )


@pytest.mark.parametrize(
    ("kinds", "counts"),
    [
        ({"text_tokens": 3, "audio_tokens": 7, "image_tokens": 5}, (7, 5)),
        ({"image_tokens": 5}, (0, 5)),
        ({"audio_tokens": 0, "image_tokens": 0}, (0, 0)),
        # Not what OpenAI means by the name: the other counts are none the worse for it.
        ({"device": 2, "host": 0}, (0, 0)),
        ({"image_tokens": -5}, (0, 0)),
        ([5], (0, 0)),
        (None, (0, 0)),
    ],
)
def test_kinds_of_cached_tokens_are_read_where_they_are_told(kinds: Any, counts: tuple[int, int]) -> None:
    details = {"cached_tokens": 15, "audio_tokens": 8, "image_tokens": 6, "cached_tokens_details": kinds}
    assert read({"prompt_tokens": 20, "completion_tokens": 1, "prompt_tokens_details": details}) == Usage(
        input_total=20,
        input_cached_read=15,
        input_audio=8,
        input_image=6,
        input_cached_audio=counts[0],
        input_cached_image=counts[1],
        output_total=1,
    )


@pytest.mark.parametrize(
    ("reported", "counts"),
    [
        ({"prompt_tokens": 8, "total_tokens": 8}, (8, 0)),  # embeddings
        ({"total_tokens": 12}, (12, 0)),  # embeddings of hosts that count once
        ({"prompt_tokens": 3, "total_tokens": 10}, (3, 7)),
        ({"completion_tokens": 4, "total_tokens": 10}, (6, 4)),
        ({"completion_tokens": 14, "total_tokens": 10}, (0, 14)),
        ({"prompt_tokens": 5, "total_tokens": 3}, (5, 0)),
        ({"prompt_tokens": 5}, (5, 0)),
        ({"prompt_tokens": 5, "completion_tokens": None, "prompt_tokens_details": None}, (5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (0, 0)),
    ],
)
def test_what_is_left_out_is_worked_out(reported: Any, counts: tuple[int, int]) -> None:
    usage = read(reported)
    assert usage is not None
    assert (usage.input_total, usage.output_total) == counts


@pytest.mark.parametrize(
    "reported",
    [
        None,
        {},
        [],
        "many",
        7,
        {"completion_tokens": 4},
        {"prompt_tokens": "8"},
        {"prompt_tokens": 8.5},
        {"prompt_tokens": -8, "completion_tokens": 1},
        {"prompt_tokens": 8, "completion_tokens": -1},
        {"prompt_tokens": 8, "prompt_tokens_details": {"cached_tokens": -1}},
        {"prompt_tokens": 8, "prompt_tokens_details": 3},
        {"prompt_tokens": 2**62},
    ],
)
def test_no_wrong_number_is_recorded(reported: Any) -> None:
    assert read(reported) is None


@pytest.mark.parametrize(
    "raw", [b'{"prompt_tokens":12345678901234567890}', b'{"prompt_tokens":1e400}', b"[" * 5000 + b"]" * 5000]
)
def test_spellings_beyond_reason_are_not_read(raw: bytes) -> None:
    assert read_usage(msgspec.Raw(raw)) is None


def test_an_answer_gives_its_model_as_spelled_and_its_usage() -> None:
    model, usage = read_answer(b'{"model": "gpt\\u002d4", "usage": {"prompt_tokens": 1, "completion_tokens": 2}}')
    assert model is not None
    assert bytes(model) == b'"gpt\\u002d4"'
    assert usage == Usage(input_total=1, output_total=2)


@pytest.mark.parametrize("member", ["", ',"usage":null', ',"usage":"free"', ',"usage":{"prompt_tokens":-1}'])
def test_an_answer_without_a_usable_usage_keeps_its_model(member: str) -> None:
    model, usage = read_answer(f'{{"model":"a"{member}}}'.encode())
    assert model is not None
    assert bytes(model) == b'"a"'
    assert usage is None


def test_an_answer_may_name_no_model() -> None:
    assert read_answer(b"{}") == (None, None)
    assert read_answer(b'{"usage":7}') == (None, None)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"text"', b"{", b"<html>"])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        read_answer(body)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        pytest.param(
            {
                "prompt_tokens": 12,
                "completion_tokens": 1,
                "total_tokens": 241,
                "completion_tokens_details": {"reasoning_tokens": 228},
            },
            Usage(input_total=12, output_total=229, output_reasoning=228),
            id="xAI: reasoning beside completion",
        ),
        pytest.param(
            {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
            Usage(input_total=35, output_total=74, output_reasoning=62),
            id="Google: reasoning in the total alone",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_cache_hit_tokens": 4},
            Usage(input_total=9, input_cached_read=4, output_total=5),
            id="DeepSeek",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "cached_tokens": 3},
            Usage(input_total=9, input_cached_read=3, output_total=5),
            id="Moonshot",
        ),
        pytest.param(
            {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "num_cached_tokens": 2},
            Usage(input_total=9, input_cached_read=2, output_total=5),
            id="Mistral",
        ),
    ],
)
def test_rules_of_hosts(reported: Any, usage: Usage) -> None:
    assert read(reported) == usage


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_total=5, output_total=2),
        Usage(
            input_total=100,
            input_cached_read=40,
            input_cache_write=30,
            input_audio=20,
            input_image=6,
            input_cached_audio=7,
            input_cached_image=5,
            output_total=50,
            output_reasoning=10,
            output_audio=5,
            output_image=4,
        ),
    ],
)
def test_what_is_written_reads_the_same(usage: Usage) -> None:
    assert read(render_usage(usage)) == usage


@pytest.mark.parametrize(
    ("tier", "service"),
    [
        ('"default"', "prices"),
        ('"flex"', "flex"),
        ('"priority"', "priority"),
        ('"on_demand"', "prices"),
        ('"auto"', ""),
        ('"scale"', ""),
        ("null", ""),
        ("7", ""),
        ('["flex"]', ""),
    ],
)
def test_the_answer_tells_which_service_gave_it(tier: str, service: str) -> None:
    body = b'{"service_tier":%b,"usage":{"prompt_tokens":3,"completion_tokens":1}}' % tier.encode()
    assert read_answer(body)[1] == Usage(input_total=3, output_total=1, service=service)
