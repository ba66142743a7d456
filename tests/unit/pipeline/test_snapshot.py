"""Whose key it is, which policies apply, and chains kept within bounds."""

from __future__ import annotations

import pytest
from gateways import World, document, filter_type

from gatewright.core.consumer import Consumer
from gatewright.core.exchange import Exchange
from gatewright.pipeline import snapshot as module
from gatewright.pipeline.chain import EMPTY_CHAIN
from gatewright.pipeline.filters import Filter
from gatewright.testing.gateway import key_hash


class Probe(Filter):
    def __init__(self, config: object, ports: object) -> None:
        self.config = config

    def on_settle(self, x: Exchange) -> None:
        return None


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
