"""Picking by weight, what is tried afterwards, whose key it is, and chains kept within bounds."""

from __future__ import annotations

from collections import Counter
from itertools import cycle

import pytest
from gateways import World, document, filter_type

from gatewright.core.consumer import Consumer
from gatewright.core.exchange import Exchange
from gatewright.core.secret import Secret
from gatewright.pipeline import snapshot as module
from gatewright.pipeline.chain import EMPTY_CHAIN
from gatewright.pipeline.filters import Filter
from gatewright.pipeline.snapshot import PublishedModel
from gatewright.testing.gateway import key_hash


class Probe(Filter):
    def __init__(self, config: object, ports: object) -> None:
        self.config = config

    def on_settle(self, x: Exchange) -> None:
        return None


def model_of(rows: list[tuple[str, int]], fallback: list[tuple[str, int]] | None = None) -> PublishedModel:
    found = World().snapshot(document(rows, fallback or [])).models.find("m")
    assert found is not None
    return found


def test_targets_are_picked_by_their_weights_and_never_with_none() -> None:
    model = model_of([("a", 90), ("b", 0), ("c", 10)])
    marks = cycle([number / 1_000 for number in range(1_000)])
    picked = Counter(model.pick(lambda: next(marks)).provider for _ in range(1_000))
    assert picked == {"a": 900, "c": 100}


@pytest.mark.parametrize(("mark", "provider"), [(0.0, "a"), (0.4999, "a"), (0.5, "b"), (0.999999999, "b")])
def test_the_edges_between_weights(mark: float, provider: str) -> None:
    assert model_of([("a", 1), ("b", 1)]).pick(lambda: mark).provider == provider


def test_a_single_target_needs_no_chance() -> None:
    def no_chance() -> float:
        raise AssertionError("asked for chance")

    assert model_of([("a", 5)]).pick(no_chance).provider == "a"


def test_after_a_failure_come_the_others_in_rotation_then_the_fallbacks() -> None:
    model = model_of([("a", 1), ("b", 0), ("c", 1)], [("d", 1), ("e", 0)])
    assert [target.provider for target in model.others(model.targets[0])] == ["c", "d", "e"]
    assert [target.provider for target in model.others(model.targets[2])] == ["a", "d", "e"]


def test_keys_are_found_by_their_hash_alone() -> None:
    apps = {"indexer": {"keys": [key_hash("sk-1"), key_hash("sk-2")]}, "web": {"keys": [key_hash("sk-3")]}}
    snapshot = World().snapshot(document(consumers={"acme": {"teams": {"search": {"apps": apps}}}}))
    found = [snapshot.consumer_of(key) for key in (b"sk-1", b"sk-2", b"sk-3", b"sk-4", b"")]
    assert [consumer and consumer.path for consumer in found] == [
        "acme/search/indexer",
        "acme/search/indexer",
        "acme/search/web",
        None,
        None,
    ]
    assert World().snapshot(document()).consumer_of(b"sk-1") is None


def test_a_policy_reaches_whom_it_names() -> None:
    policies = [
        {"filter": "probe", "config": {"note": "all"}},
        {"filter": "probe", "on": {"models": ["m*"], "consumers": ["acme/*"]}, "config": {"note": "acme"}},
        {"filter": "probe", "on": {"models": ["other"]}, "config": {"note": "other"}},
    ]
    snapshot = World().snapshot(document(policies=policies), filter_type(Probe))

    def notes(consumer: str, model: str) -> list[str]:
        return [hook.__self__.config.note for hook in snapshot.chain_for(Consumer(consumer), model).on_settle]

    assert notes("acme/a/b", "m") == ["acme", "all"]
    assert notes("anonymous", "m") == ["all"]
    assert notes("acme/a/b", "other") == ["other", "all"]
    assert snapshot.chain_for(Consumer("x"), "m") is snapshot.chain_for(Consumer("x"), "m")


def test_without_policies_every_chain_is_the_empty_one() -> None:
    assert World().snapshot(document()).chain_for(Consumer("x"), "m") is EMPTY_CHAIN


def test_chains_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CHAINS", 3)
    snapshot = World().snapshot(document(policies=[{"filter": "probe"}]), filter_type(Probe))
    for number in range(10):
        snapshot.chain_for(Consumer("x"), f"m{number}")
        assert len(snapshot._chains) <= 3


def test_a_target_prints_without_its_credential() -> None:
    configured = document()
    configured["providers"]["a"]["headers"] = {"x-key": Secret("very-private")}
    found = World().snapshot(configured).models.find("m")
    assert found is not None
    assert b"very-private" in found.targets[0].routes["openai.chat"].plain
    assert "very-private" not in repr(found)
    assert found.targets[0].origin.host == "a.test"
