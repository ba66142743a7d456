"""Managed consumers: what the gateway keeps about an application beyond its keys and the configuration.

A consumer need not be kept here to have keys; it is kept to give it a name and details, or to suspend all its keys at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import Connection, Engine, Row, delete, select, update

from gatewright.config.problems import ConfigError
from gatewright.control.actor import Actor
from gatewright.control.audit import append
from gatewright.control.key_rules import check_consumer, is_plain
from gatewright.control.keys import revoke_keys_of
from gatewright.control.refusals import Conflict, NotFound, Unacceptable
from gatewright.control.usage import matches
from gatewright.store.database import reading
from gatewright.store.revisions import raise_revision
from gatewright.store.tables import CONSUMERS, KEYS

MAX_DETAILS_BYTES: Final = 10_000
MAX_PAGE: Final = 1_000
_SUBJECT: Final = "keys"
"""What changes of a consumer's state change too, and so the revision they raise."""


class ManagedConsumer(Struct, frozen=True):
    """A consumer that is kept in the database."""

    path: str
    """`organisation/team/application`."""
    name: str
    details: Mapping[str, Any]
    """Whatever its administrators want to know of it (an owner, a cost centre); the gateway reads none of it."""
    created_at: int
    """Unix seconds."""
    suspended_at: int | None
    """Since when all its keys are refused, in Unix seconds."""


class ConsumerPage(Struct, frozen=True):
    """Some consumers, by path."""

    consumers: list[ManagedConsumer]
    after: str | None
    """Give it to get the next page; None at the end."""


class Consumers:
    """The consumers of one database. `now` gives Unix seconds."""

    def __init__(self, engine: Engine, now: Callable[[], float]) -> None:
        self._engine, self._now = engine, now

    def create(
        self, actor: Actor, path: str, *, name: str = "", details: Mapping[str, Any] | None = None
    ) -> ManagedConsumer:
        """Keep a consumer. Raises Unacceptable, Conflict."""
        check_consumer(path, name)
        made = ManagedConsumer(path, name, _check_details(details or {}), int(self._now()), None)
        with self._engine.begin() as connection:
            raise_revision(connection, _SUBJECT)
            if _find(connection, path) is not None:
                raise Conflict(f"there is a consumer {path} already")
            connection.execute(CONSUMERS.insert().values(**msgspec.structs.asdict(made)))
            append(connection, actor, "consumer.create", f"consumer/{path}", None, made, self._now())
        return made

    def list(self, *, search: str = "", after: str = "", limit: int = 100) -> ConsumerPage:
        """Consumers by path, those whose path begins with `search`; `after` is that of the page before."""
        if not is_plain(search + after):
            return ConsumerPage([], None)
        limit = max(1, min(limit, MAX_PAGE))
        query = select(CONSUMERS).order_by(CONSUMERS.c.path).limit(limit + 1)
        if search:
            query = query.where(matches(CONSUMERS.c.path, f"{search}*"))
        if after:
            query = query.where(CONSUMERS.c.path > after)
        with reading(self._engine) as connection:
            found = [_consumer_of(row) for row in connection.execute(query)]
        page = found[:limit]
        return ConsumerPage(page, page[-1].path if len(found) > limit else None)

    def get(self, path: str) -> ManagedConsumer:
        """One consumer. Raises NotFound."""
        with reading(self._engine) as connection:
            return _get(connection, path)

    def change(
        self,
        actor: Actor,
        path: str,
        *,
        name: str | UnsetType = UNSET,
        details: Mapping[str, Any] | UnsetType = UNSET,
    ) -> ManagedConsumer:
        """Change what is given. Raises NotFound, Unacceptable."""
        with self._engine.begin() as connection:
            raise_revision(connection, _SUBJECT)
            before = _get(connection, path)
            after = msgspec.structs.replace(
                before,
                name=before.name if name is UNSET else name,
                details=before.details if details is UNSET else _check_details(details),
            )
            check_consumer(path, after.name)
            self._replace(connection, actor, "consumer.change", before, after)
        return after

    def suspend(self, actor: Actor, path: str) -> ManagedConsumer:
        """Refuse all keys of a consumer from now on; once more changes nothing. Raises NotFound."""
        return self._set_suspended(actor, path, int(self._now()))

    def resume(self, actor: Actor, path: str) -> ManagedConsumer:
        """Undo `suspend`; keys that are suspended themselves stay so. Raises NotFound."""
        return self._set_suspended(actor, path, None)

    def delete(self, actor: Actor, path: str) -> int:
        """Keep a consumer no longer, and revoke all its keys; gives how many. What it used stays in the ledger.

        Raises NotFound.
        """
        now = self._now()
        with self._engine.begin() as connection:
            revision = raise_revision(connection, _SUBJECT)
            before = _get(connection, path)
            revoked = revoke_keys_of(connection, actor, path, revision, now)
            connection.execute(delete(CONSUMERS).where(CONSUMERS.c.path == path))
            after = {"revoked_keys": revoked} if revoked else None
            append(connection, actor, "consumer.delete", f"consumer/{path}", before, after, now)
        return revoked

    def _set_suspended(self, actor: Actor, path: str, at: int | None) -> ManagedConsumer:
        with self._engine.begin() as connection:
            revision = raise_revision(connection, _SUBJECT)
            before = _get(connection, path)
            if (before.suspended_at is None) is (at is None):
                return before
            after = msgspec.structs.replace(before, suspended_at=at)
            connection.execute(update(KEYS).where(KEYS.c.consumer == path).values(revision=revision))
            action = "consumer.resume" if at is None else "consumer.suspend"
            self._replace(connection, actor, action, before, after)
        return after

    def _replace(
        self, connection: Connection, actor: Actor, action: str, before: ManagedConsumer, after: ManagedConsumer
    ) -> None:
        if before == after:
            return
        statement = update(CONSUMERS).where(CONSUMERS.c.path == before.path)
        connection.execute(statement.values(name=after.name, details=after.details, suspended_at=after.suspended_at))
        append(connection, actor, action, f"consumer/{before.path}", before, after, self._now())


def _check_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """The details as JSON has them. Raises Unacceptable."""
    try:
        text = msgspec.json.encode(details)
        decoded: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
        text, decoded = b"", {}
    # PostgreSQL's JSON holds no NUL.
    if not text or len(text) > MAX_DETAILS_BYTES or b"\\u0000" in text:
        message = f"must be a JSON object of at most {MAX_DETAILS_BYTES} bytes"
        raise Unacceptable(f"details {message}", [ConfigError("details", message)])
    return decoded


def _get(connection: Connection, path: str) -> ManagedConsumer:
    found = _find(connection, path) if is_plain(path) else None
    if found is None:
        raise NotFound("there is no such consumer here; one of which only keys are known is to be created first")
    return found


def _find(connection: Connection, path: str) -> ManagedConsumer | None:
    row = connection.execute(select(CONSUMERS).where(CONSUMERS.c.path == path)).one_or_none()
    return None if row is None else _consumer_of(row)


def _consumer_of(row: Row[Any]) -> ManagedConsumer:
    return ManagedConsumer(row.path, row.name, row.details, row.created_at, row.suspended_at)
