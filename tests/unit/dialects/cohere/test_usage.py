from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.core.usage import Usage
from gatewright.dialects.cohere.usage import read_answer, read_report, write_usage

BOTH = {"billed_units": {"input_tokens": 7, "output_tokens": 3}, "tokens": {"input_tokens": 70, "output_tokens": 4}}


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        (BOTH, Usage(input_total=70, output_total=4)),
        (BOTH | {"cached_tokens": 64}, Usage(input_total=70, input_cached_read=64, output_total=4)),
        (BOTH | {"cached_tokens": 0, "new": [1]}, Usage(input_total=70, output_total=4)),
        (
            {"tokens": {"input_tokens": 7.0, "output_tokens": 0, "new_tokens": 1}},
            Usage(input_total=7),
        ),
        ({"billed_units": {"input_tokens": 7, "output_tokens": 3}}, Usage(input_total=7, output_total=3)),
    ],
)
def test_counts_are_read_alike_everywhere_and_come_back(body: dict[str, Any], usage: Usage) -> None:
    raw = msgspec.Raw(msgspec.json.encode(body))
    assert read_answer(b'{"id":"a","usage":' + bytes(raw) + b"}") == (None, usage)
    report = read_report(raw)
    assert report is not None
    assert report.usage == usage
    assert msgspec.json.decode(msgspec.json.encode(write_usage(usage, report.extra))) == body


@pytest.mark.parametrize("usage", [b"null", b"7", b"{}", b'{"tokens":{"input_tokens":-1}}', b'{"tokens":[]}'])
def test_counts_that_make_no_sense_cost_only_themselves(usage: bytes) -> None:
    assert read_answer(b'{"usage":' + usage + b"}") == (None, None)
    assert read_report(msgspec.Raw(usage)) is None


def test_embeddings_tell_it_elsewhere() -> None:
    body = b'{"meta":{"billed_units":{"input_tokens":4,"image_tokens":6}}}'
    assert read_answer(body) == (None, Usage(input_total=10, input_image=6))


def test_clients_are_told_the_counts_of_others_twice() -> None:
    counts = {"input_tokens": 3, "output_tokens": 5}
    usage = Usage(input_total=3, input_cached_read=2, output_total=5)
    assert write_usage(usage, None) == {"billed_units": counts, "tokens": counts, "cached_tokens": 2}


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"[]")
