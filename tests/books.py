"""Reading the ledger from outside: its rows by plain SQL, its costs reckoned again with decimals."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import gatewright.config
from gatewright.config.catalogue import find_key
from gatewright.control.ledger_verify import Report, verify
from gatewright.store.database import open_database
from gatewright.testing.gateway import GatewayProcess

USED = ("input_total", "input_cached_read", "input_cache_write", "output_total", "output_reasoning")
"""The columns that are compared with the upstream's own book."""
_CATALOGUE = Path(gatewright.config.__file__).with_name("catalogue.json")
_KINDS = {
    "input_cached_read": "input",
    "input_cache_write": "input",
    "input_cache_write_1h": "input_cache_write",
    "input_audio": "input",
    "input_image": "input",
    "output_reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
"""Kinds of tokens, and the kind whose price they have where the row does not say."""


class Entry(NamedTuple):
    """One exchange of the database with its attempts, each a row by column."""

    exchange: dict[str, Any]
    attempts: list[dict[str, Any]]

    @property
    def cost_usd(self) -> Decimal:
        return usd_of(self.exchange)


def read_rows(state: Path, query: str, *arguments: Any) -> list[dict[str, Any]]:
    """What a query says of the database of a state directory, past everything that the gateway reads it by."""
    with closing(sqlite3.connect(f"file:{state / 'gatewright.db'}?mode=ro", uri=True, timeout=20)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(query, arguments)]


def count_booked(state: Path) -> int:
    """How many exchanges are in the database."""
    (row,) = read_rows(state, "SELECT count(*) AS found FROM exchanges")
    return int(row["found"])


def read_entries(state: Path) -> dict[str, list[Entry]]:
    """The ledger by the id of the exchange, with every entry of that id."""
    attempts: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in read_rows(state, "SELECT * FROM attempts ORDER BY journal, number, position"):
        attempts.setdefault((row["journal"], row["number"]), []).append(row)
    found: dict[str, list[Entry]] = {}
    for row in read_rows(state, "SELECT * FROM exchanges"):
        found.setdefault(row["id"], []).append(Entry(row, attempts.get((row["journal"], row["number"]), [])))
    return found


def usd_of(row: dict[str, Any]) -> Decimal:
    """The cost of a row in dollars, exactly."""
    return Decimal(row["cost_nano"]).scaleb(-9) + Decimal(row["cost_rest_femto"]).scaleb(-15)


def verify_ledger(gateway: GatewayProcess, database: Path | None = None) -> Report:
    """What `gatewright ledger verify` finds; `database` is the folder of the database, if not the state directory."""
    engine = open_database(None, database or gateway.state)
    try:
        return verify(engine, gateway.state / "journal")
    finally:
        engine.dispose()


class Prices:
    """The catalogue as plain JSON, and what an attempt costs by it."""

    def __init__(self, today: str) -> None:
        self._rows: dict[str, Any] = json.loads(_CATALOGUE.read_text())
        self._today = today

    def cost_usd(self, attempt: dict[str, Any], service: str | None) -> Decimal | None:
        """What the tokens of an attempt cost; None when one of them has no price."""
        key = find_key(self._rows, attempt["provider_type"], attempt["upstream_model"])
        row = self._on_day(self._rows[key]) if key else {}
        if "prices" not in row:
            return None
        rates = self._rates(row, service, attempt["input_total"])
        total = Decimal(rates.get("request", "0"))
        for kind, count in _split(attempt).items():
            if count:
                price = _price(rates, kind)
                if price is None:
                    return None
                total += count * price / 1_000_000
        if attempt["web_searches"]:
            if "web_search" not in rates:
                return None
            total += attempt["web_searches"] * Decimal(rates["web_search"])
        return total

    def _on_day(self, row: dict[str, Any]) -> dict[str, Any]:
        for change in row.get("changes", ()):
            if change["from_day"] <= self._today:
                row = row | {name: change[name] for name in ("prices", "batch", "flex", "priority") if name in change}
        return row

    def _rates(self, row: dict[str, Any], service: str | None, input_total: int) -> dict[str, str]:
        lists = [row["prices"]]
        if service in ("batch", "flex", "priority") and service in row:
            lists.append(row[service])
        rates = {name: value for prices in lists for name, value in prices.items()}
        for prices in lists:
            for step in prices.get("steps", ()):
                if input_total > step["above_input_tokens"]:
                    rates |= step
        return rates


def _split(attempt: dict[str, Any]) -> dict[str, int]:
    """The tokens of an attempt by the price they have, each once."""
    parts = {kind: int(attempt[kind]) for kind in _KINDS}
    parts["input_cache_write"] -= parts["input_cache_write_1h"]
    uncached = max(
        int(attempt["input_total"]) - int(attempt["input_cached_read"]) - int(attempt["input_cache_write"]), 0
    )
    parts["input_audio"] = min(parts["input_audio"], uncached)
    parts["input_image"] = min(parts["input_image"], uncached - parts["input_audio"])
    for side in ("input", "output"):
        special = sum(count for kind, count in parts.items() if kind.startswith(side) and kind != side)
        parts[side] = max(int(attempt[f"{side}_total"]) - special, 0)
    return parts


def _price(rates: dict[str, str], kind: str) -> Decimal | None:
    said = rates.get(kind)
    if said is not None:
        return Decimal(said)
    other = _KINDS.get(kind)
    return None if other is None else _price(rates, other)
