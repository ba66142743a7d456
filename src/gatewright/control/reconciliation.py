"""The ledger against a provider's own statement: what differs, by day and model.

Both sides are added up by day (UTC) and model before they are compared. A vendor bills a dated model
(`gpt-4.1-2025-04-14`) under its date also where it was called without (`gpt-4.1`), so dates at the end of a name do not
count. A statement that names no model is compared with everything the provider did that day. Days are compared in what
the statements say about them: three days of costs beside ten of tokens leave seven without a comparison of costs.

A statement by model may have lines without one: Anthropic's cost report bills web searches so, which the ledger has in
the cost of the model that made them. There is nothing to hold such a line against by itself; it counts in the total,
and excuses what the models that searched on its day cost us more.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct
from sqlalchemy import Engine, select

from gatewright.control.provider_usage import QUANTITIES, Quantity, Statement
from gatewright.control.usage import UsageQuery, report_usage
from gatewright.store.database import reading
from gatewright.store.tables import USAGE_DAYS

NO_MODEL: Final = ""
"""In place of a model's name: all models of a day together, or what a statement by model has under none."""
Scope = Literal["model", "every_model", "no_model"]

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
    """Without a date at its end; empty unless the scope is a model."""
    scope: Scope
    """Whether it is about one model, about all of them together, or about what the statement has under none."""
    quantity: Quantity
    ours: Decimal
    theirs: Decimal
    is_beyond: bool
    """Whether it is more than the tolerance. What is under no model never is: only the total has both sides of it."""
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
    days: dict[Quantity, int]
    """On how many days a number was compared: those that a statement with that number covers."""
    is_cut: bool
    """Whether a page says that there is another, and none goes on where it ends."""

    @property
    def beyond(self) -> list[Difference]:
        """Those that are more than the tolerance."""
        return [each for each in self.differences if each.is_beyond]

    @property
    def unnamed(self) -> list[Difference]:
        """Those of lines without a model in a statement by model: nothing of ours is held against them."""
        return [each for each in self.differences if each.scope == "no_model"]

    @property
    def has_agreed(self) -> bool:
        """Whether nothing is beyond the tolerance, the totals included: many small differences make a large one."""
        return not any(each.is_beyond for each in (*self.differences, *self.totals))


class _Sums:
    def __init__(self) -> None:
        self.numbers: dict[Quantity, Decimal] = {}
        self.estimated = 0
        self.unpriced = 0
        self.has_searched = False

    def add(self, quantity: Quantity, value: Decimal | int | None) -> None:
        if value is not None:
            self.numbers[quantity] = self.numbers.get(quantity, Decimal(0)) + value


_Key = tuple[str, str]
_NOTHING: Final = _Sums()


def reconcile(engine: Engine, provider: str, statements: Sequence[Statement], tolerance: Tolerance) -> Reconciliation:
    """Compare the ledger's sums for a configured provider with statements, over the days that these cover."""
    days = sorted(day for statement in statements for day in statement.days)
    first, last = days[0], days[-1]
    theirs = _their_sums(statements)
    begin = datetime.combine(first, time(), UTC)
    end = datetime.combine(last, time(), UTC) + timedelta(days=1)
    query = UsageQuery(
        by=("day", "upstream_model"),
        provider=_exactly(provider),
        since=int(begin.timestamp()),
        until=int(end.timestamp()),
    )
    ours = _our_sums(engine, query)
    covered = _covered_days(statements)
    found = [each for quantity in covered for each in _compared(quantity, covered[quantity], ours, theirs, tolerance)]
    found.sort(key=lambda each: (each.day, each.model))
    return Reconciliation(
        provider,
        first.isoformat(),
        last.isoformat(),
        found,
        _totals(found, tolerance),
        {quantity: len(days) for quantity, days in covered.items()},
        _is_cut(statements),
    )


def known_providers(engine: Engine) -> list[str]:
    """The configured names of all providers that the ledger has anything of."""
    with reading(engine) as connection:
        return list(connection.scalars(select(USAGE_DAYS.c.provider).where(USAGE_DAYS.c.provider != "").distinct()))


def family(model: str) -> str:
    """A model's name without the date at its end."""
    return _DATE.sub("", model)


def _exactly(provider: str) -> str:
    # Configured names hold no `*`; one that does would stand for several here.
    return provider.rstrip("*")


def _covered_days(statements: Sequence[Statement]) -> dict[Quantity, set[str]]:
    """The days of those statements that have a number, by number; on these, silence of theirs means none.

    A page without lines may be of any export, so it covers its days for whatever the others are about. Where all are
    so, nothing at all was used.
    """
    stated = frozenset[Quantity]().union(*(statement.quantities for statement in statements)) or frozenset(QUANTITIES)
    covered: dict[Quantity, set[str]] = {quantity: set() for quantity in QUANTITIES if quantity in stated}
    for statement in statements:
        days = [day.isoformat() for day in statement.days]
        for quantity in statement.quantities or stated:
            covered[quantity].update(days)
    return covered


def _is_cut(statements: Sequence[Statement]) -> bool:
    rest = list(statements)
    for page in (statement for statement in statements if statement.is_cut):
        following = next((at for at, other in enumerate(rest) if _continues(other, page)), None)
        if following is None:
            return True
        del rest[following]  # Two exports may end at the same time, and each needs its next page.
    return False


def _continues(other: Statement, page: Statement) -> bool:
    is_alike = other.quantities == page.quantities or not other.quantities or not page.quantities
    return is_alike and other.begin == page.end


def _their_sums(statements: Sequence[Statement]) -> dict[_Key, _Sums]:
    sums: dict[_Key, _Sums] = defaultdict(_Sums)
    for line in (line for statement in statements for line in statement.lines):
        of = sums[line.day.isoformat(), NO_MODEL if line.model is None else family(line.model)]
        of.add("input_tokens", line.input_tokens)
        of.add("output_tokens", line.output_tokens)
        of.add("cost_usd", line.cost_usd)
    return sums


def _our_sums(engine: Engine, query: UsageQuery) -> dict[_Key, _Sums]:
    sums: dict[_Key, _Sums] = defaultdict(_Sums)
    for row in report_usage(engine, query).rows:
        for model in (family(row.of["upstream_model"]), NO_MODEL):
            of = sums[row.of["day"], model]
            of.add("input_tokens", row.tokens.get("input_total", 0))
            of.add("output_tokens", row.tokens.get("output_total", 0))
            of.add("cost_usd", Decimal(row.cost_usd))
            of.estimated += row.estimated
            of.unpriced += row.unpriced
            of.has_searched |= "web_searches" in row.tokens
    return sums


def _compared(
    quantity: Quantity,
    days: Set[str],
    ours: Mapping[_Key, _Sums],
    theirs: Mapping[_Key, _Sums],
    tolerance: Tolerance,
) -> Iterator[Difference]:
    """The differences in one quantity: by model where the statement names any for it, else by day."""
    stated = {key: sums.numbers[quantity] for key, sums in theirs.items() if quantity in sums.numbers}
    is_by_model = any(model != NO_MODEL for _, model in stated)
    scope: Scope = "model" if is_by_model else "every_model"
    for key in (key for key in {*ours, *stated} if key[0] in days):
        left, right = ours.get(key, _NOTHING), stated.get(key, Decimal(0))
        if is_by_model == (key[1] != NO_MODEL):
            number = left.numbers.get(quantity, Decimal(0))
            unnamed = stated.get((key[0], NO_MODEL), Decimal(0)) if is_by_model and left.has_searched else Decimal(0)
            nearest = min(max(number, right), right + max(unnamed, Decimal(0)))
            beyond = _is_beyond(quantity, number, nearest, tolerance)
            yield Difference(*key, scope, quantity, number, right, beyond, left.estimated, left.unpriced)
        elif is_by_model and key in stated:
            yield Difference(*key, "no_model", quantity, Decimal(0), right, False, 0, 0)


def _totals(found: Sequence[Difference], tolerance: Tolerance) -> list[Difference]:
    totals = []
    for quantity in QUANTITIES:
        of = [each for each in found if each.quantity == quantity]
        if of:
            ours, theirs = sum((each.ours for each in of), Decimal(0)), sum((each.theirs for each in of), Decimal(0))
            counts = sum(each.estimated for each in of), sum(each.unpriced for each in of)
            beyond = _is_beyond(quantity, ours, theirs, tolerance)
            totals.append(Difference("", NO_MODEL, "every_model", quantity, ours, theirs, beyond, *counts))
    return totals


def _is_beyond(quantity: Quantity, ours: Decimal, theirs: Decimal, tolerance: Tolerance) -> bool:
    apart = abs(ours - theirs)
    if quantity == "cost_usd" and apart <= tolerance.usd:
        return False
    return apart > max(abs(ours), abs(theirs)) * tolerance.percent / _HUNDRED
