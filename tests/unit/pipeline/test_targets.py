"""Picking by weight, and what is tried afterwards."""

from __future__ import annotations

from collections import Counter
from itertools import cycle

import pytest
from gateways import World, document

from gatewright.core.secret import Secret
from gatewright.pipeline.targets import PublishedModel


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


def test_a_target_prints_without_its_credential() -> None:
    configured = document()
    configured["providers"]["a"]["headers"] = {"x-key": Secret("very-private")}
    found = World().snapshot(configured).models.find("m")
    assert found is not None
    assert b"very-private" in found.targets[0].routes["openai.chat"].plain
    assert "very-private" not in repr(found)
    assert found.targets[0].origin.host == "a.test"
