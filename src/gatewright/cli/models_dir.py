"""Where the weights of the bundled models are kept."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_POINTER: Final = "gatewright-models"
"""File in a virtual environment that names the folder given to `gatewright local pull --to`."""


def models_dir() -> Path:
    """`$GATEWRIGHT_MODELS`, else where `pull --to` of this virtual environment put them, else the user's cache."""
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    if chosen := environment.get("GATEWRIGHT_MODELS"):
        return Path(chosen).absolute()
    with suppress(OSError):
        remembered = Path((Path(sys.prefix) / _POINTER).read_text(encoding="utf-8").strip())
        if remembered.is_dir():
            return remembered
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gatewright" / "models"


def remember_models_dir(folder: Path) -> None:
    """Let `serve` and `demo` of the same virtual environment find the weights without being told."""
    if sys.prefix == sys.base_prefix:
        return
    with suppress(OSError):  # a read-only environment has GATEWRIGHT_MODELS instead
        (Path(sys.prefix) / _POINTER).write_text(f"{folder}\n", encoding="utf-8")
