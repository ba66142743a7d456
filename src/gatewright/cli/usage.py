"""`gatewright usage`: what was used, by whom and what it cost, from the ledger."""

from __future__ import annotations

import csv
import sys
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, cast

import msgspec
import typer

from gatewright.cli.database import Config, Json, State, opened
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import is_terminal, print_json, print_note
from gatewright.cli.reconcile import reconcile
from gatewright.cli.tables import print_table
from gatewright.config.wording import listing, suggestion
from gatewright.control.focus import write_focus
from gatewright.control.usage import (
    DIMENSIONS,
    Dimension,
    Order,
    UsageQuery,
    UsageReport,
    UsageRow,
    parse_when,
    report_usage,
    rows_of,
)

app = command_group(no_args_is_help=False)
app.command("reconcile")(reconcile)


class Format(StrEnum):
    """How a report is printed."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    FOCUS = "focus"


class Sorting(StrEnum):
    """What comes first."""

    NAME = "name"
    COST = "cost"
    EXCHANGES = "exchanges"
    TOKENS = "tokens"


NOBODY: Final = "(none)"
"""Shown where there is no name: a request that was refused went to no provider."""
_NUMBERS: Final = ("EXCHANGES", "FAILED", "INPUT", "CACHED", "OUTPUT", "COST USD")


@app.callback(invoke_without_command=True)
def usage(
    context: typer.Context,
    by: Annotated[
        str, typer.Option("--by", metavar="NAMES", help=f"What to tell apart, with commas: {listing(DIMENSIONS)}.")
    ] = "model",
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="2026-11-01, or how long ago: 7d, 24h.")
    ] = "30d",
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="The same; default is now.")] = None,
    consumer: Annotated[
        str, typer.Option("--consumer", metavar="PATH", help="Only this one; `acme/*` is all below.")
    ] = "",
    model: Annotated[str, typer.Option("--model", help="Only this published model; `*` at the end is any.")] = "",
    provider: Annotated[str, typer.Option("--provider", help="Only this provider, by its configured name.")] = "",
    sort: Annotated[
        Sorting | None, typer.Option("--sort", help="Default: by time where it is told apart, else the dearest first.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, max=10**9, help="Rows at most; the total is of all.")
    ] = None,
    shape: Annotated[
        Format, typer.Option("--format", help="`focus` is the FinOps Open Cost and Usage Specification, as CSV.")
    ] = Format.TABLE,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    config: Config = None,
    state: State = None,
) -> None:
    """Report what was used and what it cost, whether the gateway runs or not.

    Reports are in whole hours, UTC. Costs are exact, by the prices at the time of each request; what is counted by the
    gateway itself because a provider told nothing, and what has no known price, is said below the table.

    Examples:

        gatewright usage
        gatewright usage --by consumer,model --since 7d
        gatewright usage --by day --consumer 'acme/*' --since 2026-11-01 --until 2026-12-01
        gatewright usage --since 2026-11-01 --format focus > november.csv
        gatewright usage reconcile openai-usage.json --provider openai
    """
    if context.invoked_subcommand is not None:
        return
    now = datetime.now(UTC)
    query = UsageQuery(
        by=parse_dimensions(by),
        since=_when(since, now),
        until=None if until is None else _when(until, now),
        consumer=consumer,
        model=model,
        provider=provider,
        order=cast("Order | None", sort and sort.value),
        limit=limit,
    )
    chosen = Format.JSON if json else Format.CSV if csv else shape
    with opened(config, state) as engine:
        if chosen is Format.FOCUS:
            write_focus(engine, query, sys.stdout)
        else:
            _PRINTERS[chosen](report_usage(engine, query))


def parse_dimensions(text: str) -> tuple[Dimension, ...]:
    """What `--by` names. Raises Failure for what cannot be told apart."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in DIMENSIONS:
            near = suggestion(name, list(DIMENSIONS))
            hint = f"did you mean `{near}`?" if near else f"there are {listing(DIMENSIONS)}"
            raise Failure(f"usage cannot be told apart by `{name}`", code=Exit.USAGE, hint=hint)
    return tuple(dict.fromkeys(cast("list[Dimension]", names)))


def print_report(report: UsageReport) -> None:
    """A table for people, its total last, and what to know about its numbers."""
    heads = [name.upper().replace("_", " ") for name in report.by]
    rows = [[*(row.of[name] or NOBODY for name in report.by), *_cells(row)] for row in report.rows]
    if report.by:
        rows.append(["total", *[""] * (len(report.by) - 1), *_cells(report.total)])
    else:
        rows = [_cells(report.total)]
    print_table([*heads, *_NUMBERS], rows, right=_NUMBERS)
    for note in notes(report):
        print_note(note)


def print_as_json(report: UsageReport) -> None:
    """Everything, as it is."""
    print_json(msgspec.to_builtins(report))


def print_csv(report: UsageReport) -> None:
    """Every number of every row, without a total."""
    csv.writer(sys.stdout, lineterminator="\n").writerows(rows_of(report))


def notes(report: UsageReport) -> list[str]:
    """What a reader of the totals must know."""
    total, told = report.total, []
    if total.estimated:
        share = f"{total.estimated:,} of {total.attempts:,} attempts"
        told.append(f"~ The tokens of {share} are the gateway's own count: the provider told none.")
    if total.unpriced:
        told.append(f"≥ The cost of {total.unpriced:,} attempts is not known and not in the sums: see the catalogue.")
    if report.is_cut:
        told.append("There are more rows than the limit; the total is of all of them.")
    if not report.rows and not total.exchanges:
        told.append("Nothing was used in that time.")
    return told


def _cells(row: UsageRow) -> list[str]:
    about = "~" if row.estimated else ""
    numbers = [
        _number(row.exchanges),
        _number(row.failed),
        about + _number(row.tokens.get("input_total", 0)),
        _number(row.tokens.get("input_cached_read", 0)),
        about + _number(row.tokens.get("output_total", 0)),
    ]
    return [*numbers, ("≥" if row.unpriced else "") + money(row.cost_usd)]


def _number(value: int) -> str:
    return f"{value:,}" if is_terminal() else str(value)


def money(usd: str) -> str:
    """Dollars: to a hundredth of a cent on a terminal, every digit in a pipe."""
    if not is_terminal():
        return usd
    exact = Decimal(usd)
    rounded = exact.quantize(Decimal("0.0001"))
    return "<0.0001" if exact and not rounded else f"{rounded:,}"


def _when(text: str, now: datetime) -> int:
    try:
        return parse_when(text, now)
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from None


_PRINTERS: Final = {Format.TABLE: print_report, Format.JSON: print_as_json, Format.CSV: print_csv}
