"""Sampling, labels and the answer's form, and what of them has no place in Converse."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.dialects.bedrock.exchanges import asked, encoded, losses

from gatewright.core.chat import ResponseFormat, Sampling
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, Outcome

DROPPED, APPROXIMATED, REFUSED = Outcome.DROPPED, Outcome.APPROXIMATED, Outcome.REFUSED


def test_sampling_is_written() -> None:
    sampling = Sampling(temperature=0.0, top_p=1.0, stop=("a", ""))
    assert encoded(asked(sampling=sampling, max_output_tokens=9))["inferenceConfig"] == {
        "maxTokens": 9,
        "temperature": 0.0,
        "topP": 1.0,
        "stopSequences": ["a"],
    }


@pytest.mark.parametrize(
    ("sampling", "loss"),
    [
        ({"temperature": 1.5}, (Feature.TEMPERATURE, APPROXIMATED, "sampling.temperature")),
        ({"n": 2}, (Feature.N, REFUSED, "sampling.n")),
        ({"logprobs": True, "top_logprobs": 2}, (Feature.LOGPROBS, REFUSED, "sampling.logprobs")),
        ({"seed": 0}, (Feature.SEED, DROPPED, "sampling.seed")),
        ({"frequency_penalty": 0.5}, (Feature.PENALTIES, DROPPED, "sampling.frequency_penalty")),
        ({"presence_penalty": 0.5}, (Feature.PENALTIES, DROPPED, "sampling.presence_penalty")),
        ({"logit_bias": msgspec.Raw(b"{}")}, (Feature.LOGIT_BIAS, DROPPED, "sampling.logit_bias")),
        ({"n": 1, "logprobs": False, "presence_penalty": 0.0}, None),
    ],
)
def test_sampling_without_a_place_is_told(sampling: dict[str, Any], loss: Any) -> None:
    report = LossReport("permissive")
    body = encoded(asked(sampling=Sampling(**sampling)), report)
    assert losses(report) == ([] if loss is None else [loss])
    assert body.get("inferenceConfig", {"temperature": 1}) == {"temperature": 1}


@pytest.mark.parametrize(
    ("members", "loss"),
    [
        ({"user": "ada"}, (Feature.USER, DROPPED, "user")),
        ({"verbosity": "low"}, (Feature.VERBOSITY, DROPPED, "verbosity")),
        ({"store": True}, (Feature.STORE, DROPPED, "store")),
        ({"store": False}, None),
        ({"cache_key": "k"}, (Feature.CACHE_KEY, DROPPED, "cache_key")),
        ({"service_tier": "auto"}, None),
        ({"service_tier": "scale"}, (Feature.SERVICE_TIER, DROPPED, "service_tier")),
        ({"modalities": ("text",)}, None),
        ({"modalities": ("text", "audio")}, (Feature.MODALITIES, REFUSED, "modalities")),
        ({"response_format": ResponseFormat(kind="text")}, None),
    ],
)
def test_labels_without_a_place_are_told(members: dict[str, Any], loss: Any) -> None:
    report = LossReport("permissive")
    assert list(encoded(asked(**members), report)) == ["messages"]
    assert losses(report) == ([] if loss is None else [loss])


def test_what_changes_the_answer_is_refused() -> None:
    with pytest.raises(GatewayError) as caught:
        encoded(asked(sampling=Sampling(n=2)), LossReport("warn"))
    assert caught.value.kind is Kind.UNSUPPORTED_FEATURE


def test_metadata_is_kept_where_it_fits() -> None:
    report = LossReport()
    body = encoded(asked(metadata={"team": "a b", "bad": "é", "": "x", "long": "x" * 257}), report)
    assert body["requestMetadata"] == {"team": "a b"}
    assert losses(report) == [(Feature.METADATA, DROPPED, "metadata")]
    many = encoded(asked(metadata={f"k{number}": "v" for number in range(20)}), LossReport())
    assert len(many["requestMetadata"]) == 16


def test_tiers_and_forms() -> None:
    form = ResponseFormat(kind="json_schema", name="City", description="A city.", schema=msgspec.Raw(b'{"type": "x"}'))
    body = encoded(asked(service_tier="priority", response_format=form))
    assert body["serviceTier"] == {"type": "priority"}
    assert body["outputConfig"] == {
        "textFormat": {
            "type": "json_schema",
            "structure": {"jsonSchema": {"schema": '{"type": "x"}', "name": "City", "description": "A city."}},
        }
    }
