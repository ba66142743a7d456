"""`gatewright database`: brings the control plane's database to this version; and how other commands open it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.loading import read_files
from gatewright.cli.output import print_json, print_line
from gatewright.cli.state import default_state_dir, has_database_elsewhere, running_state_dirs, state_root
from gatewright.config.database import Database
from gatewright.config.problems import InvalidConfig
from gatewright.store.database import FILE, UnusableDatabase, migrate, open_database, status

app = command_group("The database of keys, budgets and the ledger: SQLite in the state directory, or PostgreSQL.")

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE|DIR", help="The configuration that `serve` was given, if any."),
]
State = Annotated[
    Path | None, typer.Option("--state", metavar="DIR", help="The state directory that `serve` was given, if any.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def opened(
    config: Path | None, state: Path | None, *, read_only: bool = True, current: bool = True
) -> Iterator[Engine]:
    """The database of the gateway that is meant, whether it runs or not; what goes wrong with it is a Failure.

    With `current` a database that this version has yet to migrate is refused.
    """
    document, directory = place(config, state)
    if config is None and has_database_elsewhere(directory):
        # Its SQLite file, if there is one, is of before: a key that is made there would never hold.
        hint = "name its configuration with -c, where `database.url` says which"
        raise Failure(f"the gateway of {directory} keeps its database elsewhere", code=Exit.USAGE, hint=hint)
    try:
        engine = open_database(
            None if document.url is None else document.url.reveal(),
            directory,
            pool_size=document.pool_size,
            statement_timeout_s=document.statement_timeout_s,
            read_only=read_only,
        )
        try:
            if current and not status(engine).is_current:
                raise Failure(
                    "the database is not at this version yet",
                    hint="a gateway of this version migrates it when it starts; or run `gatewright database migrate`",
                )
            yield engine
        finally:
            engine.dispose()
    except UnusableDatabase as error:
        raise Failure(error.message, hint=error.hint) from None
    except DBAPIError as error:
        raise Failure(f"the database cannot be used: {' '.join(str(error.orig).split())}") from None


@app.command("status")
def show_status(config: Config = None, state: State = None, json: Json = False) -> None:
    """Say whether the database is at this version: exit code 0 if it is, 1 if it has yet to be migrated."""
    with opened(config, state, current=False) as engine:
        found = status(engine)
    if json:
        print_json({"at": found.at, "newest": found.newest, "is_current": found.is_current})
    else:
        at = "is empty" if found.at is None else f"is at migration {found.at}"
        print_line(f"the database {at}; the newest is {found.newest}")
    raise typer.Exit(Exit.OK if found.is_current else Exit.FAILURE)


@app.command("migrate")
def run_migrations(config: Config = None, state: State = None, json: Json = False) -> None:
    """Bring the database to this version. Nothing to do is fine, and so is another that does it at the same time.

    A gateway does this by itself when it starts. Run it beforehand when the gateway's own database user may not change
    tables.
    """
    with opened(config, state, read_only=False, current=False) as engine:
        before = status(engine).at
        migrate(engine)
        after = status(engine).at
    if json:
        print_json({"before": before, "after": after})
    elif before == after:
        print_line(f"the database was at migration {after} already")
    else:
        print_line(f"the database went from {before or 'nothing'} to migration {after}")


def place(config: Path | None, state: Path | None) -> tuple[Database, Path]:
    """The `database` section and the state directory that are meant."""
    if config is None:
        return Database(), state or _only_state_dir()
    loaded = read_files(config, {})
    if loaded.document is None:
        raise InvalidConfig(loaded.errors)
    return loaded.document.database, state or default_state_dir(loaded.document.listen)


def _only_state_dir() -> Path:
    """The state directory of the gateway that runs, or else of the only one that ever did."""
    running = running_state_dirs()
    found = running or sorted(file.parent for file in state_root().glob(f"*/{FILE}"))
    if len(found) > 1:
        listed = "".join(f"\n  {directory}" for directory in found)
        what = "several gateways run" if running else "several gateways have run"
        raise Failure(f"{what}; say which one with --state or --config:{listed}", code=Exit.USAGE)
    if not found:
        raise Failure("no gateway has kept anything yet", hint="name its configuration with -c, or its --state")
    return found[0]
