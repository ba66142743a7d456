"""Sums as the ledger would have them, made up for tests of reports."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, insert

from gatewright.store.tables import FEMTO_PER_NANO, TOKEN_COLUMNS, USAGE_DAYS, USAGE_HOURS

HOUR_S, DAY_S = 3_600, 86_400
NOVEMBER = 1_793_491_200
"""2026-11-01T00:00Z."""
KEYS = ("consumer", "model", "provider", "upstream_model")
COUNTS = ("exchanges", "failed", "attempts", "estimated", "unpriced")

Row = dict[str, Any]


def hour_row(hour: int, of: tuple[str, str, str, str], provider_type: str = "openai", **sums: int) -> Row:
    """One row of `usage_hours`; `cost_femto` is split as the tables want it."""
    femto = sums.pop("cost_femto", 0)
    row: Row = {"hour": hour, **dict(zip(KEYS, of, strict=True)), "provider_type": provider_type}
    row |= dict.fromkeys((*COUNTS, *TOKEN_COLUMNS), 0) | sums
    return row | {"cost_nano": femto // FEMTO_PER_NANO, "cost_rest_femto": femto % FEMTO_PER_NANO}


def random_rows(seed: int, count: int) -> list[Row]:
    chance = random.Random(seed)
    rows = {}
    for _ in range(count):
        hour = NOVEMBER + chance.randrange(5 * 24) * HOUR_S
        consumer = chance.choice(["acme/search/indexer", "acme/search/web", "acme/ops/x", "acme-eu/a/b", "solo", "b/c"])
        model = chance.choice(["small", "small-2", "large"])
        provider, upstream = chance.choice([("openai", "gpt-a"), ("claude", "sonnet-b"), ("", "")])
        sums: dict[str, Any] = {name: chance.randrange(1_000) for name in (*COUNTS, *TOKEN_COLUMNS)}
        of = (consumer, model, provider, upstream)
        rows[hour, *of] = hour_row(hour, of, **sums, cost_femto=chance.randrange(10**13))
    return list(rows.values())


def days_of(hours: Iterable[Row]) -> list[Row]:
    """The rows of `usage_days` that belong to rows of `usage_hours`."""
    days: dict[tuple[Any, ...], Row] = {}
    for row in hours:
        day = row["hour"] // DAY_S * DAY_S
        key = (day, *(row[name] for name in KEYS))
        if key not in days:
            days[key] = {"day": day} | {name: value for name, value in row.items() if name != "hour"}
            continue
        total = days[key]
        for name in (*COUNTS, *TOKEN_COLUMNS):
            total[name] += row[name]
        carry, total["cost_rest_femto"] = divmod(total["cost_rest_femto"] + row["cost_rest_femto"], FEMTO_PER_NANO)
        total["cost_nano"] += row["cost_nano"] + carry
    return list(days.values())


def fill(engine: Engine, hours: list[Row]) -> None:
    with engine.begin() as connection:
        connection.execute(insert(USAGE_HOURS), hours)
        connection.execute(insert(USAGE_DAYS), days_of(hours))
