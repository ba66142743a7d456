"""Probes: each shows its feature, and what is reported is what became of it."""

import pytest

from gatewright.core.loss import Feature, Outcome
from gatewright.dialects import anthropic, bedrock, openai
from gatewright.testing.feature_probes import BASE, FOREIGN, PROBES, probe, probe_request

ONLY_IN_ANSWERS = {Feature.CITATIONS, Feature.REFUSAL, Feature.MEDIA_OUTPUT}
ELSEWHERE = {Feature.STATE, Feature.DIMENSIONS, Feature.TOKEN_INPUT, Feature.INPUT_TYPE}
"""What the hub refuses for all dialects, and what belongs to embeddings."""


def test_every_feature_of_a_chat_request_has_a_probe() -> None:
    assert set(Feature) - PROBES.keys() == ONLY_IN_ANSWERS | ELSEWHERE
    assert all(request != BASE for request in PROBES.values())


@pytest.mark.parametrize(
    ("dialect", "feature", "outcome"),
    [
        (openai.CHAT, Feature.SEED, None),
        (openai.CHAT, Feature.VIDEO, Outcome.REFUSED),
        (openai.COMPLETIONS, Feature.AUDIO, Outcome.REFUSED),
        (openai.COMPLETIONS, Feature.SEED, None),
        (anthropic.MESSAGES, Feature.SEED, Outcome.DROPPED),
        (anthropic.MESSAGES, Feature.N, Outcome.REFUSED),
        (anthropic.MESSAGES, Feature.REASONING_REPLAY, None),
        (bedrock.CONVERSE, Feature.IMAGE_URL, Outcome.REFUSED),
    ],
)
def test_outcomes(dialect: object, feature: Feature, outcome: Outcome | None) -> None:
    assert probe(dialect, feature) is outcome  # type: ignore[arg-type]


def test_what_only_its_issuer_reads_is_the_dialects_own() -> None:
    assert FOREIGN not in repr(probe_request(anthropic.MESSAGES, Feature.REASONING_REPLAY))
    assert FOREIGN in repr(probe_request(anthropic.MESSAGES, Feature.VENDOR))


def test_only_chat_dialects_are_probed() -> None:
    with pytest.raises(ValueError, match="no chat dialect"):
        probe(openai.EMBEDDINGS, Feature.SEED)
