"""Revisions: a number per subject, raised in the transaction of every change, so that a poll sees changes cheaply.

Raising one locks its row (in SQLite the database) until the transaction ends. So the changes of one subject happen one
after the other, and who sees a revision sees every change up to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from gatewright.store.tables import REVISIONS


def raise_revision(connection: Connection, subject: str) -> int:
    """Add one to a subject's revision and give it; the first is 1.

    Make it the first statement of a transaction: what is read afterwards cannot change any more.
    """
    statement = _insert(connection)(REVISIONS).values(subject=subject, value=1)
    raised = statement.on_conflict_do_update(
        index_elements=[REVISIONS.c.subject], set_={"value": REVISIONS.c.value + 1}
    ).returning(REVISIONS.c.value)
    return int(connection.execute(raised).scalar_one())


def hold_revision(connection: Connection, subject: str) -> None:
    """Keep changes of a subject off until the transaction ends, without raising its revision.

    For what writes many of its rows and is no change: in PostgreSQL two such could else each wait for the other.
    """
    connection.execute(select(REVISIONS.c.value).where(REVISIONS.c.subject == subject).with_for_update())


def write_revision(connection: Connection, subject: str, value: int) -> None:
    """Set a subject's number."""
    statement = _insert(connection)(REVISIONS).values(subject=subject, value=value)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[REVISIONS.c.subject], set_={"value": statement.excluded.value})
    )


def keep_first(connection: Connection, subject: str, value: int) -> int:
    """Set a subject's number unless it has one; gives the one it has. Of several at once the first one counts."""
    connection.execute(_insert(connection)(REVISIONS).values(subject=subject, value=value).on_conflict_do_nothing())
    return int(connection.execute(select(REVISIONS.c.value).where(REVISIONS.c.subject == subject)).scalar_one())


def read_revision(connection: Connection, subject: str) -> int | None:
    """A subject's revision; None when it never changed."""
    return connection.execute(select(REVISIONS.c.value).where(REVISIONS.c.subject == subject)).scalar_one_or_none()


def read_revisions(connection: Connection, subjects: Sequence[str]) -> dict[str, int]:
    """Several revisions as they were at one time, without those that never changed."""
    query = select(REVISIONS.c.subject, REVISIONS.c.value).where(REVISIONS.c.subject.in_(subjects))
    return {row.subject: row.value for row in connection.execute(query)}


def _insert(connection: Connection) -> Any:
    return postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
