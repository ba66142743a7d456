"""Reading a configuration for a command: everything `serve` would find wrong with it, found without serving."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from gatewright.cli.catalogue import with_catalogue
from gatewright.cli.egress import apply_egress_proxy
from gatewright.cli.managed_budgets import Unfit, find_unfit
from gatewright.cli.models_dir import models_dir
from gatewright.cli.sources import FileSource
from gatewright.config.documents import Gateway
from gatewright.config.load import Loaded
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.control.managed_sources import budgets_file, extra_sources
from gatewright.control.trial import build_for_trial
from gatewright.pipeline.snapshot import Snapshot
from gatewright.server.local_children import LocalChild, bind_local_models, plan_local_children


class Checked(Struct, frozen=True):
    """A configuration that can be served on this machine."""

    written: Gateway
    """The document as it was written."""
    served: Gateway
    """The same with the environment's egress proxy, every local model bound to the process that will serve it, and the
    rows of the model catalogue that its targets may come to."""
    local_children: tuple[LocalChild, ...]
    snapshot: Snapshot
    """As a worker would compile what was written."""
    warnings: tuple[ConfigError, ...]
    unfit: Unfit = {}
    """Budgets of the admin API that do not fit the rest and are left out."""


def read_files(config: Path, overrides: Mapping[str, str], *more: Path) -> Loaded:
    """Read a file or a folder, and `more` of them. Raises InvalidConfig when there is nothing that can be read."""
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    return FileSource(lambda: [config, *more], environment=environment, overrides=overrides).load()


def check_loaded(loaded: Loaded, reserve: Callable[[], int] = lambda: 0) -> Checked:
    """Check what was read as far as this machine can. Raises InvalidConfig with every error, each with its line.

    `reserve` gives a port for each local model; what is only checked needs none.
    """
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    document = loaded.document
    if document is None:
        raise InvalidConfig(loaded.errors)
    try:
        snapshot = build_for_trial(document)
        children = plan_local_children(document, models_dir(), reserve)
        served = with_catalogue(bind_local_models(apply_egress_proxy(document, environment), children))
    except InvalidConfig as refused:
        raise InvalidConfig(loaded.place(refused.errors)) from None
    return Checked(document, served, children, snapshot, loaded.warnings)


def check_with_budgets(
    files: Sequence[Path], overrides: Mapping[str, str], state: Path, reserve: Callable[[], int]
) -> Checked:
    """Check files together with the budgets of a state directory; those that do not fit are left out.

    Raises InvalidConfig with every error of the rest.
    """
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    paths = [*files, *extra_sources(state)]
    source = FileSource(lambda: paths, environment=environment, overrides=overrides, budgets=budgets_file(state))
    try:
        return check_loaded(source.load(), reserve)
    except InvalidConfig:
        unfit = find_unfit(source, check_loaded)
    return msgspec.structs.replace(check_loaded(source.load(without=unfit), reserve), unfit=unfit)
