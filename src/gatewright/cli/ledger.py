"""`gatewright ledger`: whether every exchange is booked, once, and how far the booking is."""

from __future__ import annotations

from typing import Final

import msgspec
import typer

from gatewright.cli.database import Config, Json, State, opened, place
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_failure, print_json, print_line, print_note
from gatewright.cli.tables import print_table
from gatewright.control.ledger_verify import Backlog, Report, backlog
from gatewright.control.ledger_verify import verify as verify_ledger

JOURNALS: Final = "journal"
"""The directory of the journals in a state directory."""

app = command_group(
    "The record of what every exchange used and cost: check that it is whole, see how far the booking is."
)


@app.command("verify")
def verify(config: Config = None, state: State = None, json: Json = False) -> None:
    """Check the whole ledger: nothing missing, nothing twice, every sum right. Exit code 1 if anything is wrong.

    Reads the journals on the disk, with their checksums, and then the database; the gateway may run. What is booked but
    older than `ledger.keep_days` is no longer there one by one; its sums are compared in total.

    Examples:

        gatewright ledger verify
        gatewright ledger verify -c /etc/gatewright --json | jq '.problems'
    """
    with opened(config, state) as engine:
        report = verify_ledger(engine, place(config, state)[1] / JOURNALS)
    if json:
        print_json({"is_whole": not report.problems, **msgspec.to_builtins(report)})
    else:
        for problem in report.problems:
            print_failure(problem)
        print_line(_summary(report))
    raise typer.Exit(Exit.FAILURE if report.problems else Exit.OK)


@app.command("status")
def show_status(config: Config = None, state: State = None, json: Json = False) -> None:
    """List the journals on the disk and how far each is booked; works without the database too.

    A journal is there as long as its worker runs or not all of it is booked. Exit code 0, however much is waiting.
    """
    directory = place(config, state)[1] / JOURNALS
    try:
        with opened(config, state) as engine:
            found = backlog(directory, engine)
    except Failure as failure:
        print_note(f"{failure.message}; what is booked is not known")
        found = backlog(directory, None)
    if json:
        print_json([{**msgspec.to_builtins(one), "waiting": one.waiting} for one in found])
    else:
        print_table(("JOURNAL", "WORKER", "WRITTEN", "BOOKED", "WAITING", "MIB"), [_row(one) for one in found])


def _summary(report: Report) -> str:
    if count := len(report.problems):
        return f"The ledger has {count} problem{'s' if count != 1 else ''}."
    kept = "" if report.kept == report.entries else f" ({report.kept} of them still there one by one)"
    return f"The ledger is whole: {report.entries} exchanges{kept}, and {report.waiting} on their way."


def _row(one: Backlog) -> tuple[str, ...]:
    numbers = (one.written, one.booked, one.waiting)
    shown = ("?" if number is None else str(number) for number in numbers)
    return (one.journal, "runs" if one.is_live else "ended", *shown, f"{one.bytes / 1_048_576:.0f}")
