"""The FOCUS export: its columns by the specification, its types, and its sum against the ledger."""

from __future__ import annotations

import csv
import io
import re
from decimal import Decimal

import msgspec
import pytest
from sqlalchemy import Engine, insert

from gatewright.control.focus import COLUMNS, write_focus
from gatewright.control.usage import UsageQuery, report_usage
from gatewright.store.tables import TOKEN_COLUMNS, USAGE_DAYS

MANDATORY = (
    "BilledCost BillingAccountId BillingAccountName BillingCurrency BillingPeriodEnd BillingPeriodStart ChargeCategory "
    "ChargeClass ChargeDescription ChargePeriodEnd ChargePeriodStart ContractedCost EffectiveCost InvoiceIssuerName "
    "ListCost PricingQuantity PricingUnit ProviderName PublisherName ServiceCategory ServiceName"
).split()
"""https://focus.finops.org/focus-specification/v1-2/, feature level Mandatory."""
NULLABLE = {"ChargeClass"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT00:00:00Z")
NUMBER = re.compile(r"\d+(\.\d{1,15})?")
NOVEMBER, DAY_S = 1_793_491_200, 86_400


def usage(day: int, tokens: int, femto: int, **others: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(TOKEN_COLUMNS, 0)
    row |= dict.fromkeys(("exchanges", "failed", "estimated"), 1)
    row |= {"day": NOVEMBER + day * DAY_S, "consumer": "acme/a/x", "model": "small", "provider": "openai"}
    row |= {"upstream_model": 'gpt, "a"', "provider_type": "openai", "attempts": 2, "unpriced": 0}
    cost = {"cost_nano": femto // 10**6, "cost_rest_femto": femto % 10**6}
    return row | {"input_total": tokens, "output_total": 2 * tokens} | cost | others


@pytest.fixture
def ledger(database: Engine) -> Engine:
    rows = [
        usage(0, 10, 1),
        usage(0, 20, 999_999_999_999_999_999, consumer="solo"),
        usage(29, 30, 10**15 + 7, provider="claude", provider_type="anthropic"),
        usage(40, 40, 123_456_789_012_345, consumer="ä/ö/ü"),
        usage(1, 0, 0, input_total=0, output_total=0, consumer="failed/only/x"),
        usage(1, 0, 0, provider="", consumer="refused/only/x"),
        usage(2, 0, 0, unpriced=1, consumer="unpriced/only/x"),
    ]
    with database.begin() as connection:
        connection.execute(insert(USAGE_DAYS), rows)
    return database


def export(engine: Engine, query: UsageQuery = UsageQuery()) -> list[dict[str, str]]:  # noqa: B008 - frozen
    output = io.StringIO()
    count = write_focus(engine, query, output)
    rows = list(csv.DictReader(io.StringIO(output.getvalue(), newline="")))
    assert len(rows) == count
    return rows


def test_every_mandatory_column_is_there_and_others_are_marked_as_ours() -> None:
    assert set(MANDATORY) <= set(COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert all(re.fullmatch(r"(x_)?[A-Z][A-Za-z]+", name) for name in COLUMNS)


def test_every_cell_has_its_type(ledger: Engine) -> None:
    for row in export(ledger):
        for name, cell in row.items():
            if name.endswith(("PeriodStart", "PeriodEnd")):
                assert TIME.fullmatch(cell), (name, cell)
            elif name.endswith(("Cost", "Quantity", "Tokens", "Attempts")) or name == "x_Exchanges":
                assert NUMBER.fullmatch(cell), (name, cell)
            else:
                assert cell or name in NULLABLE, name
        assert row["ChargeCategory"] == "Usage"
        assert row["ServiceCategory"] == "AI and Machine Learning"
        assert row["BillingCurrency"] == "USD"
        assert row["PricingUnit"] == row["ConsumedUnit"] == ("Tokens" if row["x_InputTokens"] != "0" else "Requests")
        assert row["BilledCost"] == row["EffectiveCost"] == row["ListCost"] == row["ContractedCost"]
        tags = msgspec.json.decode(row["Tags"])
        assert tags["consumer"] == row["SubAccountId"]
        assert row["SubAccountId"].startswith(tags["organisation"])


def test_the_costs_add_up_to_the_ledger_exactly(ledger: Engine) -> None:
    total = sum((Decimal(row["BilledCost"]) for row in export(ledger)), Decimal(0))
    assert total == Decimal(report_usage(ledger, UsageQuery()).total.cost_usd)
    assert total == Decimal("1001.123456789012352")


def test_periods_are_days_and_calendar_months(ledger: Engine) -> None:
    periods = {
        (
            row["ChargePeriodStart"][:10],
            row["ChargePeriodEnd"][:10],
            row["BillingPeriodStart"][:10],
            row["BillingPeriodEnd"][:10],
        )
        for row in export(ledger)
        if row["SubAccountId"] != "unpriced/only/x"
    }
    assert periods == {
        ("2026-11-01", "2026-11-02", "2026-11-01", "2026-12-01"),
        ("2026-11-30", "2026-12-01", "2026-11-01", "2026-12-01"),
        ("2026-12-11", "2026-12-12", "2026-12-01", "2027-01-01"),
    }


def test_what_nobody_charges_is_left_out_and_what_has_no_price_is_not(ledger: Engine) -> None:
    rows = {row["SubAccountId"]: row for row in export(ledger)}
    assert set(rows) == {"acme/a/x", "solo", "ä/ö/ü", "unpriced/only/x"}
    assert (rows["unpriced/only/x"]["BilledCost"], rows["unpriced/only/x"]["x_UnpricedAttempts"]) == ("0", "1")


@pytest.mark.parametrize(
    ("used", "unit", "quantity"),
    [
        ({"input_total": 5, "output_total": 1, "input_cached_read": 4}, "Tokens", "6"),
        ({"output_total": 1_000_000}, "Tokens", "1000000"),
        ({"audio_ms": 90_000}, "Seconds", "90"),
        ({"audio_ms": 1_234}, "Seconds", "1.234"),
        ({"search_milliunits": 2_500}, "Search Units", "2.5"),
        ({"images": 2}, "Images", "2"),
        ({"characters": 4_000}, "Characters", "4000"),
        ({"web_searches": 3}, "Web Searches", "3"),
        # Several units at one cost, and a cost of nothing that was counted.
        ({"input_total": 5, "images": 2}, "Requests", "2"),
        ({"output_total": 5, "web_searches": 2}, "Requests", "2"),
        ({}, "Requests", "2"),
    ],
)
def test_the_quantity_is_in_what_was_used(database: Engine, used: dict[str, int], unit: str, quantity: str) -> None:
    with database.begin() as connection:
        connection.execute(insert(USAGE_DAYS), [usage(0, 0, 42 * 10**12, **used)])
    (row,) = export(database)
    assert (row["ConsumedQuantity"], row["ConsumedUnit"]) == (quantity, unit)
    assert (row["PricingQuantity"], row["PricingUnit"]) == (quantity, unit)


def test_what_was_used_for_nothing_is_there_whatever_it_was(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(insert(USAGE_DAYS), [usage(0, 0, 0, audio_ms=1), usage(1, 0, 0)])
    assert [row["ConsumedQuantity"] for row in export(database)] == ["0.001"]


def test_no_name_is_a_formula(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(insert(USAGE_DAYS), [usage(0, 1, 1, model="=A1", consumer="+b", upstream_model="@c")])
    (row,) = export(database)
    assert {name: cell for name, cell in row.items() if cell[:1] in {*"=+-@"}} == {}
    assert (row["ResourceId"], row["SubAccountId"], row["SkuId"]) == ("'=A1", "'+b", "openai/@c")


def test_the_query_narrows_to_names_and_whole_days(ledger: Engine) -> None:
    noon = NOVEMBER + DAY_S // 2
    assert {row["SubAccountId"] for row in export(ledger, UsageQuery(since=noon, until=noon + 1))} == {
        "acme/a/x",
        "solo",
    }
    assert [row["ProviderName"] for row in export(ledger, UsageQuery(provider="claude"))] == ["anthropic"]
    assert export(ledger, UsageQuery(consumer="nobody/*")) == []
    assert {row["SkuId"] for row in export(ledger, UsageQuery(consumer="solo"))} == {'openai/gpt, "a"'}
