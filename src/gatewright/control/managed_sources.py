"""Where the files stand that bring into the configuration what the admin API keeps (`control.managed_files`).

Apart from what writes them, since a start reads them and should not wait for a database's libraries.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatewright.config.problems import ConfigError

DIRECTORY: Final = "managed"
"""Of a state directory."""
_PLACE: Final = re.compile(r"^policies\[\d+\]\.?")


class _Budgets(Struct):
    policies: list[dict[str, Any]]


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


def budget_names(data: bytes) -> list[str]:
    """The names of the budgets in their file; none when it is not what the gateway wrote."""
    return [policy["name"] for policy in _policies(data) if isinstance(policy.get("name"), str)]


def without_budgets(data: bytes, names: Collection[str]) -> bytes:
    """Their file without some of them."""
    kept = [policy for policy in _policies(data) if policy.get("name") not in names]
    return msgspec.json.encode({"policies": kept})


def placed_in_budget(error: ConfigError) -> ConfigError:
    """An error by its place in the budget: where that stands among all policies means nothing to who reads of one."""
    return ConfigError(_PLACE.sub("", error.path), error.message)


def _policies(data: bytes) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(data, type=_Budgets).policies
    except msgspec.MsgspecError:
        return []
