"""API keys of consumers: made, listed, changed, suspended, revoked and rotated.

A key is shown once, when it is made; the database keeps its digest. Every change is one transaction with its record in
the audit log and a higher revision of `keys`, by which `control.key_projection` brings it to the workers.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, bindparam, or_, select, update

from gatewright.control.actor import Actor
from gatewright.control.audit import append
from gatewright.control.key_rules import LATEST, check_key, is_plain
from gatewright.control.newest import narrowed_to
from gatewright.control.refusals import Conflict, NotFound, Unacceptable
from gatewright.control.usage import matches
from gatewright.core.consumer import Scopes
from gatewright.core.keys import PREFIX, digest_of, find_id, make_key
from gatewright.store.database import reading
from gatewright.store.revisions import hold_revision, keep_first, raise_revision, read_revision
from gatewright.store.secrets_file import fingerprint
from gatewright.store.tables import CONSUMERS, KEYS

State = Literal["active", "suspended", "expired", "revoked"]

MAX_PAGE: Final = 1_000
MAX_OVERLAP_S: Final = 366 * 86_400
_SUBJECT: Final = "keys"
_SECRET: Final = "secret"
"""In `revisions`: the fingerprint of the secret that all digests of this database were made with."""


class Key(Struct, frozen=True, kw_only=True):
    """A key as its administrators see it."""

    id: str
    prefix: str
    """How it begins; what a person compares with the key in hand."""
    name: str
    consumer: str
    """`organisation/team/application`."""
    scopes: Scopes
    state: State
    created_at: int
    """Times are Unix seconds."""
    created_by: str
    expires_at: int | None
    suspended_at: int | None
    consumer_suspended_at: int | None
    """Since when the whole consumer is suspended."""
    revoked_at: int | None
    replaced_by: str | None
    """The id of the key that a rotation made."""
    last_used_at: int | None


class MadeKey(Struct, frozen=True):
    """A new key, this once with its text."""

    key: Key
    text: str
    """What the application sends; kept nowhere."""


class KeyFilter(Struct, frozen=True, kw_only=True):
    """Which keys to list; empty fields do not narrow."""

    consumer: str = ""
    """A consumer's path, or the beginning of one that ends with `*` (`acme/*`)."""
    search: str = ""
    """A whole key or prefix; else what a name holds, capitals or not, or how an id, a prefix or a consumer begins."""
    state: State | None = None


class KeyPage(Struct, frozen=True):
    """Some keys, the newest first."""

    keys: list[Key]
    after: str | None
    """Give it to get the next page; None at the end."""


class KeyChange(Struct, frozen=True, kw_only=True):
    """What to change of a key; what is not given stays."""

    name: str | UnsetType = UNSET
    scopes: Scopes | UnsetType = UNSET
    lists: Mapping[str, tuple[str, ...]] = {}
    """Of the scopes those that change (`models`), where the others stay as they are by then."""
    expires_at: int | UnsetType | None = UNSET


EVERY_KEY: Final = KeyFilter()


class Keys:
    """The keys of one database. `secret` is the gateway's (`store.secrets_file`); `now` gives Unix seconds."""

    def __init__(
        self,
        engine: Engine,
        secret: bytes,
        now: Callable[[], float],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._engine, self._secret, self._now, self._random = engine, secret, now, random

    # -- reading

    def list(self, chosen: KeyFilter = EVERY_KEY, *, after: str | None = None, limit: int = 100) -> KeyPage:
        """Keys, the newest first. Raises Unacceptable when `after` is not from a page of this list."""
        if not is_plain(chosen.consumer + chosen.search):
            return KeyPage([], None)
        limit = max(1, min(limit, MAX_PAGE))
        now = int(self._now())
        query = _rows().order_by(KEYS.c.created_at.desc(), KEYS.c.id.desc()).limit(limit + 1)
        query = query.where(*_conditions(chosen, now))
        if after is not None:
            created_at, key_id = _parse_after(after)
            query = query.where(
                or_(KEYS.c.created_at < created_at, and_(KEYS.c.created_at == created_at, KEYS.c.id < key_id))
            )
        with reading(self._engine) as connection:
            if chosen.consumer:
                query = query.where(narrowed_to(connection, KEYS.c.consumer, chosen.consumer))
            found = [_key_of(row, now) for row in connection.execute(query)]
        page = found[:limit]
        return KeyPage(page, f"{page[-1].created_at}-{page[-1].id}" if len(found) > limit else None)

    def get(self, named: str) -> Key:
        """One key, by its id, its prefix, or itself. Raises NotFound."""
        with reading(self._engine) as connection:
            return self._get(connection, named)

    # -- changing

    def create(
        self,
        actor: Actor,
        consumer: str,
        *,
        name: str = "",
        scopes: Scopes = Scopes(),  # noqa: B008 - frozen
        expires_at: int | None = None,
    ) -> MadeKey:
        """Make a key for a consumer, which need not be kept in the database. Raises Unacceptable."""
        scopes = check_key(consumer, name, scopes, expires_at, self._now())
        with self._engine.begin() as connection:
            revision = raise_revision(connection, _SUBJECT)
            made = self._insert(connection, actor, revision, consumer, name, scopes, expires_at)
            append(connection, actor, "key.create", f"key/{made.key.id}", None, made.key, self._now())
        return made

    def change(self, actor: Actor, named: str, change: KeyChange) -> Key:
        """Change a key's name, scopes or expiry. Raises NotFound, Unacceptable, Conflict."""
        with self._engine.begin() as connection:
            revision = raise_revision(connection, _SUBJECT)
            before = self._get(connection, named)
            if before.revoked_at is not None:
                raise Conflict(f"the key {before.id} was revoked; that is for good")
            name = before.name if change.name is UNSET else change.name
            scopes = before.scopes if change.scopes is UNSET else change.scopes
            scopes = msgspec.structs.replace(scopes, **change.lists)
            expires_at = before.expires_at if change.expires_at is UNSET else change.expires_at
            is_new = change.expires_at is not UNSET
            scopes = check_key(before.consumer, name, scopes, expires_at, self._now(), is_new=is_new)
            values = {"name": name, "expires_at": expires_at, **_columns(scopes)}
            return self._update(connection, actor, "key.change", before, revision, values)

    def suspend(self, actor: Actor, named: str) -> Key:
        """Refuse a key until `resume`; once more changes nothing. Raises NotFound, Conflict."""
        return self._set(actor, named, "key.suspend", "suspended_at", int(self._now()))

    def resume(self, actor: Actor, named: str) -> Key:
        """Undo `suspend`. A suspended consumer's keys are refused all the same. Raises NotFound, Conflict."""
        return self._set(actor, named, "key.resume", "suspended_at", None)

    def revoke(self, actor: Actor, named: str) -> Key:
        """Refuse a key for good; once more changes nothing. Raises NotFound."""
        return self._set(actor, named, "key.revoke", "revoked_at", int(self._now()))

    def rotate(
        self, actor: Actor, named: str, *, overlap_s: int = 3_600, expires_at: int | UnsetType | None = UNSET
    ) -> MadeKey:
        """Make a key like this one, which itself ends after the overlap (or when it would have ended, if sooner).

        The new key lives as long as the old one was meant to from when it was made, unless `expires_at` is given.
        Raises NotFound, Unacceptable, and Conflict for a key that does not hold or was replaced already.
        """
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise Unacceptable("overlap_s must be between 0 and a year, in seconds")
        now = int(self._now())
        with self._engine.begin() as connection:
            revision = raise_revision(connection, _SUBJECT)
            old = self._get(connection, named)
            if old.replaced_by is not None:
                raise Conflict(f"the key {old.id} was replaced by {old.replaced_by} already")
            if old.state != "active":
                raise Conflict(f"the key {old.id} is {old.state}; only one that holds can be rotated")
            if expires_at is UNSET:
                expires_at = None if old.expires_at is None else min(now + old.expires_at - old.created_at, LATEST)
            scopes = check_key(old.consumer, old.name, old.scopes, expires_at, self._now())
            made = self._insert(connection, actor, revision, old.consumer, old.name, scopes, expires_at)
            append(connection, actor, "key.create", f"key/{made.key.id}", None, made.key, self._now())
            ends = now + overlap_s if old.expires_at is None else min(old.expires_at, now + overlap_s)
            values = {"expires_at": ends, "replaced_by": made.key.id}
            self._update(connection, actor, "key.rotate", old, revision, values)
        return made

    def note_used(self, used: Iterable[tuple[str, int]]) -> None:
        """Note when keys were last used, from pairs of a key's id and Unix seconds; older times change nothing.

        No administrative change: it is not audited, and changes nothing that workers know.
        """
        latest: dict[str, int] = {}
        for key_id, at in used:
            if find_id(key_id) == key_id:
                latest[key_id] = max(at, latest.get(key_id, 0))
        if not latest:
            return
        is_later = or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at < bindparam("used_at"))
        statement = update(KEYS).where(KEYS.c.id == bindparam("key_id"), is_later)
        rows = [{"key_id": key_id, "used_at": at} for key_id, at in latest.items()]
        with self._engine.begin() as connection:
            hold_revision(connection, _SUBJECT)
            connection.execute(statement.values(last_used_at=bindparam("used_at")), rows)

    # -- within a transaction

    def _insert(
        self,
        connection: Connection,
        actor: Actor,
        revision: int,
        consumer: str,
        name: str,
        scopes: Scopes,
        expires_at: int | None,
    ) -> MadeKey:
        claim_secret(connection, self._secret)
        key_id, text = make_key(self._random)
        while connection.execute(select(KEYS.c.id).where(KEYS.c.id == key_id)).first() is not None:
            key_id, text = make_key(self._random)
        connection.execute(
            KEYS.insert().values(
                id=key_id,
                digest=digest_of(text.encode(), self._secret),
                prefix=PREFIX + key_id,
                name=name,
                consumer=consumer,
                **_columns(scopes),
                created_at=int(self._now()),
                created_by=actor.name[:200],
                expires_at=expires_at,
                revision=revision,
            )
        )
        return MadeKey(self._get(connection, key_id), text)

    def _set(self, actor: Actor, named: str, action: str, column: str, at: int | None) -> Key:
        with self._engine.begin() as connection:
            revision = raise_revision(connection, _SUBJECT)
            before = self._get(connection, named)
            if column != "revoked_at" and before.revoked_at is not None:
                raise Conflict(f"the key {before.id} was revoked; that is for good")
            if (getattr(before, column) is None) is (at is None):
                return before
            return self._update(connection, actor, action, before, revision, {column: at})

    def _update(
        self, connection: Connection, actor: Actor, action: str, before: Key, revision: int, values: dict[str, Any]
    ) -> Key:
        connection.execute(update(KEYS).where(KEYS.c.id == before.id).values(**values, revision=revision))
        after = self._get(connection, before.id)
        if after != before:
            append(connection, actor, action, f"key/{before.id}", before, after, self._now())
        return after

    def _get(self, connection: Connection, named: str) -> Key:
        key_id = find_id(named)
        row = connection.execute(_rows().where(KEYS.c.id == key_id)).one_or_none() if key_id else None
        if row is None:
            raise NotFound("there is no such key")
        return _key_of(row, int(self._now()))


def has_same_secret(connection: Connection, secret: bytes) -> bool:
    """Whether the keys of this database, if there are any, were made with this secret."""
    return read_revision(connection, _SECRET) in (None, fingerprint(secret))


def claim_secret(connection: Connection, secret: bytes) -> None:
    """Call before a key is made: the first one says which secret the digests of this database are made with.

    Gateways that share it share that secret, or each would refuse the keys of the others. Raises Conflict.
    """
    mine = fingerprint(secret)
    if keep_first(connection, _SECRET, mine) != mine:
        raise Conflict(
            "the keys of this database were made with another secret; gateways that share a database must have "
            "the same file `secret` in their state directories"
        )


def revoke_keys_of(connection: Connection, actor: Actor, consumer: str, revision: int, now: float) -> int:
    """Revoke all keys of a consumer, in the transaction that removes it; gives how many were not yet."""
    rows = connection.execute(_rows().where(KEYS.c.consumer == consumer, KEYS.c.revoked_at.is_(None))).all()
    # Those revoked before change too, as their consumer may have been suspended.
    connection.execute(update(KEYS).where(KEYS.c.consumer == consumer).values(revision=revision))
    connection.execute(
        update(KEYS).where(KEYS.c.consumer == consumer, KEYS.c.revoked_at.is_(None)).values(revoked_at=int(now))
    )
    for row in rows:
        before = _key_of(row, int(now))
        after = msgspec.structs.replace(before, state="revoked", revoked_at=int(now))
        append(connection, actor, "key.revoke", f"key/{before.id}", before, after, now)
    return len(rows)


def _rows() -> Any:
    joined = KEYS.outerjoin(CONSUMERS, KEYS.c.consumer == CONSUMERS.c.path)
    return select(KEYS, CONSUMERS.c.suspended_at.label("consumer_suspended_at")).select_from(joined)


def _conditions(chosen: KeyFilter, now: int) -> Iterable[ColumnElement[bool]]:
    if chosen.search.startswith(PREFIX) and (key_id := find_id(chosen.search)):
        yield KEYS.c.id == key_id
    elif chosen.search:
        yield or_(
            matches(KEYS.c.id, f"{chosen.search.removeprefix(PREFIX)}*"),
            matches(KEYS.c.consumer, f"{chosen.search}*"),
            KEYS.c.name.icontains(chosen.search, autoescape=True),
        )
    if chosen.state is not None:
        yield from _state_conditions(chosen.state, now)


def _state_conditions(state: State, now: int) -> Iterable[ColumnElement[bool]]:
    """The same order as in `_state`."""
    if state == "revoked":
        yield KEYS.c.revoked_at.is_not(None)
        return
    yield KEYS.c.revoked_at.is_(None)
    has_expired = and_(KEYS.c.expires_at.is_not(None), KEYS.c.expires_at <= now)
    if state == "expired":
        yield has_expired
        return
    yield ~has_expired
    is_suspended = or_(KEYS.c.suspended_at.is_not(None), CONSUMERS.c.suspended_at.is_not(None))
    yield is_suspended if state == "suspended" else ~is_suspended


def _parse_after(after: str) -> tuple[int, str]:
    created_at, _, key_id = after.partition("-")
    if not (created_at.isascii() and created_at.isdigit() and len(created_at) < 13 and find_id(key_id) == key_id):
        raise Unacceptable("`after` is not what the page before gave")
    return int(created_at), key_id


def _columns(scopes: Scopes) -> dict[str, Any]:
    return {name: list(value) for name, value in msgspec.structs.asdict(scopes).items()}


def _key_of(row: Row[Any], now: int) -> Key:
    return Key(
        id=row.id,
        prefix=row.prefix,
        name=row.name,
        consumer=row.consumer,
        scopes=Scopes(tuple(row.models), tuple(row.surfaces), tuple(row.networks)),
        state=_state(row, now),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        suspended_at=row.suspended_at,
        consumer_suspended_at=row.consumer_suspended_at,
        revoked_at=row.revoked_at,
        replaced_by=row.replaced_by,
        last_used_at=row.last_used_at,
    )


def _state(row: Row[Any], now: int) -> State:
    if row.revoked_at is not None:
        return "revoked"
    if row.expires_at is not None and row.expires_at <= now:
        return "expired"
    if row.suspended_at is not None or row.consumer_suspended_at is not None:
        return "suspended"
    return "active"
