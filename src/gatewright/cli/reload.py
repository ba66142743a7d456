"""`gatewright reload`: asks a running gateway to read its configuration again, or to replace its workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.output import print_json, print_line
from gatewright.cli.state import running_pid, running_state_dirs


def reload(
    workers: Annotated[
        bool,
        typer.Option("--workers", help="Replace the worker processes one by one instead; no connection is dropped."),
    ] = False,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="DIR", help="State directory, if `serve` was given one.")
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
    pid = _find_gateway(state)
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


def _find_gateway(state: Path | None) -> int:
    """The process to ask. Raises Failure when there is none, or more than one that could be meant."""
    directories = [state] if state is not None else running_state_dirs()
    if len(directories) > 1:
        listed = "".join(f"\n  {directory}" for directory in directories)
        raise Failure(f"several gateways run; say which one with --state:{listed}", code=Exit.USAGE)
    pid = running_pid(directories[0]) if directories else None
    if pid is None:
        where = f" with the state directory {state}" if state is not None else ""
        raise Failure(f"no gateway runs{where}", hint="if `serve` was given --state, name the same directory here")
    return pid
