"""Plans: what all policies count of an exchange, together, and the headers that tell of it."""

from __future__ import annotations

import pytest

from gatewright.core.counting import Allowance, Refused
from gatewright.core.counting import Kind as CountKind
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.usage import Usage
from gatewright.pipeline.claims import BudgetGroup, Claim, Claims, Measure
from gatewright.pipeline.plan import Plan, limit_lines, refusal_headers, used_amounts

GROUP = BudgetGroup("monthly", "acme", "2026-11", 2e9, 1_000)


def refuse(refused: Refused) -> GatewayError:
    return GatewayError(Kind.RATE_LIMITED, "no more")


def claim(
    measure: Measure,
    limit: int = 100,
    kind: CountKind = CountKind.SLIDING,
    period_s: float = 60.0,
    *,
    hard: bool = True,
) -> Claim:
    return Claim(Allowance(f"{measure.name}/{period_s}/{limit}", kind, limit, period_s, is_hard=hard), measure, refuse)


EVERYTHING = [claim(measure) for measure in Measure]


def test_amounts_are_in_the_order_of_the_claims() -> None:
    plan = Plan([Claims(EVERYTHING[::-1])])
    assert plan.amounts(7, 30, 500) == [500, 37, 30, 7, 1, 1]
    assert plan.amounts(0, 30, 500, more=True) == [500, 30, 30, 0, 0, 0], "a request is counted once"


@pytest.mark.parametrize(
    ("usage", "cost", "used"),
    [
        (Usage(input_total=7, output_total=30), 5_000_000, [1, 0, 7, 30, 37, 5]),
        (Usage(input_total=7), 1, [1, 0, 7, 0, 7, 1]),
        (None, 0, [1, 0, 0, 0, 0, 0]),
    ],
    ids=["used", "less than a nano-dollar", "nothing"],
)
def test_used_amounts(usage: Usage | None, cost: int, used: list[int]) -> None:
    assert used_amounts(Plan([Claims(EVERYTHING)]), usage, cost) == used


@pytest.mark.parametrize(
    ("measures", "counts_input", "counts_output"),
    [
        ([Measure.REQUESTS, Measure.CONCURRENT], False, False),
        ([Measure.INPUT], True, False),
        ([Measure.OUTPUT], True, True),
        ([Measure.TOTAL], True, True),
        ([Measure.COST], True, True),
    ],
)
def test_what_must_be_counted(measures: list[Measure], counts_input: bool, counts_output: bool) -> None:
    plan = Plan([Claims([claim(measure) for measure in measures])])
    assert (plan.counts_input, plan.counts_output) == (counts_input, counts_output)


def test_while_an_answer_streams_only_budgets_are_hard() -> None:
    budget = claim(Measure.COST, kind=CountKind.BUDGET)
    plan = Plan([Claims([claim(Measure.TOTAL)]), Claims([budget], budget=GROUP)])
    assert [allowance.is_hard for allowance in plan.allowances] == [True, True]
    assert [allowance.is_hard for allowance in plan.running] == [False, True]
    assert plan.expires
    assert plan.budgets == (GROUP,)
    assert not Plan([Claims([claim(Measure.TOTAL)])]).expires


# -- headers ----------------------------------------------------------------------------------------------------------


def headers(lines: bytes) -> dict[str, str]:
    rows = [line.split(": ") for line in lines.decode().splitlines()]
    return {name.removeprefix("x-ratelimit-"): value for name, value in rows}


def test_of_several_limits_the_one_nearest_to_its_end_is_told() -> None:
    requests = [claim(Measure.REQUESTS, 10), claim(Measure.REQUESTS, 1_000, period_s=86_400.0)]
    plan = Plan([Claims([*requests, claim(Measure.OUTPUT, 50), claim(Measure.INPUT, 50)])])
    assert headers(limit_lines(plan, [5, 400, 20, 30])) == {
        "limit-requests": "1000",
        "remaining-requests": "400",
        "reset-requests": "24h0m0s",
        "limit-tokens": "50",
        "remaining-tokens": "20",
        "reset-tokens": "1m0s",
    }
    told = headers(limit_lines(plan, [1, 400, -3, 30]))
    assert (told["limit-requests"], told["remaining-requests"], told["remaining-tokens"]) == ("10", "1", "0")


@pytest.mark.parametrize(
    "unseen",
    [
        claim(Measure.COST),
        claim(Measure.CONCURRENT, kind=CountKind.CONCURRENT),
        claim(Measure.COST, kind=CountKind.BUDGET),
        claim(Measure.REQUESTS, hard=False),
    ],
    ids=["cost", "concurrent", "budget", "soft"],
)
def test_other_limits_are_nobodys_business(unseen: Claim) -> None:
    plan = Plan([Claims([unseen])])
    assert limit_lines(plan, [5]) == b""
    assert refusal_headers(plan, Refused(0, 0, 1.0)) == ()


@pytest.mark.parametrize(
    ("period_s", "shown"),
    [(1.0, "1s"), (60.0, "1m0s"), (3_600.0, "1h0m0s"), (86_400.0, "24h0m0s"), (2_592_000.0, "720h0m0s")],
)
def test_durations_are_written_as_openai_writes_them(period_s: float, shown: str) -> None:
    plan = Plan([Claims([claim(Measure.REQUESTS, period_s=period_s)])])
    assert headers(limit_lines(plan, [1]))["reset-requests"] == shown


def test_a_refusal_tells_of_the_limit_that_refused() -> None:
    plan = Plan([Claims([claim(Measure.REQUESTS, 10), claim(Measure.TOTAL, 50)])])
    assert refusal_headers(plan, Refused(1, -4, 2.25)) == (
        (b"x-ratelimit-limit-tokens", b"50"),
        (b"x-ratelimit-remaining-tokens", b"0"),
        (b"x-ratelimit-reset-tokens", b"2.250s"),
    )
