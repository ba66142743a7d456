"""Usage as a FOCUS 1.2 dataset (FinOps Open Cost and Usage Specification), for the tools that finance departments have.

https://focus.finops.org/focus-specification/v1-2/ names the columns. Every mandatory column is there, the conditional
ones as far as the ledger knows them, and what FOCUS has no column for under names that begin with `x_`, as its rules
for custom columns want it.

One row is one day (UTC) of one consumer, published model, provider and upstream model. The ledger adds up what an
attempt cost, not what its input cost apart from its output, so a row is not divided by kinds of tokens. Its quantity is
in what was used: tokens, seconds, pictures. Where that was several of them, or where nobody knows, there is no number
that the whole cost is for but the requests to the provider, and quantities must not be null for usage. Costs are not
rounded: their sum is the ledger's, to the femto-dollar. All four cost columns are equal: the catalogue knows one price,
which is the operator's own where there is one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import Engine, Row, Select, select

from gatewright.control.usage import DAY_S, UsageQuery, exact_usd, matches, spreadsheet_text
from gatewright.store.database import reading
from gatewright.store.tables import FEMTO_PER_NANO, USAGE_DAYS

_ROWS_AT_ONCE: Final = 1_000


class Output(Protocol):
    """Where the export goes."""

    def write(self, text: str, /) -> object:
        """Take a piece of it."""
        ...


def write_focus(engine: Engine, query: UsageQuery, output: Output) -> int:
    """Write the days of a query as CSV, header first, and say how many rows there were.

    The query's names narrow; its times are widened to whole days; its grouping, order and limit mean nothing here.
    Rows that used nothing and have no cost are left out: nothing was charged for them.
    """
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    rows = 0
    for row in _rows(engine, query):
        writer.writerow([value(row) for value in _VALUES])
        rows += 1
    return rows


def _rows(engine: Engine, query: UsageQuery) -> Iterator[Row[Any]]:
    with reading(engine) as connection:
        found = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(_statement(query))
        for row in found:
            if row.cost_nano or row.cost_rest_femto or row.unpriced or _used(row):
                yield row


def _statement(query: UsageQuery) -> Select[Any]:
    table = USAGE_DAYS.c
    statement = select(USAGE_DAYS).where(table.provider != "").order_by(*USAGE_DAYS.primary_key.columns)
    if query.since is not None:
        statement = statement.where(table.day >= query.since // DAY_S * DAY_S)
    if query.until is not None:
        statement = statement.where(table.day < -(-query.until // DAY_S) * DAY_S)
    for name in ("consumer", "model", "provider", "upstream_model"):
        if pattern := getattr(query, name):
            statement = statement.where(matches(table[name], pattern))
    return statement


def _cost(row: Row[Any]) -> str:
    return exact_usd(row.cost_nano * FEMTO_PER_NANO + row.cost_rest_femto)


def _used(row: Row[Any]) -> list[tuple[str, str]]:
    """What was used, by unit: names by the specification's Unit Format, numbers by its Numeric Format."""
    return [(unit, number) for unit, measure in _MEASURES.items() if (number := measure(row)) != "0"]


def _quantity(row: Row[Any]) -> tuple[str, str]:
    """The unit that the whole cost is for, and how many of them."""
    used = _used(row)
    return used[0] if len(used) == 1 else ("Requests", str(row.attempts))


def _unit(row: Row[Any]) -> str:
    return _quantity(row)[0]


def _number(row: Row[Any]) -> str:
    return _quantity(row)[1]


def _thousandths(name: str) -> Callable[[Row[Any]], str]:
    return lambda row: f"{(Decimal(getattr(row, name)) / 1_000).normalize():f}"


def _time(at: datetime) -> str:
    """The specification's Date/Time Format: ISO 8601 in UTC, ending in Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _day(row: Row[Any]) -> datetime:
    return datetime.fromtimestamp(row.day, UTC)


def _month(row: Row[Any]) -> datetime:
    return _day(row).replace(day=1)


def _sku(row: Row[Any]) -> str:
    return f"{row.provider_type}/{row.upstream_model}"


def _description(row: Row[Any]) -> str:
    return spreadsheet_text(f"{row.upstream_model} at {row.provider}, called as {row.model} by {row.consumer}")


def _tags(row: Row[Any]) -> str:
    """The specification's Key-Value Format: one JSON object, its values text."""
    parts = row.consumer.split("/")
    tags = {"organisation": parts[0], "team": "/".join(parts[:2]), "consumer": row.consumer, "model": row.model}
    return msgspec.json.encode(tags).decode()


def _same(text: str) -> Callable[[Row[Any]], str]:
    return lambda _: text


def _column(name: str) -> Callable[[Row[Any]], str]:
    return lambda row: str(getattr(row, name))


def _text(name: str) -> Callable[[Row[Any]], str]:
    return lambda row: spreadsheet_text(getattr(row, name))


_MEASURES: Final[dict[str, Callable[[Row[Any]], str]]] = {
    "Tokens": lambda row: str(row.input_total + row.output_total),
    "Seconds": _thousandths("audio_ms"),
    "Search Units": _thousandths("search_milliunits"),
    "Images": _column("images"),
    "Characters": _column("characters"),
    "Web Searches": _column("web_searches"),
}
_FOCUS: Final[dict[str, Callable[[Row[Any]], str]]] = {
    "BilledCost": _cost,
    "BillingAccountId": _text("provider"),
    "BillingAccountName": _text("provider"),
    "BillingAccountType": _same("Provider"),
    "BillingCurrency": _same("USD"),
    "BillingPeriodEnd": lambda row: _time((_month(row) + timedelta(days=32)).replace(day=1)),
    "BillingPeriodStart": lambda row: _time(_month(row)),
    "ChargeCategory": _same("Usage"),
    # Null: no row corrects an earlier one.
    "ChargeClass": _same(""),
    "ChargeDescription": _description,
    "ChargeFrequency": _same("Usage-Based"),
    "ChargePeriodEnd": lambda row: _time(_day(row) + timedelta(days=1)),
    "ChargePeriodStart": lambda row: _time(_day(row)),
    "ConsumedQuantity": _number,
    "ConsumedUnit": _unit,
    "ContractedCost": _cost,
    "EffectiveCost": _cost,
    "InvoiceIssuerName": _text("provider_type"),
    "ListCost": _cost,
    "PricingQuantity": _number,
    "PricingUnit": _unit,
    "ProviderName": _text("provider_type"),
    "PublisherName": _text("provider_type"),
    "ResourceId": _text("model"),
    "ResourceName": _text("model"),
    "ResourceType": _same("Published model"),
    "ServiceCategory": _same("AI and Machine Learning"),
    "ServiceName": lambda row: f"{row.provider_type} API",
    "ServiceSubcategory": _same("Generative AI"),
    "SkuId": _sku,
    "SkuPriceId": _sku,
    "SubAccountId": _text("consumer"),
    "SubAccountName": _text("consumer"),
    "SubAccountType": _same("Consumer"),
    "Tags": _tags,
    "x_Exchanges": _column("exchanges"),
    "x_Attempts": _column("attempts"),
    "x_InputTokens": _column("input_total"),
    "x_CachedInputTokens": _column("input_cached_read"),
    "x_OutputTokens": _column("output_total"),
    "x_ReasoningTokens": _column("output_reasoning"),
    "x_AudioMilliseconds": _column("audio_ms"),
    "x_SearchMilliunits": _column("search_milliunits"),
    "x_Images": _column("images"),
    "x_Characters": _column("characters"),
    "x_WebSearches": _column("web_searches"),
    "x_EstimatedAttempts": _column("estimated"),
    "x_UnpricedAttempts": _column("unpriced"),
}
COLUMNS: Final = tuple(_FOCUS)
"""Every column of the export, in its order."""
_VALUES: Final = tuple(_FOCUS.values())
