"""The entry point: finds the command, runs it, and turns every outcome into an exit code.

Start-up time is part of the product (`gatewright version` is what a health check or a prompt runs), so only the module
of the command that was asked for is imported; `--help` and a mistyped name import them all.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import typer

from gatewright.cli.exits import Exit, Failure
from gatewright.cli.groups import command_group
from gatewright.cli.output import print_config_errors, print_failure
from gatewright.config.problems import InvalidConfig

COMMANDS: Final[tuple[tuple[str, str], ...]] = (
    ("serve", "gatewright.cli.serve:serve"),
    ("check", "gatewright.cli.check:check"),
    ("init", "gatewright.cli.init:init"),
    ("schema", "gatewright.cli.schema:schema"),
    ("models", "gatewright.cli.models:models"),
    ("local", "gatewright.cli.local:app"),
    ("demo", "gatewright.cli.demo:demo"),
    ("key", "gatewright.cli.key:key"),
    ("keys", "gatewright.cli.keys:app"),
    ("consumers", "gatewright.cli.consumers:app"),
    ("tokens", "gatewright.cli.tokens:app"),
    ("admin-keys", "gatewright.cli.admin_keys:app"),
    ("usage", "gatewright.cli.usage:app"),
    ("ledger", "gatewright.cli.ledger:app"),
    ("audit", "gatewright.cli.audit:app"),
    ("database", "gatewright.cli.database:app"),
    ("explain-translation", "gatewright.cli.explain_translation:explain_translation"),
    ("reload", "gatewright.cli.reload:reload"),
    ("version", "gatewright.cli.version:version"),
)
"""Every command in the order of `--help`: its name, and `module:attribute` of its function or of a Typer of its own."""

HELP: Final = """Gatewright: one address for every model, in the API of every vendor's SDK.

Start here:

    gatewright serve                      # what the environment offers
    gatewright init                       # write a configuration to edit
    gatewright serve -c gatewright.yaml

Exit codes: 0 done; 1 could not be carried out; 2 the command line or the configuration is wrong; 130 interrupted.
"""


def build_app(names: Sequence[str] | None = None) -> typer.Typer:
    """The command line with the named commands, or with all of them."""
    app = command_group(HELP, name="gatewright")
    # Without a callback, Typer runs a sole command directly instead of expecting its name.
    app.callback()(lambda: None)
    for name, place in COMMANDS:
        if names is None or name in names:
            module, _, attribute = place.partition(":")
            command = getattr(import_module(module), attribute)
            if isinstance(command, typer.Typer):
                app.add_typer(command, name=name)
            else:
                app.command(name)(command)
    return app


def run(arguments: Sequence[str]) -> int:
    """Run one command line and give its exit code; nothing an operator can cause ends in a traceback."""
    asked = arguments[0] if arguments else ""
    names = [asked] if any(asked == name for name, _ in COMMANDS) else None
    try:
        _check_text(arguments)
        build_app(names)(list(arguments), prog_name="gatewright")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else Exit.OK if done.code is None else Exit.FAILURE
    except Failure as failure:
        print_failure(failure.message, failure.hint)
        return failure.code
    except InvalidConfig as refused:
        print_config_errors(refused)
        return Exit.USAGE
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as error:
        print_failure(str(error))
        return Exit.FAILURE
    except Exception as error:
        if os.environ.get("GATEWRIGHT_TRACEBACK"):  # noqa: TID251 - cli is the room that may read the environment
            raise
        print_failure(
            f"{type(error).__name__}: {error}",
            "this is a defect of gatewright; set GATEWRIGHT_TRACEBACK=1 to see where, and please report it",
        )
        return Exit.FAILURE
    return Exit.OK


def _check_text(arguments: Sequence[str]) -> None:
    """Raises Failure for bytes that are no text, which nothing that is named on a command line may hold."""
    for argument in arguments:
        if not argument.isascii() and any("\ud800" <= character <= "\udfff" for character in argument):
            raise Failure(f"the argument {argument!a} is not UTF-8", code=Exit.USAGE)


def _flushed(code: int) -> int:
    """The exit code once everything printed is where it should be: a full disk shows only now."""
    if sys.stdout is None:  # closed by whoever started this (`>&-`): then nothing was printed
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        print_failure(f"the result cannot be written: {error}")
        # What Python still holds would fail once more as it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or Exit.FAILURE
    return code


def main() -> None:
    """The console script."""
    sys.exit(_flushed(run(sys.argv[1:])))
