"""The state directory of a running gateway, and the lock in it that says who runs.

The pid file is locked for as long as its gateway lives, so a number left behind by a crash is never mistaken for a
running process, and two gateways cannot share a directory.
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path
from typing import Final

from gatewright.cli.exits import Failure

PID_FILE: Final = "gatewright.pid"
_ELSEWHERE: Final = "database-elsewhere"
"""A file that stands in the state directory of a gateway whose database is not there."""


def state_root() -> Path:
    """`$GATEWRIGHT_STATE`, else `gatewright` in the user's directory for state."""
    environment = os.environ  # noqa: TID251 - cli is the room that may read the environment
    if chosen := environment.get("GATEWRIGHT_STATE"):
        return Path(chosen)
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "gatewright"


def default_state_dir(listen: str) -> Path:
    """Where a gateway at this address keeps its state when it is not told: each address has its own."""
    return state_root() / re.sub(r"[^A-Za-z0-9.]+", "-", listen).strip("-")


def running_state_dirs() -> list[Path]:
    """The default state directories whose gateways run now."""
    return sorted(file.parent for file in state_root().glob(f"*/{PID_FILE}") if running_pid(file.parent) is not None)


def note_database(directory: Path, *, is_elsewhere: bool) -> None:
    """Leave word for commands that are told the directory alone: its gateway's database is another than the file there.

    Called by a gateway when it starts.
    """
    file = directory / _ELSEWHERE
    if is_elsewhere:
        file.write_text("The database is at the `database.url` of the configuration.\n")
    else:
        file.unlink(missing_ok=True)


def has_database_elsewhere(directory: Path) -> bool:
    """Whether the last gateway that used this directory kept its database elsewhere."""
    return (directory / _ELSEWHERE).exists()


class StateLock:
    """Holds a state directory for this process; use as a context manager around the whole life of a gateway."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1

    def __enter__(self) -> StateLock:
        path = self._directory / PID_FILE
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Not inheritable (Python's default), so a worker that outlives its supervisor does not keep the lock.
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Failure(
                f"cannot use {self._directory} as state directory: {error.strerror}", hint="choose another with --state"
            ) from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 32).decode(errors="replace").strip()
            os.close(self._fd)
            raise Failure(
                f"another gateway (pid {holder or 'unknown'}) uses the state directory {self._directory}",
                hint="stop it first, or give this one its own directory with --state",
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())
        return self

    def __exit__(self, *_: object) -> None:
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def running_pid(directory: Path) -> int | None:
    """The process that holds a state directory; None when nobody does."""
    try:
        fd = os.open(directory / PID_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(fd, 32).strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(fd)
