"""`gatewright serve`: reads and checks the configuration, then becomes the supervisor until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from gatewright import __version__
from gatewright.cli.control_command import control_command
from gatewright.cli.defaults import (
    DevelopmentKey,
    default_document,
    development_key,
    keep_key,
    render_default,
    start_screen,
)
from gatewright.cli.loading import Checked, check_loaded, check_with_budgets, read_files
from gatewright.cli.models import published_rows
from gatewright.cli.models_dir import models_dir
from gatewright.cli.output import is_terminal, print_note
from gatewright.cli.state import StateLock, default_state_dir, note_database
from gatewright.config.documents import Gateway
from gatewright.config.transport import encode
from gatewright.control.managed_sources import configuration_file, default_file, placed_in_budget, write_file
from gatewright.providers import PROVIDERS
from gatewright.server.children import python_command
from gatewright.server.local_children import ReservedPorts, installed_models
from gatewright.server.supervisor import Plan, Supervisor
from gatewright.telemetry.log import Log

MAX_WORKERS: Final = 256
Show = Callable[[str, str], None]
"""Called once it serves, with the bound addresses `(listen, admin)`: tells a person so."""


def serve(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", metavar="FILE|DIR", help="The configuration; without it, what is found here."),
    ] = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where clients call; overrides the file.")
    ] = None,
    admin: Annotated[
        str | None, typer.Option("--admin", metavar="HOST:PORT", help="Health, metrics, admin API; overrides the file.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=MAX_WORKERS, help="Data-plane processes; one uses one core.")
    ] = 1,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="Where it keeps state; default is a directory per address."),
    ] = None,
) -> None:
    """Run the gateway until SIGTERM or Ctrl-C; running exchanges are finished first.

    Without a configuration it publishes what it finds: a provider for every key in the environment (OPENAI_API_KEY, …)
    and the local models that were pulled. It makes a key for development then, and shows a call to copy.

    SIGHUP, `gatewright reload` or a changed file make it read the configuration again; one that is wrong is refused and
    the one before keeps serving.

    Examples:

        gatewright serve
        gatewright serve -c gatewright.yaml
        gatewright serve -c /etc/gatewright --workers 4 --state /var/lib/gatewright
    """
    overrides = {name: value for name, value in (("listen", listen), ("admin", admin)) if value is not None}
    ports = ReservedPorts()
    try:
        if config is None:
            code = _serve_defaults(overrides, workers, state, ports)
        else:
            code = _serve_file(config, overrides, workers, state, ports)
    finally:
        ports.close()
    raise typer.Exit(code)


def _serve_file(
    config: Path, overrides: Mapping[str, str], workers: int, state: Path | None, ports: ReservedPorts
) -> int:
    loaded = read_files(config, overrides)
    directory = state or default_state_dir(check_loaded(loaded).written.listen)
    with StateLock(directory):
        checked = check_with_budgets([config], overrides, directory, ports)
        command = _control_command([config], overrides, checked, directory)
        return run(checked, command, workers, directory, partial(_show, checked) if is_terminal() else _show_nothing)


def _serve_defaults(overrides: Mapping[str, str], workers: int, state: Path | None, ports: ReservedPorts) -> int:
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    directory = state or default_state_dir(overrides.get("listen", Gateway().listen))
    with StateLock(directory):
        if configuration_file(directory).exists():
            return _serve_managed(overrides, workers, directory, ports)
        key = development_key(directory)
        document = default_document(environment, PROVIDERS, installed_models(models_dir()), key.hash)
        write_file(default_file(directory), render_default(document)[1])
        checked = check_with_budgets([default_file(directory)], overrides, directory, ports)
        command = _control_command([], overrides, checked, directory)

        def show(at: str, admin: str) -> None:
            screen = start_screen(document, PROVIDERS, key, listen=at, admin=admin, state=directory)
            if _print_screen(screen) and key.key is not None:
                _keep(key, directory)

        return run(checked, command, workers, directory, show)


def _serve_managed(overrides: Mapping[str, str], workers: int, directory: Path, ports: ReservedPorts) -> int:
    """Serve the version of the configuration that was last applied through the admin API."""
    checked = check_with_budgets([configuration_file(directory)], overrides, directory, ports)
    command = _control_command([], overrides, checked, directory)
    return run(checked, command, workers, directory, partial(_show, checked) if is_terminal() else _show_nothing)


def _control_command(
    config: Sequence[Path], overrides: Mapping[str, str], checked: Checked, state: Path
) -> tuple[str, ...]:
    local_children, unfit = checked.local_children, list(checked.unfit)
    return control_command(
        config, overrides=overrides, local_children=local_children, state=state, unserved_budgets=unfit
    )


def _show(checked: Checked, listen: str, admin: str) -> None:
    _print_screen(render_screen(checked, listen, admin))


def _show_nothing(listen: str, admin: str) -> None:
    return


def _print_screen(screen: str) -> bool:
    """Whether it could be shown."""
    try:
        print_note(f"\n{screen}\n")
    except OSError:
        return False  # nobody reads any more; it serves all the same
    return True


def _keep(key: DevelopmentKey, state: Path) -> None:
    try:
        keep_key(key, state)
    except OSError as error:
        print_note(f"The development key cannot be kept in {state} ({error.strerror}): the next start makes another.")


def run(checked: Checked, control: tuple[str, ...], workers: int, state: Path, show: Show) -> int:
    """Supervise a gateway to its end and give the exit code. `control` is the command of the control process."""
    log = Log("supervisor")
    for warning in checked.warnings:
        log.warning(str(warning))
    for name, errors in checked.unfit.items():
        reason = "; ".join(str(placed_in_budget(error)) for error in errors)
        log.error("a budget of the admin API does not fit and is not served", budget=name, reason=reason)
    document = checked.served
    note_database(state, is_elsewhere=document.database.url is not None)
    plan = Plan(
        document=encode(document),
        listen=document.listen,
        admin=document.admin,
        worker_command=python_command("gatewright.server.worker", "--state", str(state.absolute())),
        control_command=control,
        workers=workers,
        drain_s=document.timeouts.drain_s,
        services=tuple(child.service for child in checked.local_children),
    )
    return asyncio.run(Supervisor(plan, log, show).run())


def render_screen(checked: Checked, listen: str, admin: str) -> str:
    """What a person sees when a configured gateway serves."""
    scheme = "https" if checked.written.tls is not None else "http"
    rows = published_rows(checked)
    width = max((len(row.model) for row in rows), default=0)
    lines = [
        f"Gatewright {__version__} serves {scheme}://{listen}/v1  (health, metrics, admin API: http://{admin})",
        "",
    ]
    shown = ""
    for row in rows:
        name = row.model if row.model != shown else ""
        shown = row.model
        lines.append(f"  {name:<{width}}  {row.share:>8}  {row.provider}: {row.upstream_model or '(as called)'}")
    return "\n".join([*lines, "", "`gatewright reload` applies a changed configuration; Ctrl-C stops."])
