"""Keys of administrators: made, listed, revoked, and recognised in constant time.

A key is `gwadm-`, an id of 12 characters, `-`, and 256 random bits. The database holds a keyed BLAKE2b digest of it, so
a copied database without the gateway's secret gives nothing to search, and the id finds the row, so that the digest is
compared without telling how much of it was right.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Engine, Row, func, select, update

from gatewright.control.actor import Actor
from gatewright.control.audit import append
from gatewright.control.key_rules import LATEST
from gatewright.control.keys import claim_secret
from gatewright.control.refusals import Conflict, NotFound, Unacceptable
from gatewright.store.database import reading
from gatewright.store.revisions import raise_revision
from gatewright.store.tables import ADMIN_KEYS

PREFIX: Final = "gwadm-"
ID_CHARACTERS: Final = 12
MAX_NAME_CHARACTERS: Final = 200
_SUBJECT: Final = "admin_keys"
"""Of the revision that puts revocations into one order."""
_SECRET_BYTES: Final = 32
_DIGEST_BYTES: Final = 32
_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
_FORM: Final = re.compile(rf"{PREFIX}([{_ALPHABET}]{{{ID_CHARACTERS}}})-[A-Za-z0-9_-]{{43}}")
_NOBODY: Final = b"\0" * _DIGEST_BYTES
"""Compared with where there is no such key, so that this takes as long; no digest of a key is likely to be it."""


class Role(StrEnum):
    """What an administrator may do; each role may do what those before it may."""

    VIEWER = "viewer"
    """Reads everything but secrets."""
    OPERATOR = "operator"
    """Changes consumers, keys and budgets."""
    ADMIN = "admin"
    """Changes the configuration and the admin keys."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        order = tuple(Role)
        return order.index(self) >= order.index(other)


class AdminKey(Struct, frozen=True):
    """A key of an administrator, without its secret."""

    id: str
    """What names the key: the characters behind `gwadm-`."""
    name: str
    """Who or what holds it; the audit log names it."""
    role: Role
    """What it may do."""
    created_at: int
    """When it was made, in Unix seconds."""
    expires_at: int | None
    """From when on it is refused, in Unix seconds."""
    revoked_at: int | None
    """Since when it is refused for good, in Unix seconds."""


class AdminKeys:
    """The admin keys of one database. `secret` is the key of the digests; `now` gives Unix seconds."""

    def __init__(self, engine: Engine, secret: bytes, now: Callable[[], float]) -> None:
        self._engine, self._secret, self._now = engine, secret, now

    def create(self, actor: Actor, name: str, role: Role, expires_at: int | None = None) -> tuple[AdminKey, str]:
        """Make a key; gives it with its text, which is kept nowhere. Raises Unacceptable and Conflict."""
        name = name.strip()
        if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
            raise Unacceptable(f"a name has 1 to {MAX_NAME_CHARACTERS} printable characters")
        now = int(self._now())
        if expires_at is not None and not now < expires_at <= LATEST:
            raise Unacceptable("expires_at must be a time to come, before the year 10000, in Unix seconds; or none")
        key_id = "".join(secrets.choice(_ALPHABET) for _ in range(ID_CHARACTERS))
        text = f"{PREFIX}{key_id}-{secrets.token_urlsafe(_SECRET_BYTES)}"
        key = AdminKey(key_id, name, role, now, expires_at, None)
        with self._engine.begin() as connection:
            claim_secret(connection, self._secret)
            connection.execute(
                ADMIN_KEYS.insert().values(
                    id=key_id,
                    digest=self._digest(text),
                    name=name,
                    role=role.value,
                    created_at=now,
                    expires_at=expires_at,
                    revoked_at=None,
                )
            )
            append(connection, actor, "admin_key.create", f"admin_key/{key_id}", None, key)
        return key, text

    def list(self) -> list[AdminKey]:
        """All keys, the newest first."""
        query = select(ADMIN_KEYS).order_by(ADMIN_KEYS.c.created_at.desc(), ADMIN_KEYS.c.id)
        with reading(self._engine) as connection:
            return [_key_of(row) for row in connection.execute(query)]

    def revoke(self, actor: Actor, key_id: str, *, may_lock_out: bool = False) -> AdminKey:
        """Refuse a key from now on, for good; once more changes nothing.

        The last key with the role `admin` is kept, unless `may_lock_out`: only the command line could make the next.
        Raises NotFound and Conflict.
        """
        with self._engine.begin() as connection:
            # Two who revoke the last two keys at the same moment would each find the other's.
            raise_revision(connection, _SUBJECT)
            row = connection.execute(select(ADMIN_KEYS).where(ADMIN_KEYS.c.id == key_id)).one_or_none()
            if row is None:
                raise NotFound("there is no such admin key")
            key, now = _key_of(row), int(self._now())
            if key.revoked_at is not None:
                return key
            others = connection.scalar(
                select(func.count())
                .select_from(ADMIN_KEYS)
                .where(ADMIN_KEYS.c.id != key_id, ADMIN_KEYS.c.role == Role.ADMIN.value, self._is_usable(now))
            )
            if key.role is Role.ADMIN and not others and not may_lock_out:
                raise Conflict("this is the last key with the role admin; make another one first")
            connection.execute(update(ADMIN_KEYS).where(ADMIN_KEYS.c.id == key_id).values(revoked_at=now))
            after = AdminKey(key.id, key.name, key.role, key.created_at, key.expires_at, now)
            append(connection, actor, "admin_key.revoke", f"admin_key/{key_id}", key, after)
        return after

    def has_any(self) -> bool:
        """Whether there is a key that holds, so that anybody can use the admin API at all."""
        query = select(ADMIN_KEYS.c.id).where(self._is_usable(int(self._now()))).limit(1)
        with reading(self._engine) as connection:
            return connection.execute(query).first() is not None

    def recognise(self, text: str) -> AdminKey | None:
        """The key with this text, if it is one that may be used now. The same work is done whatever the text is."""
        form = _FORM.fullmatch(text)
        key_id = form[1] if form else ""
        with reading(self._engine) as connection:
            row = connection.execute(select(ADMIN_KEYS).where(ADMIN_KEYS.c.id == key_id)).one_or_none()
        stored = bytes(row.digest) if row is not None else _NOBODY
        # Surrogates are what a header's bytes may decode to; they must not make this fail.
        is_right = hmac.compare_digest(self._digest(text), stored)
        if row is None or not is_right:
            return None
        key, now = _key_of(row), self._now()
        is_usable = key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
        return key if is_usable else None

    def _digest(self, text: str) -> bytes:
        data = text.encode(errors="surrogatepass")
        return hashlib.blake2b(data, key=self._secret, digest_size=_DIGEST_BYTES).digest()

    def _is_usable(self, now: int) -> Any:
        table = ADMIN_KEYS.c
        return table.revoked_at.is_(None) & (table.expires_at.is_(None) | (table.expires_at > now))


def _key_of(row: Row[Any]) -> AdminKey:
    return AdminKey(row.id, row.name, Role(row.role), row.created_at, row.expires_at, row.revoked_at)
