"""`gatewright version`."""

from __future__ import annotations

import platform
from typing import Annotated

import typer

from gatewright import IS_COMPILED, __version__
from gatewright.cli.output import print_json, print_line


def version(
    json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print JSON: the version, whether it is compiled, Python's version and the platform."
        ),
    ] = False,
) -> None:
    """Print the version.

    Example:

        gatewright version --json
    """
    if json:
        print_json(
            {
                "version": __version__,
                "compiled": IS_COMPILED,
                "python": platform.python_version(),
                "platform": platform.platform(),
            }
        )
    else:
        print_line(f"gatewright {__version__} ({'compiled' if IS_COMPILED else 'interpreted'})")
