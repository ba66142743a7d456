"""The ledger against statements: what agrees, what differs, and which numbers are compared at all."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert

from gatewright.control.provider_usage import Stated, Statement
from gatewright.control.reconciliation import Difference, Reconciliation, Tolerance, family, known_providers, reconcile
from gatewright.store.database import migrate, open_database
from gatewright.store.tables import TOKEN_COLUMNS, USAGE_DAYS

NOVEMBER, DAY_S = 1_793_491_200, 86_400
FIRST, SECOND, LATER = date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 8)
EXACT = Tolerance(percent=Decimal(0), usd=Decimal(0))


def usage(day: int, upstream: str, tokens: tuple[int, int], nano: int, **others: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys((*TOKEN_COLUMNS, "exchanges", "failed", "attempts", "estimated"), 0)
    row |= {"day": NOVEMBER + day * DAY_S, "consumer": "acme/a/x", "model": "small", "provider": "openai"}
    row |= {"upstream_model": upstream, "provider_type": "openai", "unpriced": 0, "cost_rest_femto": 0}
    return row | {"input_total": tokens[0], "output_total": tokens[1], "cost_nano": nano} | others


@pytest.fixture
def ledger(tmp_path: Path) -> Engine:
    engine = open_database(None, tmp_path)
    migrate(engine)
    rows = [
        usage(0, "gpt-a", (600, 300), 60_000_000),
        usage(0, "gpt-a-2026-04-14", (400, 200), 40_000_000, estimated=3, consumer="b/c/d"),
        usage(0, "embed-a", (70, 0), 1_000_000),
        usage(0, "sonnet", (9, 9), 9_000_000_000, provider="claude"),
        usage(1, "gpt-a", (10, 10), 2_000_000, unpriced=2),
        usage(7, "gpt-a", (5, 5), 5_000_000),
    ]
    with engine.begin() as connection:
        connection.execute(insert(USAGE_DAYS), rows)
    return engine


def statement(*lines: Stated, last: date = FIRST) -> Statement:
    return covering(FIRST, last, *lines)


def covering(first: date, last: date, *lines: Stated) -> Statement:
    begin, end = (datetime.combine(day, time(), UTC) for day in (first, last))
    return Statement(list(lines), begin, end + timedelta(days=1))


def found(result: Reconciliation) -> dict[tuple[str, str, str], tuple[str, str, bool]]:
    return {
        (each.day[-2:], each.model, each.quantity): (f"{each.ours:f}", f"{each.theirs:f}", each.is_beyond)
        for each in result.differences
    }


def test_dated_names_count_as_their_family(ledger: Engine) -> None:
    stated = statement(Stated(FIRST, "gpt-a-2026-04-14", 1000, 500), Stated(FIRST, "embed-a", 70, 0))
    result = reconcile(ledger, "openai", [stated], EXACT)
    assert found(result) == {
        ("01", "embed-a", "input_tokens"): ("70", "70", False),
        ("01", "embed-a", "output_tokens"): ("0", "0", False),
        ("01", "gpt-a", "input_tokens"): ("1000", "1000", False),
        ("01", "gpt-a", "output_tokens"): ("500", "500", False),
    }
    assert result.beyond == []
    assert [(each.quantity, int(each.ours), int(each.theirs)) for each in result.totals] == [
        ("input_tokens", 1070, 1070),
        ("output_tokens", 500, 500),
    ]
    assert [each.estimated for each in result.differences] == [0, 0, 3, 3]


def test_days_are_compared_in_what_a_statement_has_of_them(ledger: Engine) -> None:
    tokens = statement(
        Stated(FIRST, "gpt-a", 1000, 500), Stated(FIRST, "embed-a", 70, 0), Stated(SECOND, "gpt-a", 10, 10), last=SECOND
    )
    cents = {"gpt-a": "0.1", "embed-a": "0.001"}
    costs = statement(*(Stated(FIRST, model, cost_usd=Decimal(usd)) for model, usd in cents.items()))
    later = covering(LATER, LATER, Stated(LATER, "gpt-a", 5, 5))
    result = reconcile(ledger, "openai", [costs, later, tokens], EXACT)
    assert result.has_agreed
    assert {each.day for each in result.differences if each.quantity == "cost_usd"} == {"2026-11-01"}
    assert result.days == {"input_tokens": 3, "output_tokens": 3, "cost_usd": 1}
    assert (result.first_day, result.last_day) == ("2026-11-01", "2026-11-08")


def test_a_page_without_lines_says_that_nothing_was_used(ledger: Engine) -> None:
    empty = covering(SECOND, SECOND)
    stated = statement(Stated(FIRST, "gpt-a", 1000, 500), Stated(FIRST, "embed-a", 70, 0))
    result = reconcile(ledger, "openai", [stated, empty], EXACT)
    assert {(each.day, each.quantity) for each in result.beyond} == {
        ("2026-11-02", "input_tokens"),
        ("2026-11-02", "output_tokens"),
    }
    alone = reconcile(ledger, "openai", [empty], EXACT)
    assert [(each.scope, each.quantity) for each in alone.beyond] == [
        ("every_model", "input_tokens"),
        ("every_model", "output_tokens"),
        ("every_model", "cost_usd"),
    ]


def page(first: int, last: int, *, is_cut: bool = False, has_tokens: bool = True, has_lines: bool = True) -> Statement:
    """One that covers hours of November."""
    line = Stated(FIRST, "gpt-a", 1, 1) if has_tokens else Stated(FIRST, "gpt-a", cost_usd=Decimal(1))
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    return Statement([line] * has_lines, begin + timedelta(hours=first), begin + timedelta(hours=last), is_cut)


@pytest.mark.parametrize(
    ("pages", "is_cut"),
    [
        ([page(0, 24), page(0, 48, has_tokens=False)], False),
        ([page(0, 24, is_cut=True)], True),
        ([page(0, 24, is_cut=True), page(0, 72)], True),
        ([page(0, 24, is_cut=True), page(24, 48)], False),
        ([page(24, 48), page(0, 24, is_cut=True)], False),
        ([page(0, 7, is_cut=True), page(7, 14)], False),
        ([page(0, 24, is_cut=True), page(48, 72)], True),
        ([page(0, 24, is_cut=True), page(24, 48, is_cut=True)], True),
        ([page(0, 24, is_cut=True), page(24, 48, has_tokens=False)], True),
        ([page(0, 24, is_cut=True), page(24, 48, has_lines=False)], False),
        ([page(0, 24, is_cut=True, has_lines=False), page(24, 48)], False),
        # Two exports of which one goes on.
        ([page(0, 24, is_cut=True), page(0, 24, is_cut=True), page(24, 48)], True),
        ([page(0, 24, is_cut=True), page(0, 24, is_cut=True), page(24, 48), page(24, 48)], False),
    ],
)
def test_pages_that_are_missing_are_noticed(ledger: Engine, pages: list[Statement], is_cut: bool) -> None:
    assert reconcile(ledger, "openai", pages, EXACT).is_cut is is_cut


def test_providers_that_were_used_are_known(ledger: Engine) -> None:
    assert sorted(known_providers(ledger)) == ["claude", "openai"]


def test_what_one_side_lacks_differs(ledger: Engine) -> None:
    stated = statement(Stated(FIRST, "gpt-a", 1000, 500), Stated(SECOND, "other", 7, 0), last=SECOND)
    result = reconcile(ledger, "openai", [stated], EXACT)
    assert {key for key, (_, _, beyond) in found(result).items() if beyond} == {
        ("01", "embed-a", "input_tokens"),
        ("02", "gpt-a", "input_tokens"),
        ("02", "gpt-a", "output_tokens"),
        ("02", "other", "input_tokens"),
    }
    only_ours = next(each for each in result.differences if each.model == "embed-a")
    assert (only_ours.difference, only_ours.percent) == (Decimal(70), None)
    assert {each.unpriced for each in result.differences if each.day == "2026-11-02" and each.model == "gpt-a"} == {2}


def test_a_statement_without_models_is_compared_with_the_whole_day(ledger: Engine) -> None:
    result = reconcile(ledger, "openai", [statement(Stated(FIRST, cost_usd=Decimal("0.101")))], EXACT)
    assert found(result) == {("01", "", "cost_usd"): ("0.101", "0.101", False)}
    assert [(each.ours, each.theirs) for each in result.totals] == [(Decimal("0.101"), Decimal("0.101"))]


def test_tokens_by_model_and_costs_by_day_are_compared_each_in_their_way(ledger: Engine) -> None:
    tokens = statement(Stated(FIRST, "gpt-a", 1000, 500), Stated(FIRST, "embed-a", 70, 0))
    costs = statement(Stated(FIRST, cost_usd=Decimal("0.2")))
    result = reconcile(ledger, "openai", [tokens, costs], EXACT)
    assert [(each.model, each.quantity) for each in result.beyond] == [("", "cost_usd")]
    assert [each.quantity for each in result.totals] == ["input_tokens", "output_tokens", "cost_usd"]


def test_lines_without_a_model_among_others_count_in_the_total_alone(ledger: Engine) -> None:
    lines = [
        Stated(FIRST, "gpt-a", cost_usd=Decimal("0.1")),
        Stated(FIRST, "embed-a", cost_usd=Decimal("0.001")),
        Stated(SECOND, "gpt-a", cost_usd=Decimal("0.002")),
        Stated(SECOND, None, cost_usd=Decimal("0.05")),
    ]
    result = reconcile(ledger, "openai", [statement(*lines, last=SECOND)], EXACT)
    assert found(result) == {
        ("01", "embed-a", "cost_usd"): ("0.001", "0.001", False),
        ("01", "gpt-a", "cost_usd"): ("0.10", "0.1", False),
        ("02", "", "cost_usd"): ("0", "0.05", False),
        ("02", "gpt-a", "cost_usd"): ("0.002", "0.002", False),
    }
    assert [each.scope for each in result.differences] == ["model", "model", "no_model", "model"]
    assert [(f"{each.ours:f}", f"{each.theirs:f}") for each in result.totals] == [("0.103", "0.153")]
    assert not result.has_agreed
    assert reconcile(ledger, "openai", [statement(*lines, last=SECOND)], Tolerance(usd=Decimal("0.05"))).has_agreed


@pytest.mark.parametrize(
    ("model", "theirs", "unnamed", "agrees"),
    [
        ("searcher", "0.4", "0.1", True),
        ("searcher", "0.45", "0.1", False),  # The total holds: what is under no model is more than what is missing.
        ("searcher", "0.39", "0.1", False),
        ("searcher", "0.51", "0.1", False),
        ("searcher", "0.5", "-0.1", False),
        ("plain", "0.4", "0.1", False),
    ],
)
def test_what_searches_cost_may_be_under_no_model(
    ledger: Engine, model: str, theirs: str, unnamed: str, agrees: bool
) -> None:
    searches = 10 if model == "searcher" else 0
    row = usage(0, model, (1, 1), 500_000_000, provider="claude-2", web_searches=searches)
    with ledger.begin() as connection:
        connection.execute(insert(USAGE_DAYS), [row])
    lines = [Stated(FIRST, model, cost_usd=Decimal(theirs)), Stated(FIRST, cost_usd=Decimal(unnamed))]
    assert reconcile(ledger, "claude-2", [statement(*lines)], EXACT).has_agreed is agrees


@pytest.mark.parametrize(
    ("tolerance", "theirs", "agrees"),
    [
        (Tolerance(percent=Decimal(1)), (1010, "0.10"), True),
        (Tolerance(percent=Decimal(1)), (1011, "0.10"), False),
        (Tolerance(percent=Decimal(1)), (990, "0.10"), True),
        (Tolerance(percent=Decimal(1)), (989, "0.10"), False),
        (Tolerance(percent=Decimal(0)), (1000, "0.11"), True),
        (Tolerance(percent=Decimal(0)), (1000, "0.1100001"), False),
        (Tolerance(percent=Decimal(20), usd=Decimal(0)), (1000, "0.12"), True),
        (Tolerance(percent=Decimal(0), usd=Decimal(0)), (1000, "0.1000000000001"), False),
    ],
)
def test_a_tolerance_forgives_as_much_as_it_says(
    ledger: Engine, tolerance: Tolerance, theirs: tuple[int, str], agrees: bool
) -> None:
    stated = statement(
        Stated(FIRST, "gpt-a", theirs[0], 500, Decimal(theirs[1])), Stated(FIRST, "embed-a", 70, 0, Decimal("0.001"))
    )
    assert (reconcile(ledger, "openai", [stated], tolerance).has_agreed) is agrees


def test_small_differences_add_up_to_one_that_counts(ledger: Engine) -> None:
    lines = [Stated(FIRST, "gpt-a", cost_usd=Decimal("0.11")), Stated(FIRST, "embed-a", cost_usd=Decimal("0.011"))]
    result = reconcile(ledger, "openai", [statement(*lines)], Tolerance())
    assert result.beyond == []
    assert [(each.ours, each.theirs, each.is_beyond) for each in result.totals] == [
        (Decimal("0.101"), Decimal("0.121"), True)
    ]
    assert not result.has_agreed


def test_the_percentage_is_of_theirs() -> None:
    each = Difference("2026-11-01", "m", "model", "cost_usd", Decimal(90), Decimal(120), True, 0, 0)
    assert (each.difference, each.percent) == (Decimal(-30), Decimal(-25))


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude@20250929", "claude"),
        ("gpt-4-0613", "gpt-4-0613"),
        ("o3-mini", "o3-mini"),
    ],
)
def test_a_family_is_a_name_without_its_date(name: str, plain: str) -> None:
    assert family(name) == plain
