"""The published support table tells the truth: what it calls exact comes back, what it does not is told or refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.contract.hub_normal import EQUIVALENCES, Equivalence, Plain, equivalent, normal_request

from gatewright.core.chat import ChatRequest
from gatewright.core.codec import ChatCodec
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.loss import Feature, LossReport, Outcome
from gatewright.core.surface import Dialect
from gatewright.core.traits import DEFAULT
from gatewright.dialects import DIALECTS
from gatewright.testing.feature_probes import BASE, PROBES, probe, probe_request
from gatewright.translate.hub import fit

CHAT = [dialect for dialect in DIALECTS if dialect.chat is not None]
ANSWERS = {Feature.CITATIONS, Feature.REFUSAL, Feature.MEDIA_OUTPUT}
EMBEDDINGS = {Feature.DIMENSIONS, Feature.INPUT_TYPE, Feature.TOKEN_INPUT}
REFUSED_BEFORE = {Feature.STATE}
"""Conversations kept at the vendor: refused for all codecs in one place (`loss.refuse_bound`)."""

every_chat_dialect = pytest.mark.parametrize("dialect", CHAT, ids=[dialect.name for dialect in CHAT])
every_feature = pytest.mark.parametrize("feature", PROBES, ids=[feature.name for feature in PROBES])


def codec_of(dialect: Dialect) -> ChatCodec:
    assert dialect.chat is not None
    return dialect.chat


def there_and_back(dialect: Dialect, request: ChatRequest) -> Plain:
    codec = codec_of(dialect)
    body = msgspec.json.encode(encode(dialect, request, LossReport("permissive")))
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return normal_request(codec.decode_request(fields, request.model, request.stream))


def encode(dialect: Dialect, request: ChatRequest, report: LossReport) -> dict[str, Any]:
    """As a translation does it: first what is the same for all dialects, then the dialect's own part."""
    return codec_of(dialect).encode_request(fit(request, dialect.name, report), DEFAULT, report)


def losses(dialect: Dialect, request: ChatRequest) -> LossReport:
    report = LossReport("permissive")
    encode(dialect, request, report)
    return report


def test_every_feature_has_a_probe() -> None:
    assert set(Feature) - PROBES.keys() == ANSWERS | EMBEDDINGS | REFUSED_BEFORE


@every_chat_dialect
@every_feature
def test_what_is_called_exact_comes_back(dialect: Dialect, feature: Feature) -> None:
    if probe(dialect, feature) is not None:
        return
    request = probe_request(dialect, feature)
    if losses(dialect, request).entries:  # another feature of the probe's, which this dialect never has
        assert losses(dialect, BASE).entries
        return
    back = equivalent(there_and_back(dialect, request), dialect.name)
    assert back == equivalent(normal_request(request), dialect.name)


@every_chat_dialect
@every_feature
def test_what_is_not_exact_is_told_or_refused(dialect: Dialect, feature: Feature) -> None:
    outcome = probe(dialect, feature)
    if outcome is None:
        return
    request = probe_request(dialect, feature)
    with pytest.raises(GatewayError) as caught:
        encode(dialect, request, LossReport("strict"))
    assert caught.value.kind is Kind.UNSUPPORTED_FEATURE
    assert caught.value.param
    if outcome is Outcome.REFUSED:
        with pytest.raises(GatewayError, match=r"cannot take"):
            encode(dialect, request, LossReport("warn"))
    else:
        encode(dialect, request, LossReport("warn"))
    for entry in losses(dialect, request).entries:
        assert entry.path
        assert entry.note
        assert entry.note[-1] not in ".!"


@pytest.mark.parametrize("equivalence", EQUIVALENCES, ids=[each.name for each in EQUIVALENCES])
def test_no_equivalence_is_idle(equivalence: Equivalence) -> None:
    """Each is what some probe of each of its dialects needs; one that nothing needs would hide a loss."""
    for dialect in CHAT:
        if dialect.name in equivalence.dialects:
            requests = [probe_request(dialect, feature) for feature in PROBES]
            assert any(
                equivalent(there_and_back(dialect, request), dialect.name, equivalence)
                != equivalent(normal_request(request), dialect.name, equivalence)
                for request in requests
                if not losses(dialect, request).entries
            ), dialect.name
