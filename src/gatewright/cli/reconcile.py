"""`gatewright usage reconcile`: the ledger against a provider's own usage export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from gatewright.cli.database import Config, Json, State, opened
from gatewright.cli.exits import Exit, Failure
from gatewright.cli.output import is_terminal, print_json, print_note
from gatewright.cli.tables import print_table
from gatewright.config.wording import listing, shortened, suggestion
from gatewright.control.provider_usage import (
    CSV_COLUMNS,
    READERS,
    Quantity,
    Statement,
    UnreadableExport,
    guess_format,
)
from gatewright.control.reconciliation import Difference, Reconciliation, Scope, Tolerance, known_providers
from gatewright.control.reconciliation import reconcile as reconcile_statements

_NUMBERS: Final = ("OURS", "THEIRS", "DIFFERENCE", "PERCENT")
_WITHOUT_NAME: Final[dict[Scope, str]] = {"every_model": "(all models)", "no_model": "(no model)"}


class ExportFormat(StrEnum):
    """Whose export it is."""

    AUTO = "auto"
    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    CSV = "csv"


def reconcile(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="The provider's export; several are one.")],
    provider: Annotated[str, typer.Option("--provider", help="The provider's name in the configuration.")],
    shape: Annotated[
        ExportFormat, typer.Option("--format", help="What the files are; `auto` looks at each.")
    ] = ExportFormat.AUTO,
    columns: Annotated[
        str,
        typer.Option(metavar="NAME=COLUMN,…", help=f"Of a CSV file: its own names for {listing(CSV_COLUMNS)}."),
    ] = "",
    tolerance: Annotated[str, typer.Option(metavar="PERCENT", help="Differences up to this are fine.")] = "1",
    tolerance_usd: Annotated[
        str, typer.Option(metavar="USD", help="Differences in money up to this are fine.")
    ] = "0.01",
    everything: Annotated[bool, typer.Option("--all", help="List what agrees, too.")] = False,
    json: Json = False,
    config: Config = None,
    state: State = None,
) -> None:
    """Compare the ledger with what a provider says was used: exit code 0 when they agree, 1 when they do not.

    Both are added up by day (UTC) and model. Takes the answers of OpenAI's Usage and Costs APIs, of Anthropic's Usage
    and Cost API, and any CSV file with a day and tokens or costs.

    Examples:

        gatewright usage reconcile usage.json costs.json --provider openai
        gatewright usage reconcile bill.csv --provider bedrock --columns day=Date,cost_usd=Cost
        gatewright usage reconcile usage.json --provider claude --tolerance 0.1 --json
    """
    allowed = Tolerance(percent=_decimal("--tolerance", tolerance), usd=_decimal("--tolerance-usd", tolerance_usd))
    statements = [statement for file in files for statement in _read(file, shape, _mapping(columns))]
    with opened(config, state) as engine:
        _check_provider(provider, known_providers(engine))
        found = reconcile_statements(engine, provider, statements, allowed)
    if json:
        print_json(_document(found))
    else:
        _print(found, found.differences if everything else found.beyond)
    raise typer.Exit(Exit.OK if found.has_agreed else Exit.FAILURE)


def _read(file: Path, shape: ExportFormat, columns: dict[str, str]) -> list[Statement]:
    try:
        data = file.read_bytes()
        name = guess_format(data) if shape is ExportFormat.AUTO else shape.value
        return READERS[name](data, columns)
    except OSError as error:
        raise Failure(f"cannot read {file}: {error.strerror}", code=Exit.USAGE) from None
    except UnreadableExport as error:
        hint = "name its format with --format, and the columns of a CSV file with --columns"
        raise Failure(f"{file}: {error}", code=Exit.USAGE, hint=hint) from None


def _check_provider(name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = suggestion(name, known)
        hint = f"did you mean `{near}`?" if near else f"it has {listing(sorted(known)) or 'nothing at all yet'}"
        raise Failure(f"the ledger has nothing of a provider `{shortened(name)}`", code=Exit.USAGE, hint=hint)


def _mapping(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    for name, equals, column in pairs:
        if name not in CSV_COLUMNS or not equals or not column:
            raise Failure(
                f"--columns takes NAME=COLUMN, the names being {listing(CSV_COLUMNS)}; not `{name}{equals}{column}`",
                code=Exit.USAGE,
            )
    return {name: column for name, _, column in pairs}


def _decimal(option: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(-1)
    if not value.is_finite() or value < 0:
        raise Failure(f"{option} takes a number from 0 on, not `{text}`", code=Exit.USAGE)
    return value


def _print(found: Reconciliation, shown: Sequence[Difference]) -> None:
    heads = ("DAY", "MODEL", "WHAT", *_NUMBERS, "")
    rows = [_cells(each) for each in [*shown, *found.totals]]
    print_table(heads, rows, right=_NUMBERS)
    print_note(_verdict(found))
    if unnamed := sum(each.theirs for each in found.unnamed if each.quantity == "cost_usd"):
        print_note(f"{unnamed:.4f} USD of theirs are under no model (web searches?) and count in the total alone.")
    estimated = max((total.estimated for total in found.totals), default=0)
    unpriced = max((total.unpriced for total in found.totals), default=0)
    if estimated:
        print_note(f"~ {estimated:,} attempts were counted by the gateway itself: the provider told nothing then.")
    if unpriced:
        print_note(f"≥ {unpriced:,} attempts have no known price: our cost lacks them.")
    days = (date.fromisoformat(found.last_day) - date.fromisoformat(found.first_day)).days + 1
    for quantity, compared in found.days.items():
        if compared < days:
            print_note(f"{_words(quantity)}: {compared} of the {days} days are compared; no file has it of the others.")
    if found.is_cut:
        print_note("A page says that there is another behind it, which no file has: what it states is missing here.")


def _verdict(found: Reconciliation) -> str:
    days = f"{found.first_day} to {found.last_day}"
    beyond, all_of = len(found.beyond), len(found.differences) - len(found.unnamed)
    if beyond:
        return f"{beyond} of {all_of} numbers of {found.provider} differ, {days}."
    if not found.has_agreed:
        return f"Each of the {all_of} numbers of {found.provider} is within the tolerance, their total is not, {days}."
    if not all_of:
        return f"Neither the ledger nor the files have anything of {found.provider}, {days}."
    if all_of == 1:
        return f"The one number of {found.provider} agrees, {days}."
    return f"All {all_of} numbers of {found.provider} agree, {days}."


def _cells(each: Difference) -> list[str]:
    model = each.model or _WITHOUT_NAME[each.scope]
    return [
        each.day or "total",
        model if each.day else "",
        _words(each.quantity),
        _number(each, each.ours),
        _number(each, each.theirs),
        _number(each, each.difference, sign="+"),
        "only ours" if each.percent is None and each.ours else f"{each.percent or 0:+.2f}%",
        "differs" if each.is_beyond else "",
    ]


def _words(quantity: Quantity) -> str:
    return quantity.replace("_", " ").replace("usd", "USD")


def _number(each: Difference, value: Decimal, sign: str = "") -> str:
    comma = "," if is_terminal() else ""
    return f"{value:{sign}{comma}.4f}" if each.quantity == "cost_usd" else f"{value:{sign}{comma}.0f}"


def _document(found: Reconciliation) -> dict[str, object]:
    return {
        "provider": found.provider,
        "first_day": found.first_day,
        "last_day": found.last_day,
        "agrees": found.has_agreed,
        "days": found.days,
        "is_cut": found.is_cut,
        "differences": [_plain(each) for each in found.differences],
        "totals": [_plain(each) for each in found.totals],
    }


def _plain(each: Difference) -> dict[str, object]:
    return {
        "day": each.day or None,
        "model": each.model or None,
        "scope": each.scope,
        "quantity": each.quantity,
        "ours": f"{each.ours:f}",
        "theirs": f"{each.theirs:f}",
        "difference": f"{each.difference:f}",
        "percent": None if each.percent is None else f"{each.percent:.4f}",
        "is_beyond": each.is_beyond,
        "estimated": each.estimated,
        "unpriced": each.unpriced,
    }
