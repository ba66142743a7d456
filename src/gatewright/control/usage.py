"""What was used and what it cost, from the sums per hour and day: who, what, where, when.

A report never looks at single exchanges, so it takes as long for a thousand as for a million of them. It covers whole
hours (UTC): whole days come from the sums per day, what sticks out at both ends from those per hour.

An exchange counts where its last attempt went, at an empty provider when nothing was tried; tokens, cost and attempts
count where they were used. Money is exact to the femto-dollar.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, Engine, Row, Select, Table, func, literal, select, union_all

from gatewright.store.database import reading
from gatewright.store.tables import FEMTO_PER_NANO, TOKEN_COLUMNS, USAGE_DAYS, USAGE_HOURS

HOUR_S: Final = 3_600
DAY_S: Final = 86_400
_LAST_HOUR: Final = 253_402_297_200
"""23:00 on the last day of the year 9999, in Unix seconds."""
USD_DIGITS: Final = 15
"""Decimals of a dollar that the ledger knows."""

Dimension = Literal[
    "organisation", "team", "consumer", "model", "provider", "provider_type", "upstream_model", "day", "hour"
]
DIMENSIONS: Final[tuple[Dimension, ...]] = Dimension.__args__  # type: ignore[attr-defined]
Order = Literal["name", "cost", "exchanges", "tokens"]

_COUNTS: Final = ("exchanges", "failed", "attempts", "estimated", "unpriced")
_SUMS: Final = (*_COUNTS, *TOKEN_COLUMNS, "cost_nano", "cost_rest_femto")
_TIMES: Final = ("day", "hour")
_AGO: Final = re.compile(r"(\d{1,5})([dh])", re.ASCII)
_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_LAST_CHARACTER: Final = 0x10FFFF


class UsageQuery(Struct, frozen=True, kw_only=True):
    """What to report. Names narrow when they are not empty; one that ends in `*` stands for all that begin so."""

    by: tuple[Dimension, ...] = ()
    """What to tell apart, in this order; nothing gives one row with everything."""
    since: int | None = None
    """From this Unix second on, rounded down to the hour."""
    until: int | None = None
    """Before this Unix second, rounded up to the hour."""
    consumer: str = ""
    """A path; `acme/*` is everything below `acme`."""
    model: str = ""
    provider: str = ""
    upstream_model: str = ""
    order: Order | None = None
    """Default: by name (or time) when told apart by time, else the dearest first."""
    limit: int | None = None
    """How many rows at most; the total covers all of them."""


class UsageRow(Struct, frozen=True):
    """One line of a report."""

    of: dict[str, str]
    """What it is about, by dimension: a name, a day (`2026-11-21`), or an hour by its begin (`2026-11-21T14:00Z`)."""
    exchanges: int
    """Requests that clients made."""
    failed: int
    """Those of them that ended with an error."""
    attempts: int
    """Tries at providers; more than exchanges where some were tried again, fewer where some were refused or cached."""
    estimated: int
    """Attempts whose tokens are the gateway's own count, because the provider told none."""
    unpriced: int
    """Attempts that used something whose price is not known: they are not in the cost."""
    tokens: dict[str, int]
    """What was used, by kind; kinds without any are left out."""
    cost_usd: str
    """In US dollars, exactly."""


class UsageReport(Struct, frozen=True):
    """The lines that were asked for, and everything together."""

    by: tuple[str, ...]
    since: str | None
    """The hour from which on it counts; null is from the beginning."""
    until: str | None
    """The hour before which it counts; null is until now."""
    rows: list[UsageRow]
    total: UsageRow
    is_cut: bool
    """Whether there are more rows than the limit."""


def report_usage(engine: Engine, query: UsageQuery) -> UsageReport:
    """The report for a query."""
    since = None if query.since is None else query.since // HOUR_S * HOUR_S
    until = None if query.until is None else -(-query.until // HOUR_S) * HOUR_S
    statement = _statement(engine.dialect.name, query, since, until)
    limited = statement if query.limit is None else statement.limit(query.limit + 1)
    with reading(engine) as connection:
        found = connection.execute(limited).all()
        is_cut = query.limit is not None and len(found) > query.limit
        if is_cut:
            everything = connection.execute(_statement(engine.dialect.name, _without_rows(query), since, until)).all()
        else:
            everything = found
    rows = [_usage_row(query.by, row) for row in found[: query.limit]]
    return UsageReport(query.by, _hour_text(since), _hour_text(until), rows, _total(everything), is_cut)


def rows_of(report: UsageReport) -> Iterator[list[str | int]]:
    """A report as the rows of a CSV file, header first: every number, and the total only where it is all there is.

    Names are `spreadsheet_text`.
    """
    yield [*report.by, *_COUNTS, *TOKEN_COLUMNS, "cost_usd"]
    for row in report.rows if report.by else [report.total]:
        counts = [getattr(row, name) for name in _COUNTS]
        tokens = [row.tokens.get(name, 0) for name in TOKEN_COLUMNS]
        yield [*(spreadsheet_text(row.of[name]) for name in report.by), *counts, *tokens, row.cost_usd]


def spreadsheet_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula: `'` stands before what would begin one.

    https://owasp.org/www-community/attacks/CSV_Injection; names of models may be any that a client asks for.
    """
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text


def parse_when(text: str, now: datetime) -> int:
    """A time as people write it, in Unix seconds: `2026-11-01`, `2026-11-01T14:00Z`, or how long ago: `7d`, `24h`.

    What lies before 1970 is 1970, and behind the year 9999 its last hour: nothing is there to be found. Raises
    ValueError, whose message says how to write it.
    """
    if ago := _AGO.fullmatch(text):
        return _clamped(int(now.timestamp()) - int(ago[1]) * (DAY_S if ago[2] == "d" else HOUR_S))
    try:
        at = datetime.fromisoformat(text)
        return _clamped(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()))
    except (ValueError, OverflowError):
        raise ValueError(f"`{text}` is no time; write 2026-11-01, 2026-11-01T14:00Z, 7d or 24h") from None


def _clamped(at: int) -> int:
    return min(max(at, 0), _LAST_HOUR)


def exact_usd(femto: int) -> str:
    """Femto-dollars as dollars: no digit is lost, and none is made up."""
    sign, femto = ("-", -femto) if femto < 0 else ("", femto)
    whole, rest = divmod(femto, 10**USD_DIGITS)
    return f"{sign}{whole}.{rest:0{USD_DIGITS}d}".rstrip("0").rstrip(".")


def matches(column: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    """Whether a column is a name, or begins as a pattern with a trailing `*` does: a range, which an index serves."""
    if not pattern.endswith("*"):
        return column == pattern
    prefix = pattern[:-1]
    condition = column >= prefix
    end = _after(prefix)
    return condition if end is None else condition & (column < end)


def _after(prefix: str) -> str | None:
    """The first text behind all that begin so; None when there is none."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < _LAST_CHARACTER:
            # The numbers from D800 to DFFF are no characters.
            return prefix[:at] + chr(0xE000 if code + 1 == 0xD800 else code + 1)
    return None


# -- the statement ----------------------------------------------------------------------------------------------------


def _statement(dialect: str, query: UsageQuery, since: int | None, until: int | None) -> Select[Any]:
    parts = [_part(dialect, query, *part) for part in _parts("hour" in query.by, since, until)]
    summed = (parts[0] if len(parts) == 1 else union_all(*parts)).subquery()
    keys = [summed.c[name] for name in query.by]
    sums = [func.sum(summed.c[name]).label(name) for name in _SUMS]
    # Without a grouping, no rows at all would still give one, of nothing but nulls.
    statement = select(*keys, *sums).having(func.count() > 0)
    return statement.group_by(*keys).order_by(*_order(query, {name: summed.c[name] for name in (*query.by, *_SUMS)}))


def _order(query: UsageQuery, columns: dict[str, ColumnElement[Any]]) -> list[ColumnElement[Any]]:
    order = query.order or ("name" if set(query.by) & set(_TIMES) else "cost")
    names: list[ColumnElement[Any]] = [columns[name] for name in query.by]
    if not names or order == "name":
        return names
    amounts = {
        "cost": func.sum(columns["cost_nano"]) + func.sum(columns["cost_rest_femto"]) // FEMTO_PER_NANO,
        "exchanges": func.sum(columns["exchanges"]),
        "tokens": func.sum(columns["input_total"]) + func.sum(columns["output_total"]),
    }
    return [amounts[order].desc(), *names]


def _parts(by_hour: bool, since: int | None, until: int | None) -> list[tuple[Table, int | None, int | None]]:
    """Which table to ask for which time: whole days as days, unless hours are to be told apart."""
    if by_hour:
        return [(USAGE_HOURS, since, until)]
    first = None if since is None else -(-since // DAY_S) * DAY_S
    last = None if until is None else until // DAY_S * DAY_S
    if first is not None and last is not None and first > last:
        return [(USAGE_HOURS, since, until)]
    parts: list[tuple[Table, int | None, int | None]] = [(USAGE_DAYS, first, last)]
    if since != first:
        parts.append((USAGE_HOURS, since, first))
    if until != last:
        parts.append((USAGE_HOURS, last, until))
    return parts


def _part(dialect: str, query: UsageQuery, table: Table, since: int | None, until: int | None) -> Select[Any]:
    period = table.c.day if table is USAGE_DAYS else table.c.hour
    keys = [_EXPRESSIONS[name](dialect, table, period).label(name) for name in query.by]
    statement = select(*keys, *(func.sum(table.c[name]).label(name) for name in _SUMS)).having(func.count() > 0)
    if since is not None:
        statement = statement.where(period >= since)
    if until is not None:
        statement = statement.where(period < until)
    for name in ("consumer", "model", "provider", "upstream_model"):
        if pattern := getattr(query, name):
            statement = statement.where(matches(table.c[name], pattern))
    return statement.group_by(*keys)


def _organisation(dialect: str, table: Table, _: ColumnElement[int]) -> ColumnElement[str]:
    path = table.c.consumer
    if dialect == "sqlite":
        return func.substr(path, 1, _until_slash(path) - 1)
    return func.split_part(path, "/", 1)


def _team(dialect: str, table: Table, _: ColumnElement[int]) -> ColumnElement[str]:
    path = table.c.consumer
    if dialect == "sqlite":
        rest = func.substr(path, _until_slash(path) + 1)
        return func.substr(path, 1, _until_slash(path) + _until_slash(rest) - 1)
    return func.rtrim(func.split_part(path, "/", 1).concat("/").concat(func.split_part(path, "/", 2)), "/")


def _until_slash(path: ColumnElement[str]) -> ColumnElement[int]:
    """How many characters come up to the first slash, counting one behind the end."""
    return func.instr(path.concat("/"), "/")


def _column(name: str) -> Callable[[str, Table, ColumnElement[int]], ColumnElement[Any]]:
    return lambda _dialect, table, _period: table.c[name]


_EXPRESSIONS: Final[dict[str, Callable[[str, Table, ColumnElement[int]], ColumnElement[Any]]]] = {
    "organisation": _organisation,
    "team": _team,
    "day": lambda _dialect, _table, period: period - period % literal(DAY_S),
    "hour": lambda _dialect, _table, period: period,
    **{name: _column(name) for name in ("consumer", "model", "provider", "provider_type", "upstream_model")},
}


# -- its rows ---------------------------------------------------------------------------------------------------------


def _without_rows(query: UsageQuery) -> UsageQuery:
    return UsageQuery(
        consumer=query.consumer, model=query.model, provider=query.provider, upstream_model=query.upstream_model
    )


def _usage_row(by: Sequence[str], row: Row[Any]) -> UsageRow:
    names = {name: _name(name, value) for name, value in zip(by, row, strict=False)}
    return _made(names, [int(value) for value in row[len(by) :]])


def _total(rows: Sequence[Row[Any]]) -> UsageRow:
    sums = [0] * len(_SUMS)
    for row in rows:
        sums = [a + int(b) for a, b in zip(sums, row[-len(_SUMS) :], strict=True)]
    return _made({}, sums)


def _made(names: dict[str, str], sums: Sequence[int]) -> UsageRow:
    tokens = dict(zip(TOKEN_COLUMNS, sums[len(_COUNTS) : -2], strict=True))
    exchanges, failed, attempts, estimated, unpriced = sums[: len(_COUNTS)]
    return UsageRow(
        names,
        exchanges,
        failed,
        attempts,
        estimated,
        unpriced,
        {name: count for name, count in tokens.items() if count},
        exact_usd(sums[-2] * FEMTO_PER_NANO + sums[-1]),
    )


def _name(dimension: str, value: Any) -> str:
    if dimension == "day":
        return datetime.fromtimestamp(int(value), UTC).date().isoformat()
    return _hour_text(int(value)) or "" if dimension == "hour" else str(value)


def _hour_text(second: int | None) -> str | None:
    return None if second is None else f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%MZ}"
