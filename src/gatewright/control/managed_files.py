"""What the admin API keeps for the configuration, as files in the state directory: `STATE/managed`.

The database is the truth; these files are a projection of it, as the key table is. They are read like any other
configuration file, so a start needs no database, a change is noticed as any change of a file is, and what is served can
be looked at. Budgets are added to whatever is configured. The active version of the configuration is served only by a
gateway that was started without files of its own; until there is one, it serves what it found (`default.json`).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gatewright.control import budgets, configurations
from gatewright.control.kept import read_kept, render_budgets
from gatewright.control.managed_sources import DIRECTORY, budgets_file, configuration_file, write_file
from gatewright.store.database import reading
from gatewright.store.revisions import read_revisions

_NOTE: Final = "# Written by the gateway from its database; changes here are lost. Use the admin API.\n"


class ManagedFiles:
    """Keeps the files in step with one database. Blocks, so call it in a thread; calls wait for each other."""

    def __init__(self, engine: Engine, state: Path) -> None:
        self._engine = engine
        self._state = state
        self._seen: dict[str, int] | None = None
        # The poll and whoever applies a version come at the same moment, and would write one file under one name.
        self._lock = threading.Lock()
        self.problem: str | None = None
        """Why the files are not kept in step at the moment, in words for the log; None while they are."""

    def poll_once(self) -> bool:
        """Write what changed; whether anything did. Never raises for a database or a disk that cannot be used."""
        with self._lock:
            return self._poll()

    def _poll(self) -> bool:
        try:
            with reading(self._engine) as connection:
                revisions = read_revisions(connection, (budgets.SUBJECT, configurations.SUBJECT))
                if revisions == self._seen:
                    return False
                kept = read_kept(connection)
            budgets_now = render_budgets(kept.policies) if kept.policies else None
            changed = self._write(budgets_file(self._state), budgets_now)
            configuration = None if kept.active is None else (_NOTE + kept.active).encode()
            changed |= self._write(configuration_file(self._state), configuration)
        except SQLAlchemyError as error:
            self.problem = f"the database cannot be read ({type(error).__name__}); managed configuration stays as it is"
            return False
        except OSError as error:
            self.problem = f"{self._state / DIRECTORY} cannot be written: {error.strerror}"
            return False
        self.problem, self._seen = None, revisions
        return changed

    def _write(self, path: Path, data: bytes | None) -> bool:
        """Make a file hold `data`; None removes it."""
        try:
            present = path.read_bytes()
        except FileNotFoundError:
            present = None
        if present == data:
            return False
        if data is None:
            path.unlink()
        else:
            write_file(path, data)
        return True
