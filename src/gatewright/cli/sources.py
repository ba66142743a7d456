"""Where configuration comes from: files and folders, and the environment behind `${env:…}` and `${file:…}`.

This is the one place that reads them. Changes are noticed by comparing size, time and inode of every file that took
part, the referenced ones included, which works the same on every file system and for Kubernetes' swapped symlinks.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Final

from gatewright.config.load import MAX_FILE_BYTES, Loaded, load
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.control.managed_sources import budget_names, without_budgets

SUFFIXES: Final = (".yaml", ".yml", ".json")
"""Files of a folder that are configuration."""
MAX_SECRET_BYTES: Final = 1024 * 1024


class Resolver:
    """Gives what a reference stands for, and remembers the files it read."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.files: set[Path] = set()

    def __call__(self, scheme: str, name: str) -> str | None:
        """The value, or None when there is none. Raises OSError or ValueError for a file that cannot be read."""
        if scheme == "env":
            return self._environment.get(name)
        path = Path(name)
        self.files.add(path)
        try:
            data = _read_file(path, MAX_SECRET_BYTES + 1)
        except FileNotFoundError:
            return None
        if len(data) > MAX_SECRET_BYTES:
            raise ValueError(f"larger than {MAX_SECRET_BYTES >> 20} MiB")
        return data.decode()


class FileSource:
    """Files and folders, read as one document; of a folder every `.yaml`, `.yml` and `.json` file that is not hidden.

    `paths` is asked each time: what the admin API keeps comes and goes. `overrides` replaces top-level values, as given
    on the command line. `budgets` is the one of the paths that holds the budgets of the admin API.
    """

    def __init__(
        self,
        paths: Callable[[], Sequence[Path]],
        *,
        environment: Mapping[str, str],
        overrides: Mapping[str, str] | None = None,
        budgets: Path | None = None,
    ) -> None:
        self._paths = paths
        self._budgets = budgets
        self._environment = environment
        self._overrides = dict(overrides or {})
        self._references: set[Path] = set()

    def load(self, without: Collection[str] = ()) -> Loaded:
        """Read and check everything but the budgets named by `without`.

        Raises InvalidConfig when files are missing, unreadable or too large.
        """
        errors: list[ConfigError] = []
        files: list[tuple[str, bytes]] = []
        for path in self._files(errors):
            try:
                # One byte more than is allowed, so that `load` sees that it is too large, and says so.
                data = _read_file(path, MAX_FILE_BYTES + 1)
                if without and path == self._budgets:
                    data = without_budgets(data, without)
                files.append((str(path), data))
            except (OSError, ValueError) as error:
                errors.append(ConfigError("", f"cannot be read: {_reason(error)}", str(path)))
        if errors:
            raise InvalidConfig(errors)
        resolve = Resolver(self._environment)
        loaded = load(files, resolve, overrides=self._overrides)
        self._references = resolve.files
        return loaded

    def budget_names(self) -> list[str]:
        """The names of the budgets that `load` can leave out."""
        if self._budgets is None:
            return []
        try:
            return budget_names(_read_file(self._budgets, MAX_FILE_BYTES))
        except (OSError, ValueError):
            return []

    def fingerprint(self) -> Hashable:
        """Changes whenever a file that takes part may have changed, came or went. Never raises."""
        return tuple((str(path), _stamp(path)) for path in [*self._files([]), *sorted(self._references)])

    def files(self) -> list[Path]:
        """The files themselves, those of folders included, as far as they are there."""
        return [path for path in self._files([]) if path.is_file()]

    def _files(self, errors: list[ConfigError]) -> list[Path]:
        found: list[Path] = []
        for path in self._paths():
            if not path.is_dir():
                found.append(path)
                continue
            try:
                inside = sorted(entry for entry in path.iterdir() if _is_configuration(entry))
            except OSError as error:
                errors.append(ConfigError("", f"cannot be read: {_reason(error)}", str(path)))
                continue
            if not inside:
                errors.append(ConfigError("", f"the folder holds no {', '.join(SUFFIXES)} file", str(path)))
            found += inside
        return found


def _is_configuration(path: Path) -> bool:
    return path.suffix in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _read_file(path: Path, limit: int) -> bytes:
    """At most `limit` bytes of a regular file; a pipe could be read once only, and a device might never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("not a regular file")
    with path.open("rb") as file:
        return file.read(limit)


def _stamp(path: Path) -> Hashable:
    try:
        found = os.stat(path)
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
