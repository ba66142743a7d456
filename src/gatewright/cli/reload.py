"""`gatewright reload`: asks a running gateway to read its configuration again, or to replace its workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from gatewright.cli.exits import Failure
from gatewright.cli.output import print_json, print_line
from gatewright.cli.state import default_state_dir, running_pid


def reload(
    workers: Annotated[
        bool,
        typer.Option("--workers", help="Replace the worker processes one by one instead; no connection is dropped."),
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="State directory of the gateway, as given to `serve`.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a running gateway read its configuration again, or replace its workers one by one.

    Only asks: a configuration that is wrong is refused and the old one keeps serving; the gateway's log and `/readyz`
    on the admin listener say what came of it. The same as SIGHUP (or SIGUSR2 for the workers) to the process that
    `gatewright serve` started.

    Examples:

        gatewright check gatewright.yaml && gatewright reload
        gatewright reload --workers           # after the package was upgraded
    """
    directory = state or default_state_dir()
    pid = running_pid(directory)
    if pid is None:
        raise Failure(
            f"no gateway runs with the state directory {directory}", hint="name the one given to `serve` with --state"
        )
    try:
        os.kill(pid, signal.SIGUSR2 if workers else signal.SIGHUP)
    except PermissionError:
        raise Failure(f"the gateway (pid {pid}) belongs to another user", hint="run this as that user") from None
    except ProcessLookupError:
        raise Failure(f"the gateway (pid {pid}) has just ended") from None
    asked = "replace its workers" if workers else "read its configuration again"
    if json:
        print_json({"pid": pid, "asked": "workers" if workers else "configuration"})
    else:
        print_line(f"asked the gateway (pid {pid}) to {asked}")
