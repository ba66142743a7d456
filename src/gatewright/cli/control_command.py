"""The command line of the control process: written by `serve`, read by `cli.control`. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from gatewright.server.children import python_command
from gatewright.server.local_children import LocalChild, parse_children, render_children


def control_command(
    configs: Sequence[Path],
    *,
    overrides: Mapping[str, str],
    local_children: Sequence[LocalChild],
    state: Path,
    unserved_budgets: Sequence[str] = (),
) -> tuple[str, ...]:
    """The command; the supervisor adds the file descriptors.

    `configs` are the files and folders to read again (none: what the state directory keeps), `overrides` top-level
    values from the command line (`listen`, `admin`), `local_children` the local models that run, `state` the state
    directory, `unserved_budgets` those of the admin API that did not fit the rest.
    """
    options = [word for path in configs for word in ("--config", str(path))]
    options += [word for name, value in overrides.items() for word in ("--override", f"{name}={value}")]
    options += ["--local-children", render_children(local_children)] if local_children else []
    options += [f"--unserved-budget={name}" for name in unserved_budgets]
    return python_command("gatewright.cli.control", "--state", str(state.absolute()), *options)


class ControlOptions(argparse.Namespace):
    """What the control process was started with."""

    channel_fd: int
    telemetry_fd: int
    admin_fd: int
    state: Path
    config: list[Path]
    override: list[str]
    local_children: tuple[LocalChild, ...]
    unserved_budget: list[str]

    @property
    def overrides(self) -> dict[str, str]:
        """Top-level values of the document by name."""
        return {name: value for name, _, value in (word.partition("=") for word in self.override)}


def parse_options(arguments: Sequence[str] | None = None) -> ControlOptions:
    """The options of the command line."""
    parser = argparse.ArgumentParser(prog="gatewright.cli.control", description="Started by the supervisor.")
    parser.add_argument("--channel-fd", type=int, required=True)
    parser.add_argument("--telemetry-fd", type=int, required=True)
    parser.add_argument("--admin-fd", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--config", type=Path, action="append", default=[])
    parser.add_argument("--override", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--local-children", type=parse_children, default=())
    parser.add_argument("--unserved-budget", action="append", default=[], metavar="NAME")
    return parser.parse_args(arguments, namespace=ControlOptions())
