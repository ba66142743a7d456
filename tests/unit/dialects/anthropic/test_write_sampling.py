"""Sampling and labels."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from gatewright.core.chat import CacheMark, ChatRequest, Sampling
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.dialects.anthropic.reasoning import Thinking
from gatewright.dialects.anthropic.write_sampling import write_sampling

APPROXIMATED, DROPPED, REFUSED = Outcome.APPROXIMATED, Outcome.DROPPED, Outcome.REFUSED
QUIET = Thinking()
THINKING = Thinking({"type": "adaptive"})


def write(thinking: Thinking = QUIET, **members: Any) -> tuple[dict[str, Any], list[tuple[Feature, Outcome]]]:
    report = LossReport("permissive")
    body: dict[str, Any] = {}
    write_sampling(body, ChatRequest(model="m", messages=(), **members), thinking, report)
    return body, [(loss.feature, loss.outcome) for loss in report.entries]


def test_what_the_api_has() -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, top_k=4, stop=("a",), n=1, frequency_penalty=0.0, logprobs=False)
    body, losses = write(
        sampling=sampling, user="u", service_tier="default", cache=CacheMark("1h"), modalities=("text",)
    )
    assert body == {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "stop_sequences": ["a"],
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "cache_control": {"type": "ephemeral", "ttl": "1h"},
    }
    assert losses == []


@pytest.mark.parametrize(
    ("sampling", "feature", "outcome"),
    [
        (Sampling(n=2), Feature.N, REFUSED),
        (Sampling(logprobs=True), Feature.LOGPROBS, REFUSED),
        (Sampling(top_logprobs=3), Feature.LOGPROBS, REFUSED),
        (Sampling(seed=0), Feature.SEED, DROPPED),
        (Sampling(frequency_penalty=0.1), Feature.PENALTIES, DROPPED),
        (Sampling(presence_penalty=-0.1), Feature.PENALTIES, DROPPED),
        (Sampling(logit_bias=Raw(b'{"5":1}')), Feature.LOGIT_BIAS, DROPPED),
        (Sampling(stop=("\n",)), Feature.STOP, DROPPED),
    ],
)
def test_what_it_has_not(sampling: Sampling, feature: Feature, outcome: Outcome) -> None:
    assert write(sampling=sampling) == ({}, [(feature, outcome)])


@pytest.mark.parametrize(
    ("members", "feature", "outcome"),
    [
        ({"modalities": ("text", "audio")}, Feature.MODALITIES, REFUSED),
        ({"verbosity": "low"}, Feature.VERBOSITY, DROPPED),
        ({"metadata": {"a": "b"}}, Feature.METADATA, DROPPED),
        ({"store": True}, Feature.STORE, DROPPED),
        ({"cache_key": "k"}, Feature.CACHE_KEY, DROPPED),
        ({"service_tier": "flex"}, Feature.SERVICE_TIER, DROPPED),
    ],
)
def test_labels_it_has_not(members: dict[str, Any], feature: Feature, outcome: Outcome) -> None:
    assert write(**members) == ({}, [(feature, outcome)])


def test_defaults_that_are_spelled_out_are_no_loss() -> None:
    assert write(sampling=Sampling(logit_bias=Raw(b"{}"), presence_penalty=0), store=False, metadata={}) == ({}, [])


def test_temperature_is_at_most_one() -> None:
    body, losses = write(sampling=Sampling(temperature=1.7))
    assert (body, losses) == ({"temperature": 1.0}, [(Feature.TEMPERATURE, APPROXIMATED)])


def test_thinking_excludes_sampling() -> None:
    sampling = Sampling(temperature=0.2, top_p=0.5, top_k=3)
    told = [(Feature.TEMPERATURE, DROPPED), (Feature.TOP_P, DROPPED), (Feature.TOP_K, DROPPED)]
    assert write(THINKING, sampling=sampling) == ({}, told)
    assert write(THINKING, sampling=Sampling(temperature=1, top_p=0.97))[1] == []
    literal = Thinking({"type": "adaptive"}, is_literal=True)
    assert write(literal, sampling=sampling) == ({"temperature": 0.2, "top_p": 0.5, "top_k": 3}, [])
