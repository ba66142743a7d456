"""Whose key it is, which policies apply, and chains kept within bounds."""

from __future__ import annotations

from typing import Any

import pytest
from gateways import World, document, filter_type

from gatewright.core.consumer import Consumer
from gatewright.core.exchange import Exchange
from gatewright.pipeline import snapshot as module
from gatewright.pipeline.chain import EMPTY_CHAIN
from gatewright.pipeline.filters import Filter
from gatewright.pipeline.snapshot import Snapshot
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

    assert notes(snapshot, "acme/a/b", "m", "m") == ["acme", "all"]
    assert notes(snapshot, "anonymous", "m", "m") == ["all"]
    assert notes(snapshot, "acme/a/b", "other", "other") == ["other", "all"]
    assert snapshot.chain_for(Consumer("x"), "m", "m") is snapshot.chain_for(Consumer("x"), "m", "m")


def notes(snapshot: Snapshot, consumer: str, published: str, called: str) -> list[str]:
    """Of the policies that apply, the last first."""
    chain = snapshot.chain_for(Consumer(consumer), published, called)
    return [hook.__self__.config.note for hook in chain.on_settle]


def publish(*names: str, policies: list[dict[str, Any]]) -> Snapshot:
    models = {name: {"targets": [{"provider": "a"}]} for name in names}
    return World().snapshot({**document(policies=policies), "models": models}, filter_type(Probe))


def probe(*models: str, consumers: tuple[str, ...] = ()) -> dict[str, Any]:
    """A policy, noted by the models that it is for."""
    return {
        "filter": "probe",
        "on": {"models": list(models), "consumers": list(consumers)},
        "config": {"note": "|".join(models)},
    }


@pytest.mark.parametrize(
    ("called", "expected"),
    [
        ("gpt-4.1", ["gpt-4.1", "gpt-*", "g*"]),
        ("gpt-4.1-mini", ["gpt-*", "g*"]),
        ("gpt-5", ["gpt-5*|claude-opus*", "gpt-*", "g*"]),
        ("gpt-5-mini", ["gpt-5-mini|o3", "gpt-5*|claude-opus*", "gpt-*", "g*"]),
        ("gpt-*", ["gpt-*", "g*"]),
        ("gpt-", ["gpt-*", "g*"]),
        ("claude-opus-4", ["gpt-5*|claude-opus*"]),
        ("claude-haiku", []),
        ("o3", ["gpt-5-mini|o3"]),
        ("o3-pro", []),
    ],
)
def test_under_a_published_pattern_policies_go_by_the_called_name(called: str, expected: list[str]) -> None:
    policies = [
        probe("g*"),
        probe("gpt-*"),
        probe("gpt-5*", "claude-opus*"),
        probe("gpt-5-mini", "o3"),
        probe("gpt-4.1"),
    ]
    snapshot = publish("gpt-*", "claude-*", "*", policies=policies)
    model = snapshot.models.find(called)
    assert model is not None
    for _ in range(2):
        assert notes(snapshot, "x", model.name, called) == expected


def test_names_that_callers_invent_share_their_chains() -> None:
    snapshot = publish("gpt-*", policies=[probe("gpt-5*"), probe("gpt-5-mini"), probe("gpt-5*", consumers=("acme/*",))])

    def chains(consumer: str) -> set[int]:
        called = [f"{name}{number}" for name in ("gpt-5-", "gpt-4-", "gpt-5-mini") for number in range(100)]
        return {id(snapshot.chain_for(Consumer(consumer), "gpt-*", name)) for name in [*called, "gpt-5-mini"]}

    assert len(chains("x")) == 3
    assert len(chains("acme/a/b")) == 3
    assert chains("x").isdisjoint(chains("acme/a/b"))
    assert len(snapshot._divided_chains) == 6


def test_without_policies_every_chain_is_the_empty_one() -> None:
    assert World().snapshot(document()).chain_for(Consumer("x"), "m", "m") is EMPTY_CHAIN


def test_chains_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CHAINS", 3)
    snapshot = publish("m", "gpt-*", policies=[probe(), probe("gpt-5")])
    for number in range(10):
        for called in ("gpt-4", "gpt-5"):
            snapshot.chain_for(Consumer(f"x{number}"), "gpt-*", called)
            assert len(snapshot._divided_chains) <= 3
        snapshot.chain_for(Consumer(f"x{number}"), "m", "m")
        assert len(snapshot._chains) <= 3
