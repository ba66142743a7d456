"""Where the files stand that bring into the configuration what the admin API keeps (`control.managed_files`).

Apart from what writes them, since a start reads them and should not wait for a database's libraries.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

DIRECTORY: Final = "managed"
"""Of a state directory."""


def budgets_file(state: Path) -> Path:
    """The budgets that the admin API keeps, as policies; absent while there are none."""
    return state / DIRECTORY / "budgets.json"


def configuration_file(state: Path) -> Path:
    """The active version of the configuration; absent before the first one is applied."""
    return state / DIRECTORY / "configuration.yaml"


def default_file(state: Path) -> Path:
    """What a gateway without configuration found to serve when it started."""
    return state / DIRECTORY / "default.json"


def managed_sources(state: Path) -> list[Path]:
    """The files that make the configuration of a gateway that was started without any."""
    configuration = configuration_file(state)
    return [configuration if configuration.exists() else default_file(state), *extra_sources(state)]


def extra_sources(state: Path) -> list[Path]:
    """The files that are added to those a gateway was started with."""
    budgets = budgets_file(state)
    return [budgets] if budgets.exists() else []


def write_file(path: Path, data: bytes) -> None:
    """Replace a file at once, for its owner's eyes only. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)
