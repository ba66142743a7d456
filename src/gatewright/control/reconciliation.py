"""The ledger against a provider's own statement: what differs, by day and model.

Both sides are added up by day (UTC) and model before they are compared. A vendor bills a dated model
(`gpt-4.1-2025-04-14`) under its date also where it was called without (`gpt-4.1`), so dates at the end of a name do not
count. A statement that names no model is compared with everything the provider did that day.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct
from sqlalchemy import Engine

from gatewright.control.provider_usage import Statement
from gatewright.control.usage import UsageQuery, report_usage

EVERY_MODEL: Final = ""
"""Stands for all models of a day together."""
Quantity = Literal["input_tokens", "output_tokens", "cost_usd"]
QUANTITIES: Final[tuple[Quantity, ...]] = ("input_tokens", "output_tokens", "cost_usd")

_DATE: Final = re.compile(r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d)$", re.ASCII)
_HUNDRED: Final = 100


class Tolerance(Struct, frozen=True, kw_only=True):
    """How much two numbers may differ and still agree: either of the two is enough."""

    percent: Decimal = Decimal(1)
    """Of the larger number."""
    usd: Decimal = Decimal("0.01")
    """Of money; vendors round to cents."""


class Difference(Struct, frozen=True):
    """One number of one day and model, on both sides."""

    day: str
    model: str
    """Without a date at its end; empty for all models together."""
    quantity: Quantity
    ours: Decimal
    theirs: Decimal
    is_beyond: bool
    """Whether it is more than the tolerance."""
    estimated: int
    """How many of our attempts were counted by the gateway itself."""
    unpriced: int
    """How many of our attempts have no known cost."""

    @property
    def difference(self) -> Decimal:
        """Ours less theirs."""
        return self.ours - self.theirs

    @property
    def percent(self) -> Decimal | None:
        """The difference as part of theirs; None where theirs is nothing."""
        return self.difference / self.theirs * _HUNDRED if self.theirs else None


class Reconciliation(Struct, frozen=True):
    """Every number that both sides could state, by day and model."""

    provider: str
    first_day: str
    last_day: str
    differences: list[Difference]
    totals: list[Difference]
    """The same, over all days and models; their day is empty."""
    is_cut: bool
    """Whether the statement goes on where its last file ends."""

    @property
    def beyond(self) -> list[Difference]:
        """Those that are more than the tolerance."""
        return [each for each in self.differences if each.is_beyond]

    @property
    def has_agreed(self) -> bool:
        """Whether nothing is beyond the tolerance, the totals included: many small differences make a large one."""
        return not any(each.is_beyond for each in (*self.differences, *self.totals))


class _Sums:
    def __init__(self) -> None:
        self.numbers: dict[Quantity, Decimal] = {}
        self.estimated = 0
        self.unpriced = 0

    def add(self, quantity: Quantity, value: Decimal | int | None) -> None:
        if value is not None:
            self.numbers[quantity] = self.numbers.get(quantity, Decimal(0)) + value


_Key = tuple[str, str]


def reconcile(engine: Engine, provider: str, statements: Sequence[Statement], tolerance: Tolerance) -> Reconciliation:
    """Compare the ledger's sums for a configured provider with statements, over the days that these cover together."""
    first = min(statement.first_day for statement in statements)
    last = max(statement.last_day for statement in statements)
    theirs = _their_sums(statements)
    # Which numbers the statement has at all, for models and for whole days: where it has them, silence means none.
    kinds = {(model == EVERY_MODEL, name) for (_, model), sums in theirs.items() for name in sums.numbers}
    begin = datetime.combine(first, time(), UTC)
    end = datetime.combine(last, time(), UTC) + timedelta(days=1)
    query = UsageQuery(
        by=("day", "upstream_model"),
        provider=_exactly(provider),
        since=int(begin.timestamp()),
        until=int(end.timestamp()),
    )
    ours = _our_sums(engine, query)
    found = [
        _compared(key, name, ours.get(key, _Sums()), theirs.get(key, _Sums()), tolerance)
        for key in sorted({*ours, *theirs})
        for name in QUANTITIES
        if (key[1] == EVERY_MODEL, name) in kinds
        and (name in ours.get(key, _Sums()).numbers or name in theirs.get(key, _Sums()).numbers)
    ]
    is_cut = statements[-1].is_cut
    return Reconciliation(provider, first.isoformat(), last.isoformat(), found, _totals(found, tolerance), is_cut)


def family(model: str) -> str:
    """A model's name without the date at its end."""
    return _DATE.sub("", model)


def _exactly(provider: str) -> str:
    # Configured names hold no `*`; one that does would stand for several here.
    return provider.rstrip("*")


def _their_sums(statements: Sequence[Statement]) -> dict[_Key, _Sums]:
    sums: dict[_Key, _Sums] = defaultdict(_Sums)
    for line in (line for statement in statements for line in statement.lines):
        of = sums[line.day.isoformat(), EVERY_MODEL if line.model is None else family(line.model)]
        of.add("input_tokens", line.input_tokens)
        of.add("output_tokens", line.output_tokens)
        of.add("cost_usd", line.cost_usd)
    return sums


def _our_sums(engine: Engine, query: UsageQuery) -> dict[_Key, _Sums]:
    sums: dict[_Key, _Sums] = defaultdict(_Sums)
    for row in report_usage(engine, query).rows:
        for model in (family(row.of["upstream_model"]), EVERY_MODEL):
            of = sums[row.of["day"], model]
            of.add("input_tokens", row.tokens.get("input_total", 0))
            of.add("output_tokens", row.tokens.get("output_total", 0))
            of.add("cost_usd", Decimal(row.cost_usd))
            of.estimated += row.estimated
            of.unpriced += row.unpriced
    return sums


def _compared(key: _Key, quantity: Quantity, ours: _Sums, theirs: _Sums, tolerance: Tolerance) -> Difference:
    left, right = ours.numbers.get(quantity, Decimal(0)), theirs.numbers.get(quantity, Decimal(0))
    beyond = _is_beyond(quantity, left, right, tolerance)
    return Difference(*key, quantity, left, right, beyond, ours.estimated, ours.unpriced)


def _totals(found: Sequence[Difference], tolerance: Tolerance) -> list[Difference]:
    totals = []
    for quantity in QUANTITIES:
        # Where a statement has a number both by model and for all, it is the same money twice.
        named = [each for each in found if each.quantity == quantity and each.model != EVERY_MODEL]
        of = named or [each for each in found if each.quantity == quantity]
        if of:
            ours, theirs = sum((each.ours for each in of), Decimal(0)), sum((each.theirs for each in of), Decimal(0))
            counts = sum(each.estimated for each in of), sum(each.unpriced for each in of)
            beyond = _is_beyond(quantity, ours, theirs, tolerance)
            totals.append(Difference("", EVERY_MODEL, quantity, ours, theirs, beyond, *counts))
    return totals


def _is_beyond(quantity: Quantity, ours: Decimal, theirs: Decimal, tolerance: Tolerance) -> bool:
    apart = abs(ours - theirs)
    if quantity == "cost_usd" and apart <= tolerance.usd:
        return False
    return apart > max(abs(ours), abs(theirs)) * tolerance.percent / _HUNDRED
