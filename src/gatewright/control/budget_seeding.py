"""What the ledger says that budgets have spent: for counters that were lost, or begun on another machine.

Counters keep what is spent through every crash of a process. When their file or their server is gone, the ledger still
knows; raising a counter to that never lowers one that knows more. Only then: a budget with a new name, or shared in
another way, begins at nothing, though the ledger knows what was spent before. Budgets that go by an expression, or by
identity provider, are not in the ledger's terms and begin anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from sqlalchemy import Engine, func, select

from gatewright.config.check import convert
from gatewright.config.counters import Counters
from gatewright.config.documents import Gateway, Policy
from gatewright.core.consumer import Consumer
from gatewright.core.counting import Allowance
from gatewright.core.exchange import Exchange
from gatewright.filters.budget import BUDGET, Config
from gatewright.pipeline.calendar import Window, window_at
from gatewright.pipeline.claims import BudgetGroup
from gatewright.pipeline.grouping import Grouping
from gatewright.pipeline.matching import find_dividing, is_selected
from gatewright.store.database import reading
from gatewright.store.memory import MemoryCounters
from gatewright.store.shared import SharedCounters, lacks_spending
from gatewright.store.tables import EXCHANGES, FEMTO_PER_NANO, USAGE_HOURS
from gatewright.telemetry.records import BudgetState

_T = TypeVar("_T")
_UNKNOWN = frozenset(("issuer",))
_FROM_EXCHANGES = frozenset(("user", "key"))
_MICRO = 1_000_000


class Spent(NamedTuple):
    """What the ledger says that a budget's group has spent."""

    group: BudgetGroup
    allowance: Allowance
    nano: int
    """10⁻⁹ US dollars."""


def spent_of_budgets(engine: Engine, document: Gateway, now: float, *, is_quick: bool = False) -> Iterator[Spent]:
    """Every budget group of the present windows that the ledger says has spent something.

    With `is_quick` only those that the roll-ups tell, not those for which every exchange must be read. Blocks; raises
    SQLAlchemyError. `now` is Unix seconds.
    """
    for policy in document.policies:
        if policy.filter == BUDGET.name and policy.name is not None:
            # The hours are by published name, and a policy may be for some names under a published pattern alone.
            is_divided = any(find_dividing(published, policy.on.models) for published in document.models)
            yield from _spent(engine, policy, policy.name, now, has_hours=not is_divided, is_quick=is_quick)


def seed_file(path: Path, find: Callable[[], Iterable[tuple[Allowance, int]]], now: Callable[[], float]) -> None:
    """Raise the counters of this machine's workers, if their file was made since that was done last. Raises OSError.

    Attached no longer than that: the workers take a lock for each request while another process is there.
    """
    if not lacks_spending(path):
        return
    spent = list(find())
    counters = SharedCounters(path, now)
    try:
        for allowance, nano in spent:
            counters.raise_settled(allowance, nano)
        counters.note_raised()
    finally:
        counters.close()


def seed_server(
    settings: Counters, ledger: str, find: Callable[[], Iterable[tuple[Allowance, int]]], now: Callable[[], float]
) -> None:
    """Raise the counters on the server that all machines share, if it was emptied since that was done last.

    What it does not take now is for the next time. `ledger` names the database among those of all machines.
    """
    generation = asyncio.run(_on_server(settings, now, lambda counters: counters.lacking(ledger)))
    if not generation:
        return
    spent = list(find())

    async def raise_all(counters: Any) -> None:
        for allowance, nano in spent:
            if not await counters.raise_settled(allowance, nano):
                return
        await counters.note_raised(ledger, generation)

    asyncio.run(_on_server(settings, now, raise_all))


def read_file(path: Path, groups: Sequence[BudgetGroup], now: Callable[[], float]) -> list[BudgetState]:
    """What the counters of this machine's workers hold of budgets, where that is something. Raises OSError."""
    if not groups:
        return []
    counters = SharedCounters(path, now)
    try:
        return _states(groups, counters.settled([group.allowance for group in groups]))
    finally:
        counters.close()


def read_server(settings: Counters, groups: Sequence[BudgetGroup], now: Callable[[], float]) -> list[BudgetState]:
    """The same of the server that all machines share; nothing while it cannot be asked."""
    if not groups:
        return []
    allowances = [group.allowance for group in groups]
    settled: list[int] | None = asyncio.run(_on_server(settings, now, lambda counters: counters.settled(allowances)))
    return [] if settled is None else _states(groups, settled)


def _states(groups: Sequence[BudgetGroup], settled: Sequence[int]) -> list[BudgetState]:
    return [
        BudgetState(group.name, group.who, group.window, group.ends_at, group.limit_nano, nano)
        for group, nano in zip(groups, settled, strict=True)
        if nano > 0
    ]


async def _on_server(settings: Counters, now: Callable[[], float], do: Callable[[Any], Coroutine[Any, Any, _T]]) -> _T:
    # redis-py is an extra: only who counts there needs it.
    module = import_module("gatewright.store.redis_counters")
    async with asyncio.TaskGroup() as tasks:
        counters = module.RedisCounters(
            settings,
            local=MemoryCounters(now),
            spawn=lambda coroutine, name: tasks.create_task(coroutine, name=name),
            clock=time.monotonic,
            wall=now,
            name=f"control-{uuid4().hex}",
            on_event=lambda event: None,
        )
        await counters.open()
        try:
            return await do(counters)
        finally:
            await counters.close()


def _spent(
    engine: Engine, policy: Policy, name: str, now: float, *, has_hours: bool, is_quick: bool
) -> Iterator[Spent]:
    config, _ = convert(policy.config, Config)
    if config is None or config.expression is not None or config.by in _UNKNOWN or policy.on.issuers:
        return
    window = window_at(config.per, now)
    grouping = Grouping(config.by)
    sums: dict[tuple[str, str], int] = {}
    has_hours = has_hours and config.by not in _FROM_EXCHANGES
    if is_quick and not has_hours:
        return
    rows = _from_hours(engine, window) if has_hours else _from_exchanges(engine, window)
    for x, femto in rows:
        if is_selected(policy.on.models, x.requested_model) and is_selected(policy.on.consumers, x.consumer.path):
            names = grouping.name(x), grouping.others(x)
            sums[names] = sums.get(names, 0) + femto
    limit = round(config.usd * 1_000_000_000)
    for (who, others), femto in sums.items():
        group = BudgetGroup(name, who, window.name, window.ends_at, limit)
        allowance = group.claim(others, is_hard=not config.soft, is_open=grouping.is_open)
        yield Spent(group, allowance, -(-femto // FEMTO_PER_NANO))


def _from_hours(engine: Engine, window: Window) -> Iterable[tuple[Exchange, int]]:
    table = USAGE_HOURS.c
    query = (
        select(table.consumer, table.model, func.sum(table.cost_nano), func.sum(table.cost_rest_femto))
        .where(table.hour >= int(window.begins_at))
        .group_by(table.consumer, table.model)
    )
    with reading(engine) as connection:
        for consumer, model, nano, rest in connection.execute(query):
            yield _exchange(consumer, model, model), int(nano) * FEMTO_PER_NANO + int(rest)


def _from_exchanges(engine: Engine, window: Window) -> Iterable[tuple[Exchange, int]]:
    table = EXCHANGES.c
    groups = (table.consumer, table.model, table.requested_model, table.end_user, table.key_id)
    query = (
        select(*groups, func.sum(table.cost_nano), func.sum(table.cost_rest_femto))
        .where(table.started_at_us >= int(window.begins_at) * _MICRO)
        .group_by(*groups)
    )
    with reading(engine) as connection:
        for consumer, published, called, user, key_id, nano, rest in connection.execute(query):
            yield _exchange(consumer, published, called, user, key_id), int(nano) * FEMTO_PER_NANO + int(rest)


def _exchange(consumer: str, published: str, called: str, user: str = "", key_id: str = "") -> Exchange:
    """As much of an exchange as says whose budget paid for it."""
    x = Exchange("", None, {}, b"", 0.0)
    x.consumer = Consumer(consumer, key_id=key_id)
    x.published_model, x.requested_model = published, called
    x.user = user
    return x
