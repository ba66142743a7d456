"""A budget counts no less than the ledger says, in the terms of its own group and window."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine, insert

from gatewright.config.documents import Gateway
from gatewright.control.budget_seeding import seed_file, spent_of_budgets
from gatewright.core.counting import Allowance, Kind
from gatewright.store.database import migrate, open_database
from gatewright.store.shared import SharedCounters, lacks_spending
from gatewright.store.tables import EXCHANGES, USAGE_HOURS

NOW = 1_795_262_400.0  # 2026-11-21T12:00:00Z
MONTH = 1_793_491_200  # 2026-11-01
DAY = 1_795_219_200  # 2026-11-21
NANO = 1_000_000_000


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(None, tmp_path)
    migrate(engine)
    with engine.begin() as connection:
        for hour, consumer, model, usd in (
            (DAY, "acme/search/a", "big", 1),
            (DAY + 3600, "acme/search/b", "big", 2),
            (DAY - 3600, "acme/search/a", "small", 4),
            (DAY, "other/t/a", "big", 8),
            (MONTH - 3600, "acme/search/a", "big", 16),
        ):
            row = {"hour": hour, "consumer": consumer, "model": model, "provider": "p", "upstream_model": model}
            counts = dict.fromkeys(("exchanges", "failed", "attempts", "estimated", "unpriced"), 1)
            connection.execute(
                insert(USAGE_HOURS).values(
                    **row, provider_type="openai", **counts, cost_nano=usd * NANO, cost_rest_femto=1
                )
            )
        for number, (key, user, at) in enumerate((("k1", "u1", DAY), ("k1", "u2", DAY + 60), ("k2", "u1", DAY - 60))):
            connection.execute(insert(EXCHANGES).values(_exchange(number, key, user, at)))
    yield engine
    engine.dispose()


def _exchange(
    number: int, key: str, user: str, at: int, *, published: str = "big", called: str = "big"
) -> dict[str, Any]:
    texts = dict.fromkeys(("id", "surface", "kind", "cache"), "")
    numbers = dict.fromkeys(("duration_us", "first_byte_us", "attempts", "status"), 0)
    flags = dict.fromkeys(("is_stream", "is_estimated", "is_unpriced"), False)
    return {
        **texts,
        **numbers,
        **flags,
        "journal": "j",
        "number": number + 1,
        "started_at_us": at * 1_000_000,
        "consumer": "acme/search/a",
        "model": published,
        "requested_model": called,
        "key_id": key,
        "end_user": user,
        "cost_nano": (number + 1) * NANO,
        "cost_rest_femto": 0,
    }


def spent(
    engine: Engine,
    on: dict[str, Any] | None = None,
    published: tuple[str, ...] = ("big", "small"),
    *,
    is_quick: bool = False,
    **config: Any,
) -> dict[str, int]:
    """Dollars by group, from the counters' keys."""
    models = {name: {"targets": [{"provider": "p"}]} for name in published}
    policy = {"filter": "budget", "name": "b", "on": on or {}, "config": {"usd": 100, **config}}
    document = msgspec.convert({"models": models, "policies": [policy]}, Gateway)
    found = {}
    for group, allowance, nano in spent_of_budgets(engine, document, NOW, is_quick=is_quick):
        assert group.key == allowance.key
        assert (allowance.kind, allowance.limit) == (Kind.BUDGET, 100 * NANO)
        assert nano % NANO == 1 or nano % NANO == 0, "the rest of a nano-dollar is rounded up"
        found[allowance.key] = nano // NANO
    return found


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {"acme/search/a:2026-11": 5, "acme/search/b:2026-11": 2, "other/t/a:2026-11": 8}),
        ({"by": "organisation"}, {"acme:2026-11": 7, "other:2026-11": 8}),
        ({"by": "team", "per": "day"}, {"acme/search:2026-11-21": 3, "other/t:2026-11-21": 8}),
        ({"by": "model"}, {":big:2026-11": 11, ":small:2026-11": 4}),
        ({"by": "all", "per": "total"}, {":total": 31}),
        ({"by": "key", "per": "day"}, {"k1:2026-11-21": 3}),
        ({"by": "user", "per": "total"}, {"acme/search/a:u1:total": 4, "acme/search/a:u2:total": 2}),
    ],
)
def test_the_groups_and_windows_are_the_budgets_own(
    engine: Engine, config: dict[str, Any], expected: dict[str, int]
) -> None:
    assert spent(engine, **config) == {f"budget:b:{key}": usd for key, usd in expected.items()}


@pytest.mark.parametrize(
    ("by", "is_read"), [("consumer", True), ("organisation", True), ("key", False), ("user", False)]
)
def test_a_quick_look_reads_no_exchanges(engine: Engine, by: str, is_read: bool) -> None:
    assert spent(engine, by=by, is_quick=True) == (spent(engine, by=by) if is_read else {})


def test_only_what_the_policy_concerns_counts(engine: Engine) -> None:
    chosen = {"models": ["big"], "consumers": ["acme/*"]}
    assert spent(engine, chosen, by="all") == {"budget:b::2026-11": 3}


@pytest.mark.parametrize(
    ("selector", "usd"), [("gpt-5*", 4 + 5), ("gpt-5", 4), ("gpt-4.1", 6), ("big", 1 + 2 + 8), ("gpt-6*", None)]
)
def test_names_under_a_published_pattern_are_told_apart(engine: Engine, selector: str, usd: int | None) -> None:
    with engine.begin() as connection:
        for number, called in ((3, "gpt-5"), (4, "gpt-5-mini"), (5, "gpt-4.1")):
            row = _exchange(number, "k1", "u1", DAY, published="gpt-*", called=called)
            connection.execute(insert(EXCHANGES).values(row))
    found = spent(engine, {"models": [selector]}, ("gpt-*", "big"), by="all")
    assert found == ({} if usd is None else {"budget:b::2026-11": usd})


@pytest.mark.parametrize("config", [{"expression": "consumer.team"}, {"by": "issuer"}])
def test_what_the_ledger_cannot_tell_is_left_alone(engine: Engine, config: dict[str, Any]) -> None:
    assert spent(engine, **config) == {}


def test_other_policies_and_wrong_ones_are_passed_over(engine: Engine) -> None:
    policies = [
        {"filter": "rate_limit", "config": {"requests": 1}},
        {"filter": "budget", "config": {"usd": 1}},
        {"filter": "budget", "name": "wrong", "config": {"usd": "many"}},
    ]
    document = msgspec.convert({"policies": policies}, Gateway)
    assert list(spent_of_budgets(engine, document, NOW)) == []


def test_a_file_is_raised_once_and_a_budget_that_is_new_then_begins_at_nothing(tmp_path: Path) -> None:
    path, now = tmp_path / "counters", lambda: NOW
    old, new = (Allowance(f"budget:{name}::total", Kind.BUDGET, 100) for name in ("old", "new"))
    for spent in ([(old, 60)], [(old, 60), (new, 60)]):
        seed_file(path, partial(list, spent), now)
        counters = SharedCounters(path, now)
        assert counters.used([old, new]) == [60, 0]
        counters.close()
    path.unlink()
    seed_file(path, lambda: [(old, 60), (new, 60)], now)
    counters = SharedCounters(path, now)
    assert counters.used([old, new]) == [60, 60]
    counters.close()


def test_what_could_not_be_raised_is_for_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "counters"

    def fail() -> list[Any]:
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"):
        seed_file(path, fail, lambda: NOW)
    assert lacks_spending(path)
