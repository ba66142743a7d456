from __future__ import annotations

import msgspec
import pytest

from gatewright.core.usage import Usage
from gatewright.dialects.ollama.usage import read_answer, take_usage, write_usage
from gatewright.wire.json_object import JsonObject


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({"prompt_eval_count": 11, "eval_count": 18}, Usage(input_total=11, output_total=18)),
        (
            {"prompt_eval_count": 11, "prompt_eval_cached_count": 8, "eval_count": 18},
            Usage(input_total=11, input_cached_read=8, output_total=18),
        ),
        ({"eval_count": 18, "eval_duration": 7}, Usage(output_total=18)),
        ({"prompt_eval_count": 0, "eval_count": 0}, Usage()),
        ({"total_duration": 5}, None),
    ],
)
def test_counts_are_read_alike_everywhere_and_come_back(body: dict[str, int], usage: Usage | None) -> None:
    text = msgspec.json.encode({"model": "m", **body})
    assert read_answer(text) == (msgspec.Raw(b'"m"'), usage)
    report = take_usage(JsonObject.parse(msgspec.json.encode(body)))
    assert (None if report is None else report.usage) == usage
    if report is not None:
        assert msgspec.json.decode(msgspec.json.encode(write_usage(report.usage, report.extra))) == body


@pytest.mark.parametrize("count", [b"-1", b'"7"', b"1e30", b"1.5", b"99999999999999999999"])
def test_counts_that_make_no_sense_cost_only_themselves(count: bytes) -> None:
    body = b'{"model":"m","eval_count":' + count + b"}"
    assert read_answer(body) == (msgspec.Raw(b'"m"'), None)
    assert take_usage(JsonObject.parse(body)) is None


def test_clients_are_told_the_counts_of_others() -> None:
    assert write_usage(Usage(input_total=3), None) == {"prompt_eval_count": 3, "eval_count": 0}
    assert write_usage(None, None) == {}


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"[]")
