"""The trial build finds what workers would find."""

from __future__ import annotations

import pytest

from gatewright.config.load import load
from gatewright.config.problems import InvalidConfig
from gatewright.control.trial import build_for_trial

TEXT = b"""
providers: {up: {type: openai, key: "${env:KEY}"}}
models: {m: {targets: [{provider: up, model: x}]}}
"""


def test_a_good_document_passes() -> None:
    document = load([("g.yaml", TEXT)], lambda scheme, name: "k").document
    assert document is not None
    build_for_trial(document)


def test_an_unknown_filter_and_an_unknown_provider_type_are_both_told() -> None:
    text = TEXT.replace(b"type: openai", b"type: no_such_type") + b"policies: [{filter: no_such_filter}]\n"
    document = load([("g.yaml", text)], lambda scheme, name: "k").document
    assert document is not None
    with pytest.raises(InvalidConfig) as refused:
        build_for_trial(document)
    assert len(refused.value.errors) == 2
