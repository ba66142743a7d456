"""Versions of the configuration that the admin API keeps: checked, applied, compared, and taken back.

Where the gateway was started with files, those are the truth and nothing here changes them: what is under version
control wins. Without files the active version is served, from the start of the gateway on.

A version is stored before it is served, so that a gateway that dies in between starts with it. One that the workers
refuse all the same gives way to the version before it, and stays in the list, inactive.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, func, select, update
from sqlalchemy.exc import IntegrityError

from gatewright.config.problems import ConfigError
from gatewright.control.actor import Actor
from gatewright.control.audit import append
from gatewright.control.document_secrets import find_plain_secrets, without_secrets
from gatewright.control.kept import Kept, Policies, change_kept, note_change, read_kept
from gatewright.control.refusals import Conflict, NotFound, Outdated, Unacceptable
from gatewright.store.database import reading
from gatewright.store.revisions import raise_revision
from gatewright.store.tables import CONFIGURATIONS

DOCUMENT: Final = "document"
"""Stands for the file in the errors of a document that came without one."""
SUBJECT: Final = "configurations"
"""Of the revision that every change raises."""

_MAX_ACTOR: Final = 200

Source = Literal["files", "api"]
Files = Sequence[tuple[str, bytes]]


class Verdict(Struct, frozen=True):
    """What there is to say about a document."""

    errors: tuple[ConfigError, ...] = ()
    """Every reason why it cannot be served; empty when it can."""
    warnings: tuple[ConfigError, ...] = ()
    """What is allowed but hardly meant."""


class Version(Struct, frozen=True):
    """One version of the configuration, without its text."""

    version: int
    """Its number, counted from 1."""
    note: str
    """Why it was applied, as its author says."""
    created_by: str
    """Who applied it."""
    created_at: int
    """When it was applied, in Unix seconds."""
    is_active: bool
    """Whether it is the one to serve."""


class Active(Struct, frozen=True):
    """What the gateway is to serve, and where that comes from."""

    source: Source
    """`files` when the gateway was started with files, which no one changes here; else `api`."""
    version: int
    """The active version; 0 for files, and before the first one was applied."""
    document: str
    """Its text, with references as they were written. Of files: all of them merged, as JSON, secrets as `***`."""


class Configurations:
    """The versions of one database.

    `check` finds everything that is wrong with a document beside budgets, `apply` has the workers serve one and gives
    what they say against it, `read_files` reads the files the gateway was started with (None: it was not), `now` gives
    Unix seconds.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        check: Callable[[bytes, Policies], Verdict],
        apply: Callable[[bytes], list[str]],
        read_files: Callable[[], Files] | None,
        now: Callable[[], float],
    ) -> None:
        self._engine, self._check, self._apply, self._now = engine, check, apply, now
        self._read_files = read_files
        # One at a time: what is stored last must be what is served last.
        self._applying = threading.Lock()

    def active(self) -> Active:
        """What is to be served."""
        if self._read_files is not None:
            return Active("files", 0, without_secrets(self._read_files()))
        with reading(self._engine) as connection:
            row = _active_row(connection)
        return Active("api", 0, "") if row is None else Active("api", row.version, row.document)

    def versions(self, *, before: int | None = None, limit: int = 50) -> list[Version]:
        """Versions, the newest first; `before` goes on behind the last one of a page."""
        query = select(*_HEAD).order_by(CONFIGURATIONS.c.version.desc()).limit(limit)
        if before is not None:
            query = query.where(CONFIGURATIONS.c.version < before)
        with reading(self._engine) as connection:
            return [_version_of(row) for row in connection.execute(query)]

    def get(self, version: int) -> tuple[Version, str]:
        """One version and its text. Raises NotFound."""
        with reading(self._engine) as connection:
            row = connection.execute(select(CONFIGURATIONS).where(CONFIGURATIONS.c.version == version)).one_or_none()
        if row is None:
            raise NotFound(f"there is no version {version} of the configuration")
        return _version_of(row), row.document

    def validate(self, document: str) -> Verdict:
        """Everything that is to say about a document; nothing changes by it."""
        with reading(self._engine) as connection:
            kept = read_kept(connection)
        return self._judge(document, kept)

    def _judge(self, document: str, kept: Kept) -> Verdict:
        data = document.encode()
        verdict = self._check(data, kept.policies)
        known = {error.path for error in verdict.errors}
        plain = [error for error in find_plain_secrets([(DOCUMENT, data)]) if error.path not in known]
        return Verdict((*verdict.errors, *plain), verdict.warnings) if plain else verdict

    def diff(self, old: int, new: int) -> str:
        """What changed between two versions, as a unified diff; version 0 is empty. Raises NotFound."""
        before, after = ("" if number == 0 else self.get(number)[1] for number in (old, new))
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"version {old}", f"version {new}", lineterm=""
        )
        return "".join(f"{line}\n" for line in lines)

    def apply(self, actor: Actor, document: str, *, expected: int, note: str = "") -> Version:
        """Store a document as the next version and serve it.

        `expected` is the version that its author has seen as the active one. Raises Conflict where files are the
        source, Outdated when another version is active, Unacceptable with every error.
        """
        if self._read_files is not None:
            raise Conflict(
                "the gateway was started with configuration files, and these are what it serves; change them there"
            )
        with self._applying:
            made, before = self._store(actor, document, expected, note)
            reasons = self._apply(document.encode())
            if reasons:
                self._take_back(actor, made, before, reasons)
                errors = [ConfigError("", reason) for reason in reasons]
                raise Unacceptable("the workers refused the document; the version before is served", errors)
        return made

    def roll_back(self, actor: Actor, version: int, *, expected: int) -> Version:
        """Apply an earlier version again, as a new one. Raises NotFound and everything that `apply` does."""
        if self._read_files is None:
            _, document = self.get(version)
        else:
            document = ""
        return self.apply(actor, document, expected=expected, note=f"as version {version}")

    def _store(self, actor: Actor, document: str, expected: int, note: str) -> tuple[Version, int]:
        def check(kept: Kept) -> None:
            if errors := self._judge(document, kept).errors:
                raise Unacceptable("the document has errors; nothing was changed", errors)

        def write(connection: Connection) -> tuple[Version, int]:
            raise_revision(connection, SUBJECT)
            row = _active_row(connection)
            before = row.version if row is not None else 0
            if before != expected:
                raise Outdated(f"version {before} is active, not {expected}; read it and decide again")
            last = connection.scalar(select(func.max(CONFIGURATIONS.c.version))) or 0
            made = Version(last + 1, note, actor.name[:_MAX_ACTOR], int(self._now()), True)
            _deactivate(connection)
            connection.execute(
                CONFIGURATIONS.insert().values(
                    version=made.version,
                    document=document,
                    note=note,
                    created_by=made.created_by,
                    created_at=made.created_at,
                    is_active=True,
                )
            )
            self._audit(connection, actor, "configuration.apply", made, {"version": before}, made)
            return made, before

        try:
            return change_kept(self._engine, check, write)
        except IntegrityError:
            raise Outdated("somebody else applied a version at the same time; read it and decide again") from None

    def _take_back(self, actor: Actor, made: Version, before: int, reasons: list[str]) -> None:
        with self._engine.begin() as connection:
            note_change(connection)
            raise_revision(connection, SUBJECT)
            row = _active_row(connection)
            if row is None or row.version != made.version:
                return  # another gateway on this database has gone on meanwhile
            _deactivate(connection)
            connection.execute(update(CONFIGURATIONS).where(CONFIGURATIONS.c.version == before).values(is_active=True))
            after = {"version": before, "refused": reasons}
            self._audit(connection, actor, "configuration.take_back", made, made, after)

    @staticmethod
    def _audit(connection: Connection, actor: Actor, action: str, made: Version, before: Any, after: Any) -> None:
        append(connection, actor, action, f"configuration/{made.version}", before, after)


_HEAD: Final = tuple(column for column in CONFIGURATIONS.c if column.name != "document")


def _active_row(connection: Connection) -> Row[Any] | None:
    query = select(CONFIGURATIONS).where(CONFIGURATIONS.c.is_active).order_by(CONFIGURATIONS.c.version.desc()).limit(1)
    return connection.execute(query).one_or_none()


def _deactivate(connection: Connection) -> None:
    connection.execute(update(CONFIGURATIONS).where(CONFIGURATIONS.c.is_active).values(is_active=False))


def _version_of(row: Row[Any]) -> Version:
    return Version(row.version, row.note, row.created_by, row.created_at, row.is_active)
