"""`gatewright check`: says everything that is wrong with a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gatewright.cli.exits import Exit
from gatewright.cli.loading import check_loaded, read_files
from gatewright.cli.output import print_config_errors, print_json, print_line, print_note
from gatewright.config.documents import Gateway
from gatewright.config.problems import InvalidConfig
from gatewright.control.managed_sources import extra_sources


def check(
    config: Annotated[Path, typer.Argument(metavar="FILE|DIR", help="The configuration.")],
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Check it with the budgets that this gateway's admin API keeps.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: whether it is right, errors, warnings.")] = False,
) -> None:
    """Say everything that is wrong with a configuration, each with its file and line; nothing is started.

    It is right when `serve` would run it on this machine: references resolve, local models are there. Exit code 0 when
    it is right (there may be warnings), 2 when it is not.

    With `--state` it must also fit the budgets that the admin API keeps in that state directory. A gateway that runs
    refuses files that do not; one that starts leaves out the budgets that do not fit.

    Examples:

        gatewright check gatewright.yaml
        gatewright check /etc/gatewright && systemctl reload gatewright
        gatewright check gatewright.yaml --state /var/lib/gatewright
        gatewright check gatewright.yaml --json | jq '.errors[].path'
    """
    try:
        checked = check_loaded(read_files(config, {}, *([] if state is None else extra_sources(state))))
    except InvalidConfig as refused:
        if json:
            print_json({"ok": False, "errors": msgspec.to_builtins(refused.errors), "warnings": []})
        else:
            print_config_errors(refused)
        raise typer.Exit(Exit.USAGE) from None
    if json:
        print_json({"ok": True, "errors": [], "warnings": msgspec.to_builtins(checked.warnings)})
        return
    for warning in checked.warnings:
        print_note(f"warning: {warning}")
    print_line(f"{config}: right: {_describe(checked.written)}")


def _describe(document: Gateway) -> str:
    applications = sum(len(team.apps) for org in document.consumers.values() for team in org.teams.values())
    counts = (
        (len(document.providers), "provider"),
        (len(document.models), "model"),
        (applications, "application"),
        (len(document.policies), "policy"),
    )
    return ", ".join(f"{count} {_plural(word) if count != 1 else word}" for count, word in counts)


def _plural(word: str) -> str:
    return "policies" if word == "policy" else word + "s"
