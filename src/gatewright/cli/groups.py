"""Commands that have commands of their own: all behave alike."""

from __future__ import annotations

from typing import Any

import typer


def command_group(help: str | None = None, **settings: Any) -> typer.Typer:
    """A group without commands yet; `settings` are Typer's, where one is to be another.

    Help is what it prints when it is called alone, errors go to `main` as they are, and `-h` is `--help`.
    """
    alike: dict[str, Any] = {
        "no_args_is_help": True,
        "pretty_exceptions_enable": False,
        "rich_markup_mode": "markdown",
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }
    return typer.Typer(**alike | ({} if help is None else {"help": help}) | settings)
