"""The control process's entry: `python -m gatewright.cli.control`, started by the supervisor only.

It is in this room because it reads files and the environment; what it does is in `gatewright.control`.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import uvloop

from gatewright.cli.catalogue import with_catalogue
from gatewright.cli.control_checks import Checks
from gatewright.cli.control_command import ControlOptions, parse_options
from gatewright.cli.egress import apply_egress_proxy
from gatewright.cli.managed_budgets import LenientSource
from gatewright.cli.sources import FileSource
from gatewright.config.documents import Gateway
from gatewright.config.load import Loaded
from gatewright.config.problems import InvalidConfig
from gatewright.control.access_log import AccessLog
from gatewright.control.administration import Sources
from gatewright.control.managed_sources import budgets_file, extra_sources, managed_sources
from gatewright.control.process import ControlProcess
from gatewright.control.reading import Reading
from gatewright.control.trial import build_for_trial
from gatewright.server.local_children import LocalChild, bind_local_models
from gatewright.telemetry.log import Log, capture_standard_logging

NICENESS: Final = 10
"""How far the control process stands back behind the workers."""


def build_reading(options: ControlOptions, log: Log) -> Reading:
    """How the configuration is read again."""
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    source = FileSource(
        lambda: sources_of(options),
        environment=environment,
        overrides=options.overrides,
        budgets=budgets_file(options.state),
    )

    def check_document(document: Gateway) -> Gateway:
        return check(document, options.local_children, environment)

    def check_loaded(loaded: Loaded) -> None:
        if loaded.document is None:
            raise InvalidConfig(loaded.errors)
        check_document(loaded.document)

    return Reading(LenientSource(source, check_loaded, options.unserved_budget), check_document, log)


def build_sources(options: ControlOptions) -> Sources:
    """What administration asks about the configuration."""
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    checks = Checks(
        options.state,
        lambda: sources_of(options),
        environment,
        lambda document: check(document, options.local_children, environment),
        options.overrides,
    )
    return Sources(
        state=options.state,
        check=checks.document,
        check_budget=checks.budget,
        read_files=checks.read_files if options.config else None,
    )


def sources_of(options: ControlOptions) -> list[Path]:
    """The files that make the configuration: those it was started with, and what the admin API keeps."""
    if options.config:
        return [*options.config, *extra_sources(options.state)]
    return managed_sources(options.state)


def check(document: Gateway, local_children: Sequence[LocalChild], environment: Mapping[str, str]) -> Gateway:
    """The document as it is served: built for trial, given the environment's egress proxy, its local models bound, its
    part of the model catalogue added.

    Raises InvalidConfig with every error.
    """
    build_for_trial(document)
    return with_catalogue(bind_local_models(apply_egress_proxy(document, environment), local_children))


def main() -> None:
    """Run until the supervisor closes the channel."""
    options = parse_options()
    # What the workers wrote can wait in their journals; who calls a model cannot. On a core that is busy with requests
    # this leaves the ledger about a tenth of it, and all of it otherwise.
    os.nice(NICENESS)
    log = Log("control")
    capture_standard_logging(log)
    stdout = sys.stdout.fileno()
    process = ControlProcess(
        channel=socket.socket(fileno=options.channel_fd),
        telemetry=socket.socket(fileno=options.telemetry_fd),
        admin=socket.socket(fileno=options.admin_fd),
        reading=build_reading(options, log),
        access_log=AccessLog(stdout, is_terminal=os.isatty(stdout)),
        log=log,
        sources=build_sources(options),
    )
    # The ledger's entries live for one batch. Were garbage collected as often as by default, they and all that start-up
    # made would be walked again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    uvloop.run(process.run())


if __name__ == "__main__":
    main()
