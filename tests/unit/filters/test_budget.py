"""Which budget pays, until when, and what a caller is told when it is used up."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from gatewright.core.consumer import Consumer
from gatewright.core.counting import Kind as CountKind
from gatewright.core.counting import Refused
from gatewright.core.errors import Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.filters.budget import Budget, Config
from gatewright.pipeline.claims import Measure
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock

NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z, a Saturday
HOUR, DAY = 3_600.0, 86_400.0


class World:
    def __init__(self) -> None:
        self.wall = NOON

    def budget(self, *, is_named: bool = True, **config: Any) -> Budget:
        clock = FakeClock()
        ports = Ports(
            counters=MemoryCounters(clock),
            now=clock,
            wall=lambda: self.wall,
            random=lambda: 0.0,
            scope="team money",
            is_named=is_named,
        )
        return Budget(Config(**{"usd": 10.0, **config}), ports)


def exchange(consumer: str = "acme/t/a", model: str = "m") -> Exchange:
    x = Exchange("req_1", None, {}, b"{}", 0.0)
    x.consumer, x.published_model = Consumer(consumer), model
    return x


@pytest.mark.parametrize(
    ("per", "window", "ends_at"),
    [
        ("day", "2026-11-21", NOON + 12 * HOUR),
        ("week", "2026-W47", NOON + 12 * HOUR + DAY),
        ("month", "2026-11", NOON + 12 * HOUR + 9 * DAY),
        ("total", "total", float("inf")),
    ],
)
def test_spending_is_kept_per_calendar_window(per: str, window: str, ends_at: float) -> None:
    claims = World().budget(per=per).on_reserve(exchange())
    (claim,) = claims.claims
    assert (claim.measure, claim.allowance.kind, claim.allowance.limit) == (
        Measure.COST,
        CountKind.BUDGET,
        10_000_000_000,
    )
    assert claim.allowance.key == f"budget:team money:acme/t/a:{window}"
    assert claim.allowance.ends_at == ends_at
    assert claims.budget is not None
    assert (claims.budget.key, claims.budget.window) == (claim.allowance.key, window)


def test_a_new_window_begins_by_itself() -> None:
    world = World()
    budget = world.budget(per="day")
    first = budget.on_reserve(exchange())
    assert budget.on_reserve(exchange()) is first
    world.wall += 12 * HOUR
    second = budget.on_reserve(exchange())
    assert second.claims[0].allowance.key.endswith("2026-11-22")


def test_a_soft_budget_counts_and_never_refuses() -> None:
    claims = World().budget(soft=True).on_reserve(exchange())
    assert not claims.claims[0].allowance.is_hard
    assert claims.refuse_unpriced is None


def test_the_refusal_says_which_budget_and_when_it_begins_anew() -> None:
    (claim,) = World().budget(per="month").on_reserve(exchange()).claims
    error = claim.refuse(Refused(0, 0, float("inf")))
    assert error.kind is Kind.QUOTA_EXCEEDED
    assert error.message == "The budget `team money` of $10.00 per month is used up. It begins anew in 10 days."
    assert error.retry_after_s is None, "a client that waits ten days is no use"


@pytest.mark.parametrize(
    ("usd", "shown"), [(0.003, "$0.003"), (0.5, "$0.50"), (12345.0, "$12,345.00"), (9_000_000, "$9,000,000.00")]
)
def test_the_refusal_says_how_much_the_budget_is(usd: float, shown: str) -> None:
    (claim,) = World().budget(usd=usd, per="total").on_reserve(exchange()).claims
    told = claim.refuse(Refused(0, 0, float("inf"))).message
    assert told == f"The budget `team money` of {shown} in all is used up."


@pytest.mark.parametrize(("by", "others", "is_open"), [("user", "acme/t/a:\n", True), ("team", "\n", False)])
def test_what_counts_where_there_is_no_room(by: Any, others: str, is_open: bool) -> None:
    (claim,) = World().budget(per="day", by=by).on_reserve(exchange()).claims
    assert claim.allowance.shared_key == f"budget:team money:{others}:2026-11-21"
    assert claim.allowance.is_open == is_open


def test_a_refusal_names_the_budget_that_is_dry() -> None:
    claims = World().budget(per="day").on_reserve(exchange())
    assert claims.budget is not None
    assert not claims.budget.is_dry
    assert claims.claims[0].refuse(Refused(0, 0, 1.0)).budget == replace(claims.budget, is_dry=True)


@pytest.mark.parametrize("per", ["day", "week", "month", "total"])
def test_a_clock_that_was_ahead_leaves_no_window_behind(per: str) -> None:
    world = World()
    budget = world.budget(per=per)
    before = budget.on_reserve(exchange()).claims[0].allowance.key
    world.wall += 40 * DAY
    assert (budget.on_reserve(exchange()).claims[0].allowance.key == before) == (per == "total")
    world.wall -= 40 * DAY
    assert budget.on_reserve(exchange()).claims[0].allowance.key == before


def test_shortly_before_the_window_ends_it_is_worth_waiting() -> None:
    world = World()
    world.wall += 12 * HOUR - 60
    (claim,) = world.budget(per="day").on_reserve(exchange()).claims
    error = claim.refuse(Refused(0, 0, float("inf")))
    assert error.retry_after_s == 60
    assert "in 60 seconds" in error.message


def test_a_budget_for_ever_begins_never_anew() -> None:
    (claim,) = World().budget(per="total").on_reserve(exchange()).claims
    error = claim.refuse(Refused(0, 0, float("inf")))
    assert error.message == "The budget `team money` of $10.00 in all is used up."


def test_what_has_no_price_is_refused_unless_allowed() -> None:
    refuse = World().budget().on_reserve(exchange()).refuse_unpriced
    assert refuse is not None
    error = refuse("mystery")
    assert error.kind is Kind.FORBIDDEN
    assert "`mystery` has no known price" in error.message
    assert World().budget(unpriced="allow").on_reserve(exchange()).refuse_unpriced is None


def test_another_model_may_answer_when_it_is_dry() -> None:
    assert World().budget(when_dry="cheap").on_reserve(exchange()).other_model == "cheap"


def test_it_needs_a_name() -> None:
    with pytest.raises(ValueError, match="needs a `name`"):
        World().budget(is_named=False)


def test_a_budget_that_is_only_too_small_is_not_called_used_up() -> None:
    (claim,) = World().budget(per="total").on_reserve(exchange()).claims
    error = claim.refuse(Refused(0, 1_500_000, float("inf")))
    assert error.message == "The budget `team money` of $10.00 in all has $0.0015 left, less than this may cost."
