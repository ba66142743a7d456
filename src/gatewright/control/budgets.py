"""Budgets that the admin API keeps: policies of the filter `budget`, added to those of the configuration.

A document here is what a policy is there, without its `filter`: a name, what it applies to, and the filter's settings.
The names of all budgets must differ, since spending is kept under them.

A reference is resolved where the gateway runs, so whoever may write one anywhere could read the gateway's environment
and files. Here it may be the whole of `webhook` only, a value that is never shown; and since that sends something to
the address behind it, such budgets are for the role `admin` alone.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, Engine, Row, delete, select, update
from sqlalchemy.exc import IntegrityError

from gatewright.config.documents import Selector
from gatewright.config.load import MAX_FILE_BYTES
from gatewright.config.problems import ConfigError
from gatewright.config.references import holds_reference, is_reference
from gatewright.config.tree import join
from gatewright.control.actor import Actor
from gatewright.control.admin_keys import Role
from gatewright.control.audit import append
from gatewright.control.document_secrets import MAX_DEPTH_OF_SETTINGS, depth_of
from gatewright.control.kept import Kept, change_kept, render_budgets
from gatewright.control.managed_sources import placed_in_budget
from gatewright.control.refusals import Conflict, Forbidden, NotFound, Outdated, Unacceptable
from gatewright.store.database import reading
from gatewright.store.revisions import raise_revision
from gatewright.store.tables import BUDGETS
from gatewright.telemetry.records import BudgetState

_NANO: Final = 1_000_000_000
SUBJECT: Final = "budgets"
"""Of the revision that every change raises."""
_MAX_BYTES: Final = MAX_FILE_BYTES - 1024 * 1024
"""Of all budgets, well below what is read of one file."""
_WEBHOOK: Final = "config.webhook"
"""The one place of a reference."""


class BudgetPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A budget: a policy of the filter `budget`."""

    name: str
    """Under which its spending is kept; a new name begins at nothing spent."""
    on: Selector = Selector()
    """What it applies to; default is every exchange."""
    config: dict[str, Any]
    """The settings of the filter `budget`. `webhook` is a reference, and nothing else holds one."""


class ManagedBudget(Struct, frozen=True):
    """A budget as it is kept."""

    policy: BudgetPolicy
    """What was asked for."""
    changed_at: int
    """When it was made or changed last, in Unix seconds."""

    @property
    def revision(self) -> str:
        """Differs whenever what was asked for does. Of a budget that was changed back it is what it was: who has seen
        it then has seen what is there now."""
        return hashlib.blake2b(msgspec.json.encode(self.policy, order="sorted"), digest_size=16).hexdigest()


class BudgetSpending(Struct, frozen=True):
    """How much of a budget one of those that share it has used in the present window."""

    who: str
    """A consumer's path, or whatever `by` or `expression` gives."""
    window: str
    """The calendar window, as `2026-11` or `total`."""
    ends_at: int | None
    """When it ends, in Unix seconds; none for `total`."""
    limit_usd: float
    """What may be spent in the window."""
    used_usd: float
    """What is spent; what running exchanges have reserved is not in it."""

    @classmethod
    def of(cls, state: BudgetState) -> BudgetSpending:
        """The same as a worker reports it."""
        ends_at = int(state.ends_at) if math.isfinite(state.ends_at) else None
        return cls(state.who, state.window, ends_at, state.limit_nano / _NANO, state.used_nano / _NANO)


Validate = Callable[[BudgetPolicy, str | None], Sequence[ConfigError]]
"""Everything that is wrong with a policy beside the configuration: its active version, None where there is none yet.
Where the gateway was started with files, those are meant instead."""


class Budgets:
    """The budgets of one database. `validate` is asked before each change; `now` gives Unix seconds."""

    def __init__(self, engine: Engine, *, validate: Validate, now: Callable[[], float]) -> None:
        self._engine, self._validate, self._now = engine, validate, now

    def list(self, *, after: str = "", limit: int | None = None) -> list[ManagedBudget]:
        """Budgets by name; `after` goes on behind the last one of a page."""
        query = select(BUDGETS).where(BUDGETS.c.name > after).order_by(BUDGETS.c.name).limit(limit)
        with reading(self._engine) as connection:
            return [_budget_of(row) for row in connection.execute(query)]

    def get(self, name: str) -> ManagedBudget:
        """One budget. Raises NotFound."""
        with reading(self._engine) as connection:
            row = connection.execute(select(BUDGETS).where(BUDGETS.c.name == name)).one_or_none()
        if row is None:
            raise _absent(name)
        return _budget_of(row)

    def create(self, actor: Actor, policy: BudgetPolicy) -> ManagedBudget:
        """Keep a new budget. Raises Conflict where there is one of that name, Forbidden and Unacceptable."""
        made = ManagedBudget(policy, int(self._now()))

        def write(connection: Connection) -> None:
            raise_revision(connection, SUBJECT)
            values = {"name": policy.name, "document": _stored(policy), "changed_at": made.changed_at}
            connection.execute(BUDGETS.insert().values(values))
            append(connection, actor, "budget.create", f"budget/{policy.name}", None, policy)

        self._check(actor, policy)
        try:
            change_kept(self._engine, lambda kept: self._try(policy, kept), write)
        except IntegrityError:
            raise Conflict(f"there is a budget `{policy.name}` already; change that one") from None
        return made

    def replace(self, actor: Actor, policy: BudgetPolicy, *, expected: Collection[str] | None = None) -> ManagedBudget:
        """Put another document in the place of a budget; what is spent stays. `expected` are revisions, of which it
        must have one.

        Raises NotFound, Forbidden, Outdated and Unacceptable.
        """
        made = ManagedBudget(policy, int(self._now()))

        def write(connection: Connection) -> None:
            raise_revision(connection, SUBJECT)
            before = _held(connection, actor, policy.name, expected)
            values = {"document": _stored(policy), "changed_at": made.changed_at}
            connection.execute(update(BUDGETS).where(BUDGETS.c.name == policy.name).values(values))
            append(connection, actor, "budget.replace", f"budget/{policy.name}", before, policy)

        self._check(actor, policy)
        change_kept(self._engine, lambda kept: self._try(policy, kept), write)
        return made

    def delete(self, actor: Actor, name: str, *, expected: Collection[str] | None = None) -> None:
        """Keep a budget no longer; `expected` as for `replace`. Raises NotFound, Forbidden and Outdated."""
        with self._engine.begin() as connection:
            raise_revision(connection, SUBJECT)
            before = _held(connection, actor, name, expected)
            connection.execute(delete(BUDGETS).where(BUDGETS.c.name == name))
            append(connection, actor, "budget.delete", f"budget/{name}", before, None)

    def _check(self, actor: Actor, policy: BudgetPolicy) -> None:
        if depth_of(policy.config) > MAX_DEPTH_OF_SETTINGS:
            raise Unacceptable("`config` is nested too deeply; no setting of a budget is")
        _check_role(actor, policy)
        # Before anything resolves them: what is then said could tell what stands behind.
        _refuse(_find_references(policy))

    def _try(self, policy: BudgetPolicy, kept: Kept) -> None:
        """Raises Unacceptable when the budget could not be served with what is kept."""
        others = [other for other in kept.policies if other["name"] != policy.name]
        if len(render_budgets([*others, _stored(policy)])) > _MAX_BYTES:
            raise Unacceptable(f"all budgets together may take {_MAX_BYTES >> 20} MiB; make this one smaller")
        _refuse(self._validate(policy, kept.active))


def _refuse(errors: Sequence[ConfigError]) -> None:
    if errors:
        raise Unacceptable("the budget has errors; nothing was changed", [placed_in_budget(error) for error in errors])


def _held(connection: Connection, actor: Actor, name: str, expected: Collection[str] | None) -> BudgetPolicy:
    """The budget that this actor is about to change."""
    row = connection.execute(select(BUDGETS).where(BUDGETS.c.name == name)).one_or_none()
    if row is None:
        raise _absent(name)
    held = _budget_of(row)
    _check_role(actor, held.policy)
    if expected is not None and held.revision not in expected:
        raise Outdated(f"the budget `{name}` was changed meanwhile; read it and decide again")
    return held.policy


def _check_role(actor: Actor, policy: BudgetPolicy) -> None:
    """Raises Forbidden when the budget is none that this actor may make, change or remove."""
    if policy.config.get("webhook") is not None and not Role(actor.role).includes(Role.ADMIN):
        raise Forbidden("a budget with a `webhook` sends what a reference stands for, so this needs the role admin")


def _find_references(policy: BudgetPolicy) -> list[ConfigError]:
    """One error for each reference that stands where none may."""
    message = "a reference may stand here in `config.webhook` only, as its whole value; write the value itself"
    return [
        ConfigError(path, message)
        for path, text in _texts(_stored(policy), "")
        if holds_reference(text) and not (path == _WEBHOOK and is_reference(text))
    ]


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    """Every text of plain data with its path."""
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _texts(child, join(path, key))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _texts(child, join(path, index))
    elif isinstance(value, str):
        yield path, value


def _absent(name: str) -> NotFound:
    return NotFound(f"there is no budget `{name}` here; one of the configuration is changed there")


def _stored(policy: BudgetPolicy) -> dict[str, Any]:
    stored: dict[str, Any] = msgspec.to_builtins(policy)
    return stored


def _budget_of(row: Row[Any]) -> ManagedBudget:
    return ManagedBudget(msgspec.convert(row.document, BudgetPolicy), row.changed_at)
