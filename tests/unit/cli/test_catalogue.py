"""Which rows of the catalogue a document is served with."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gatewright.cli.catalogue import packaged_catalogue, with_catalogue
from gatewright.config.catalogue import ModelFacts, Prices, find
from gatewright.config.documents import Gateway
from gatewright.config.problems import InvalidConfig
from gatewright.config.transport import decode, encode


def document(targets: list[dict[str, Any]], name: str = "m", **rest: Any) -> Gateway:
    providers = {"oa": {"type": "openai"}, "vllm": {"type": "openai_compatible"}, "laptop": {"type": "local"}}
    models = {name: {"targets": targets[:1], "fallback": targets[1:]}}
    return msgspec.convert({"providers": providers, "models": models, **rest}, Gateway)


def served(targets: list[dict[str, Any]], name: str = "m", **rest: Any) -> dict[Any, ModelFacts]:
    return with_catalogue(document(targets, name, **rest)).catalogue


def test_a_document_without_models_is_served_without_rows() -> None:
    assert with_catalogue(Gateway()) == Gateway()


def test_only_rows_of_targets_are_served_fallbacks_included() -> None:
    rows = served([{"provider": "oa", "model": "gpt-4o-2024-11-20"}, {"provider": "laptop", "model": "smollm2"}])
    assert list(rows) == ["local/*", "openai/gpt-4o"]
    assert rows["openai/gpt-4o"] == packaged_catalogue()["openai/gpt-4o"]


def test_without_a_name_the_published_one_is_called() -> None:
    assert list(served([{"provider": "oa"}], "gpt-4o")) == ["openai/gpt-4o"]


def test_a_model_nobody_knows_has_no_row() -> None:
    assert served([{"provider": "vllm", "model": "llama"}, {"provider": "oa", "model": "gpt-99"}]) == {}


def test_behind_a_pattern_all_rows_of_the_provider_type_are_served() -> None:
    rows = served([{"provider": "oa"}], "gpt-*")
    assert {key for key in packaged_catalogue() if key.startswith("openai/")} == set(rows)
    assert list(rows) == sorted(rows)


def test_own_rows_are_served_where_a_target_comes_to_them() -> None:
    own = {"openai_compatible/*": {"prices": {"input": "0", "output": "0"}}, "xai/grok-9": {"context_tokens": 1}}
    rows = served([{"provider": "vllm", "model": "llama"}], catalogue=own)
    assert rows == {
        "openai_compatible/*": ModelFacts(prices=Prices(input="0", output="0"), source="configuration"),
    }


def test_an_own_row_describes_the_dated_names_too() -> None:
    own = {"openai/gpt-4.1-mini": {"prices": {"input": "0.3", "output": "1.2"}}}
    target = {"provider": "oa", "model": "gpt-4.1-mini-2025-04-14"}
    facts = find(served([target], catalogue=own), "openai", target["model"])
    assert facts is not None
    assert facts.prices == Prices(input="0.3", output="1.2")
    assert facts.context_tokens == 1_047_576


def test_rows_that_can_describe_nothing_are_told_together() -> None:
    own = {"opena/gpt-4o": {}, "zzzzz/x": {}, "openai/a": {"like": "openai/b"}}
    with pytest.raises(InvalidConfig) as refused:
        served([{"provider": "oa"}], catalogue=own)
    errors = {error.path: error.message for error in refused.value.errors}
    assert errors.keys() == {"catalogue.opena/gpt-4o", "catalogue.zzzzz/x", "catalogue.openai/a.like"}
    assert errors["catalogue.opena/gpt-4o"].endswith("did you mean `openai`?")
    assert "`openai_compatible`" in errors["catalogue.zzzzz/x"]


def test_the_rows_travel_with_the_document_to_the_workers() -> None:
    whole = with_catalogue(document([{"provider": "oa"}], "gpt-*"))
    assert decode(encode(whole)) == whole
