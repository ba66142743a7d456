from typing import Any

import msgspec
import pytest
from msgspec import Raw

from gatewright.core.usage import Usage
from gatewright.dialects.google.usage import read_answer, read_counts, read_usage, write_usage

CASES = [
    ({"promptTokenCount": 8, "totalTokenCount": 8}, Usage(input_total=8)),
    (
        {"promptTokenCount": 8, "candidatesTokenCount": 20, "thoughtsTokenCount": 419, "totalTokenCount": 447},
        Usage(input_total=8, output_total=439, output_reasoning=419),
    ),
    (
        {
            "promptTokenCount": 15,
            "candidatesTokenCount": 18,
            "thoughtsTokenCount": 742,
            "toolUsePromptTokenCount": 770,
            "totalTokenCount": 1545,
        },
        Usage(input_total=785, output_total=760, output_reasoning=742),
    ),
    # The total says that the candidates include the thoughts.
    (
        {"promptTokenCount": 10, "candidatesTokenCount": 30, "thoughtsTokenCount": 20, "totalTokenCount": 40},
        Usage(input_total=10, output_total=30, output_reasoning=20),
    ),
    # Candidates are left out, not zero.
    (
        {"promptTokenCount": 10, "totalTokenCount": 25, "thoughtsTokenCount": 5},
        Usage(input_total=10, output_total=15, output_reasoning=5),
    ),
    ({"totalTokenCount": 25, "candidatesTokenCount": 5}, Usage(input_total=20, output_total=5)),
    (
        {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 1, "totalTokenCount": 11},
        Usage(input_total=10, input_cached_read=4, output_total=1),
    ),
    (
        {
            "promptTokenCount": 300,
            "candidatesTokenCount": 1290,
            "totalTokenCount": 1590,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 10},
                {"modality": "IMAGE", "tokenCount": 258},
                {"modality": 4, "tokenCount": 32},
            ],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}, {"modality": "AUDIO"}],
            "trafficType": "ON_DEMAND",
            "serviceTier": "standard",
        },
        Usage(
            input_total=300,
            input_image=258,
            input_audio=32,
            output_total=1290,
            output_image=1290,
            service="prices",
        ),
    ),
    (
        {
            "promptTokenCount": 1000,
            "cachedContentTokenCount": 950,
            "candidatesTokenCount": 10,
            "totalTokenCount": 1010,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 80},
                {"modality": "IMAGE", "tokenCount": 900},
                {"modality": "AUDIO", "tokenCount": 20},
            ],
            "cacheTokensDetails": [
                {"modality": "TEXT", "tokenCount": 40},
                {"modality": 2, "tokenCount": 895},
                {"modality": "AUDIO", "tokenCount": 15},
            ],
        },
        Usage(
            input_total=1000,
            input_cached_read=950,
            input_image=900,
            input_cached_image=895,
            input_audio=20,
            input_cached_audio=15,
            output_total=10,
        ),
    ),
    # A total that fits no rule comes back as it was.
    ({"promptTokenCount": 3, "candidatesTokenCount": 4, "totalTokenCount": 99}, Usage(input_total=3, output_total=4)),
]


@pytest.mark.parametrize(("reported", "expected"), CASES)
def test_the_normal_form_and_back(reported: dict[str, object], expected: Usage) -> None:
    usage, extra = read_usage(Raw(msgspec.json.encode(reported)))

    assert usage == expected
    again = msgspec.json.decode(msgspec.json.encode(write_usage(usage, extra)))
    assert {name: value for name, value in again.items() if value != 0} == reported


@pytest.mark.parametrize(("reported", "expected"), CASES)
def test_chunks_tell_the_totals(reported: dict[str, object], expected: Usage) -> None:
    counted = read_counts(Raw(msgspec.json.encode(reported)))
    assert counted is not None
    assert (counted.input_total, counted.output_total) == (expected.input_total, expected.output_total)


@pytest.mark.parametrize(
    "reported",
    [
        b"null",
        b"[]",
        b"{}",
        b'{"trafficType":"ON_DEMAND"}',
        b'{"promptTokenCount":-1}',
        b'{"promptTokenCount":"x"}',
        b'{"promptTokenCount":1e30}',
        b"{",
    ],
)
def test_what_makes_no_sense_gives_no_number(reported: bytes) -> None:
    assert read_usage(Raw(reported)) == (None, None)
    assert read_counts(Raw(reported)) is None


def test_details_in_another_form_cost_only_themselves() -> None:
    usage, extra = read_usage(Raw(b'{"promptTokenCount":1,"promptTokensDetails":5}'))
    assert usage == Usage(input_total=1)
    assert extra is not None
    assert extra.members["promptTokensDetails"] == Raw(b"5")


def test_another_dialects_usage() -> None:
    usage = Usage(input_total=10, input_cached_read=3, output_total=9, output_reasoning=4)
    assert write_usage(usage, None) == {
        "promptTokenCount": 10,
        "candidatesTokenCount": 5,
        "totalTokenCount": 19,
        "thoughtsTokenCount": 4,
        "cachedContentTokenCount": 3,
    }


def test_model_and_usage_of_a_complete_answer() -> None:
    body = b'{"candidates":[],"modelVersion":"gemini-3","usageMetadata":{"promptTokenCount":2,"totalTokenCount":2}}'
    assert read_answer(body) == (Raw(b'"gemini-3"'), Usage(input_total=2))
    assert read_answer(b'{"usageMetadata":7}') == (None, None)
    assert read_answer(b"{}") == (None, None)
    for text in (b"[]", b"", b'{"a":"\xff'):
        with pytest.raises(msgspec.DecodeError):
            read_answer(text)


@pytest.mark.parametrize(
    ("members", "service"),
    [
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "PRIORITY"}, "priority"),
        ({"trafficType": "ON_DEMAND"}, "prices"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, ""),
        ({"trafficType": 5, "serviceTier": {}}, ""),
    ],
)
def test_the_answer_tells_which_service_gave_it(members: Any, service: str) -> None:
    usage, _ = read_usage(Raw(msgspec.json.encode({"promptTokenCount": 3, "candidatesTokenCount": 4} | members)))
    assert usage == Usage(input_total=3, output_total=4, service=service)
