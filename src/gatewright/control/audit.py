"""The audit log: every administrative change, in rows that are only ever added, each sealed by the hash of the next.

A row's hash is the SHA-256 of its columns as a JSON array and of the hash before it, so no row can be altered, removed
or put in between without breaking every hash after it. The number of the last row and a part of its hash are kept in
the table `revisions` too, so rows cut off at the end are missed. Somebody who may write everything in the database can
still build a whole new log; against that, keep the head that `verify` gives outside of it (`Head`), and have the next
check begin there.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, func, or_, select

from gatewright.control.actor import Actor
from gatewright.control.usage import matches
from gatewright.store.database import reading
from gatewright.store.revisions import raise_revision, read_revisions, write_revision
from gatewright.store.tables import AUDIT

_NUMBER: Final = "audit"
_HASH: Final = "audit_hash"
"""Subjects in `revisions`: the last number, and the first 63 bits of its hash (what a BIGINT holds)."""
_MAX_ACTOR: Final = 200
_MAX_SUBJECT: Final = 700
_ROWS_AT_ONCE: Final = 2_000
_MAX_PROBLEMS: Final = 100
MAX_PAGE: Final = 1_000


class Record(Struct, frozen=True):
    """One change."""

    number: int
    """Counts from 1 on, without gap."""
    at_us: int
    """When, in Unix microseconds."""
    actor: str
    """Who: the name of an admin key with its id in brackets, or the user of the command line."""
    origin: str
    """From where."""
    action: str
    """What was done (`key.create`, `key.revoke`)."""
    subject: str
    """To what (`key/abcdefghij`, `consumer/acme/search/indexer`)."""
    before: msgspec.Raw
    """How it was, as JSON; `null` for what is new."""
    after: msgspec.Raw
    """How it is, as JSON; `null` for what is gone."""
    previous_hash: str
    hash: str


class Filter(Struct, frozen=True, kw_only=True):
    """Which changes to list; empty fields do not narrow."""

    subject: str = ""
    """A subject, or the beginning of one."""
    action: str = ""
    """An action, or the beginning of one (`key.`)."""
    actor: str = ""
    """Who, as it is written down, or the name of an admin key alone."""
    since_us: int | None = None
    until_us: int | None = None
    """Before this time."""


EVERY_CHANGE: Final = Filter()


class Head(Struct, frozen=True):
    """The end of the log at some time."""

    number: int
    hash: str


class Verdict(Struct, frozen=True):
    """What a check of the whole log found."""

    problems: tuple[str, ...]
    """Empty for a log that is whole; at most 100."""
    head: Head | None
    """The end of the log, to be kept elsewhere; None for an empty log."""


def append(
    connection: Connection, actor: Actor, action: str, subject: str, before: Any, after: Any, at: float | None = None
) -> int:
    """Write down a change inside the transaction that makes it; gives its number.

    `before` and `after` are anything msgspec can encode, None for what is not there; never hand in a secret or a digest
    of one. `at` is Unix seconds, now by default. Changes are put into one order: this waits for the transaction of
    another change to end.
    """
    number = raise_revision(connection, _NUMBER)
    last = connection.execute(select(AUDIT.c.hash).order_by(AUDIT.c.number.desc()).limit(1)).scalar_one_or_none()
    values = {
        "number": number,
        "at_us": time.time_ns() // 1_000 if at is None else round(at * 1_000_000),
        "actor": _printable(actor.name, _MAX_ACTOR),
        "origin": _printable(actor.origin, _MAX_ACTOR),
        "action": action,
        "subject": _printable(subject, _MAX_SUBJECT),
        "before": _canonical(before),
        "after": _canonical(after),
        "previous_hash": last or "",
    }
    digest = _hash_of(values)
    connection.execute(AUDIT.insert().values(**values, hash=digest))
    write_revision(connection, _HASH, _short(digest))
    return number


def list_records(
    engine: Engine, chosen: Filter = EVERY_CHANGE, *, before: int | None = None, limit: int = 100
) -> list[Record]:
    """The newest changes first; `before` is the number of the last one of the page before."""
    if not (chosen.subject + chosen.action + chosen.actor).isprintable():
        return []  # such text is never written down, and PostgreSQL takes no NUL
    query = select(AUDIT).order_by(AUDIT.c.number.desc()).limit(max(1, min(limit, MAX_PAGE)))
    columns = AUDIT.c
    if before is not None:
        query = query.where(columns.number < before)
    if chosen.subject:
        query = query.where(matches(columns.subject, f"{chosen.subject}*"))
    if chosen.action:
        query = query.where(matches(columns.action, f"{chosen.action}*"))
    if chosen.actor:
        # An administrator is written down as `name (id of the key)`, so that two of one name can be told apart.
        query = query.where(or_(columns.actor == chosen.actor, matches(columns.actor, f"{chosen.actor} (*")))
    if chosen.since_us is not None:
        query = query.where(columns.at_us >= chosen.since_us)
    if chosen.until_us is not None:
        query = query.where(columns.at_us < chosen.until_us)
    with reading(engine) as connection:
        return [_record_of(row) for row in connection.execute(query)]


def verify(engine: Engine, known: Head | None = None) -> Verdict:
    """Check every row of the log. `known` is the head of an earlier check, kept outside of the database.

    Finds gaps, altered rows, rows put in or exchanged, and rows cut off at the end. A cut-off end that was cut out of
    `revisions` too is found only with `known`.
    """
    problems: list[str] = []
    head: Head | None = None
    with reading(engine) as connection:
        # Read before the rows: a change made meanwhile adds rows, and must not look like one that is missing.
        revisions = read_revisions(connection, (_NUMBER, _HASH))
        kept = revisions.get(_NUMBER), revisions.get(_HASH)
        top = connection.execute(select(func.max(AUDIT.c.number))).scalar_one()
        hashes: dict[int, str] = {}
        wanted = {number for number in (kept[0], known.number if known else None) if number is not None}
        for row in _rows(connection, top or 0):
            problems += _faults(row, head)
            head = Head(row.number, row.hash)
            if row.number in wanted:
                hashes[row.number] = row.hash
            if len(problems) >= _MAX_PROBLEMS:
                return Verdict(tuple(problems[:_MAX_PROBLEMS]), head)
    problems += _end_faults(head, kept, hashes)
    if known is not None and hashes.get(known.number) != known.hash:
        problems.append(f"change {known.number} is not the one that was known: the log was cut off or written anew")
    return Verdict(tuple(problems), head)


def _rows(connection: Connection, top: int) -> Iterator[Row[Any]]:
    """All rows in order, some at a time."""
    last = None
    while True:
        query = select(AUDIT).where(AUDIT.c.number <= top).order_by(AUDIT.c.number).limit(_ROWS_AT_ONCE)
        rows = connection.execute(query if last is None else query.where(AUDIT.c.number > last)).all()
        yield from rows
        if len(rows) < _ROWS_AT_ONCE:
            return
        last = rows[-1].number


def _faults(row: Row[Any], previous: Head | None) -> Iterator[str]:
    expected = previous.number + 1 if previous else 1
    if row.number != expected:
        missing = f"change {expected}" if row.number == expected + 1 else f"changes {expected} to {row.number - 1}"
        yield f"{missing} missing" if row.number > expected else f"change {row.number} is numbered before the first"
    elif row.previous_hash != (previous.hash if previous else ""):
        yield f"change {row.number} does not follow the one before it: one of the two was altered"
    if _hash_of(row._asdict()) != row.hash:
        yield f"change {row.number} was altered"


def _end_faults(head: Head | None, kept: tuple[int | None, int | None], hashes: dict[int, str]) -> Iterator[str]:
    number, short = kept
    last = head.number if head else 0
    if number is None:
        if head is not None:
            yield "the number of the last change is not kept any more: the end of the log may have been cut off"
    elif number > last:
        yield f"the log ends with change {last}, but change {number} was made: the end was cut off"
    elif number not in hashes or _short(hashes[number]) != short:
        # A log that grew since the head was read has both: the row that was the last one, and those after it.
        yield f"change {number} is not the one that was made last"


def _printable(text: str, limit: int) -> str:
    return "".join(character if character.isprintable() else "?" for character in text[:limit])


def _canonical(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _hash_of(values: dict[str, Any]) -> str:
    columns = [values[column.name] for column in AUDIT.columns if column.name != "hash"]
    return hashlib.sha256(msgspec.json.encode(columns)).hexdigest()


def _short(digest: str) -> int:
    return int(digest[:16], 16) >> 1 if len(digest) == 64 else -1


def _record_of(row: Row[Any]) -> Record:
    values = row._asdict()
    values["before"] = msgspec.Raw(row.before.encode())
    values["after"] = msgspec.Raw(row.after.encode())
    return Record(**values)
