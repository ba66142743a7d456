"""What the database keeps for the configuration: budgets and the active version, which are served together.

Each is checked with the other, and that takes as long as a configuration is large. So it is done before the
transaction, and again when either was changed meanwhile: what is written was checked with what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Engine, select

from gatewright.control.refusals import Conflict
from gatewright.store.database import reading
from gatewright.store.revisions import raise_revision, read_revision
from gatewright.store.tables import BUDGETS, CONFIGURATIONS

T = TypeVar("T")
Policies = Sequence[dict[str, Any]]
"""Budgets, as policies of a configuration."""

_SUBJECT: Final = "kept"
"""Of the revision that everything raises which might no longer fit what is checked at the same moment."""
_TRIES: Final = 5


class Kept(Struct, frozen=True):
    """What was kept at some time."""

    revision: int
    policies: Policies
    """By name."""
    active: str | None
    """The text of the active version; None before the first one."""


def read_kept(connection: Connection) -> Kept:
    """What is kept now."""
    # First: what is changed after it was read is then found to have changed.
    revision = read_revision(connection, _SUBJECT) or 0
    budgets = connection.execute(select(BUDGETS.c.document).order_by(BUDGETS.c.name))
    policies = [{"filter": "budget", **row.document} for row in budgets]
    active = select(CONFIGURATIONS.c.document).where(CONFIGURATIONS.c.is_active)
    newest = active.order_by(CONFIGURATIONS.c.version.desc()).limit(1)
    return Kept(revision, policies, connection.execute(newest).scalar_one_or_none())


def change_kept(engine: Engine, check: Callable[[Kept], None], write: Callable[[Connection], T]) -> T:
    """Write in a transaction in which everything is as `check` has seen it, and give what `write` gives.

    Either may raise, and then nothing is changed; both may be called again. Raises Conflict when others change it all
    the time.
    """
    for _ in range(_TRIES):
        with reading(engine) as connection:
            kept = read_kept(connection)
        check(kept)
        with engine.connect() as connection:  # which takes back what is not committed
            if note_change(connection) == kept.revision + 1:
                written = write(connection)
                connection.commit()
                return written
    raise Conflict("others change budgets or the configuration all the time; try again")


def note_change(connection: Connection) -> int:
    """Have what is checked at this moment checked again, and give the revision. A transaction's first statement."""
    return raise_revision(connection, _SUBJECT)


def render_budgets(policies: Policies) -> bytes:
    """Budgets as a file of the configuration."""
    return msgspec.json.format(msgspec.json.encode({"policies": policies}))
