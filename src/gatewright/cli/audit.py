"""`gatewright audit`: what was changed by whom, and whether the log of it is whole."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from gatewright.cli.administering import show_time
from gatewright.cli.database import Config, Json, State, opened
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_failure, print_json, print_line, print_note
from gatewright.cli.tables import print_table
from gatewright.control.audit import MAX_PAGE, Filter, Head, Record, list_records
from gatewright.control.audit import verify as verify_log
from gatewright.control.usage import parse_when

app = command_group("The log of administrative changes: list it, or check that nobody altered it.")
_HEAD: Final = re.compile(r"([1-9]\d{0,17}):([0-9a-f]{64})")
_US: Final = 1_000_000


@app.command("verify")
def verify(
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="NUMBER:HASH", help="The head that an earlier check gave; must be in the log."),
    ] = None,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Check every change in the log: no gap, none altered, none cut off. Exit code 1 if anything is wrong.

    It prints the head of the log. Keep that somewhere else: somebody who may write the whole database could write a
    whole new log, and only a check with `--head` would notice.

    Examples:

        gatewright audit verify
        gatewright audit verify --head "$(cat head-of-yesterday)" --json
    """
    known = _parse_head(head)
    with opened(config, state) as engine:
        found = verify_log(engine, known)
    if json:
        print_json({"is_whole": not found.problems, "problems": found.problems, "head": found.head})
    else:
        for problem in found.problems:
            print_failure(problem)
        if not found.problems:
            count = found.head.number if found.head else 0
            print_note(f"The log is whole: {count} change{'s' if count != 1 else ''}.")
            if found.head is not None:
                print_line(f"{found.head.number}:{found.head.hash}")
    raise typer.Exit(Exit.FAILURE if found.problems else Exit.OK)


@app.command("list")
def list_changes(
    subject: Annotated[
        str, typer.Option("--subject", metavar="TEXT", help="How it begins: `key/k7m2q4xw3d`, `consumer/acme/`.")
    ] = "",
    action: Annotated[str, typer.Option("--action", metavar="TEXT", help="How it begins: `key.`, `key.revoke`.")] = "",
    actor: Annotated[
        str, typer.Option("--actor", metavar="NAME", help="Who made them: an admin key's name, with or without its id.")
    ] = "",
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="2026-11-01, 7d, 24h.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="The same.")] = None,
    before: Annotated[
        int | None, typer.Option("--before", metavar="NUMBER", max=2**53, help="Go on below this change.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=MAX_PAGE, help="How many at most.")] = 50,
    config: Config = None,
    state: State = None,
    json: Json = False,
) -> None:
    """List administrative changes, the newest first; `--json` says how things were before and after.

    Examples:

        gatewright audit list --since 7d
        gatewright audit list --subject key/k7m2q4xw3d --json
    """
    chosen = Filter(
        subject=subject, action=action, actor=actor, since_us=_parse_time(since), until_us=_parse_time(until)
    )
    with opened(config, state) as engine:
        records = list_records(engine, chosen, before=before, limit=limit)
    if json:
        print_json(records)
        return
    print_table(("NUMBER", "WHEN", "WHO", "FROM", "WHAT", "OF"), [_row(record) for record in records])


def _row(record: Record) -> tuple[str, ...]:
    when = show_time(record.at_us / _US)
    return (str(record.number), when, record.actor, record.origin, record.action, record.subject)


def _parse_head(text: str | None) -> Head | None:
    if text is None:
        return None
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise Failure("--head is not what `audit verify` prints, NUMBER:HASH", code=Exit.USAGE)
    return Head(int(found[1]), found[2])


def _parse_time(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return parse_when(text, datetime.now(UTC)) * _US
    except ValueError as error:
        raise Failure(str(error), code=Exit.USAGE) from None
