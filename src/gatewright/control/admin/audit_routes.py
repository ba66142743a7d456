"""`/admin/v1/audit`: who changed what."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Router, get
from litestar.params import QueryParameter
from msgspec import Struct

from gatewright.control.admin.parameters import (
    EVER,
    MAX_SAFE,
    Cursor,
    Limit,
    Since,
    Until,
    cut,
    needs,
    parse_cursor,
    responses,
    text,
)
from gatewright.control.admin.problems import Problem
from gatewright.control.admin.services import Services
from gatewright.control.admin_keys import Role
from gatewright.control.audit import Filter, Head, Record, list_records, verify


class Change(Struct, frozen=True):
    """One administrative change."""

    number: int
    """Counts from 1 on, without gap."""
    at_us: int
    """When, in Unix microseconds."""
    actor: str
    """Who: the name of an admin key, or the user of the command line."""
    origin: str
    """From where."""
    action: str
    """What was done (`budget.create`)."""
    subject: str
    """To what (`budget/monthly`)."""
    before: Any
    """How it was; null for what is new."""
    after: Any
    """How it is; null for what is gone."""
    hash: str
    """SHA-256 over all of this and the hash before it, in hex digits."""


class ChangePage(Struct, frozen=True):
    """Some changes."""

    items: list[Change]
    """The newest first."""
    next_cursor: str | None
    """For the next page; null on the last."""


class AuditHead(Struct, frozen=True):
    """The end of the log."""

    number: int
    """The number of the last change."""
    hash: str
    """Its hash."""


class AuditVerdict(Struct, frozen=True):
    """What a check of the whole log found."""

    ok: bool
    """Whether the log is whole."""
    problems: list[str]
    """What is not, at most 100."""
    head: AuditHead | None
    """The end of the log, to be kept outside of the database and given at the next check; null for an empty log."""


@get("/", operation_id="listChanges", summary="List changes", responses=responses(), sync_to_thread=True)
def list_changes(
    services: Services,
    subject: Annotated[str, text(700, "A subject, or its beginning: `budget/`.")] = "",
    action: Annotated[str, text(80, "An action, or its beginning: `key.`.")] = "",
    by: Annotated[str, text(200, "Who made it, exactly.")] = "",
    since_us: Since = 0,
    until_us: Until = EVER,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> ChangePage:
    """Every administrative change, by whatever way it was made."""
    chosen = Filter(subject=subject, action=action, actor=by, since_us=since_us or None, until_us=until_us)
    found = list_records(services.engine, chosen, before=parse_cursor(cursor, int), limit=limit + 1)
    page, more = cut(found, limit, lambda record: record.number)
    return ChangePage([_change(record) for record in page], more)


@get(
    "/verify",
    operation_id="verifyAudit",
    summary="Check the log of changes",
    responses=responses(),
    sync_to_thread=True,
)
def verify_audit(
    services: Services,
    number: Annotated[
        int, QueryParameter(ge=0, le=MAX_SAFE, description="The number of the end that an earlier check gave.")
    ] = 0,
    hash_: Annotated[
        str,
        text(64, "The hash of that end.", name="hash"),
    ] = "",
) -> AuditVerdict:
    """Reads all of it, and finds what was altered, removed or cut off."""
    if bool(number) != bool(hash_):
        raise Problem("unacceptable", "`number` and `hash` are given together or not at all")
    known = Head(number, hash_) if number else None
    verdict = verify(services.engine, known)
    end = verdict.head
    head = None if end is None else AuditHead(end.number, end.hash)
    return AuditVerdict(not verdict.problems, list(verdict.problems), head)


ROUTER: Final = Router(
    "/audit", route_handlers=[list_changes, verify_audit], guards=[needs(Role.VIEWER)], tags=["audit"]
)


def _change(record: Record) -> Change:
    before, after = msgspec.json.decode(record.before), msgspec.json.decode(record.after)
    return Change(
        record.number,
        record.at_us,
        record.actor,
        record.origin,
        record.action,
        record.subject,
        before,
        after,
        record.hash,
    )
