"""Watches how far budgets are spent: keeps their state for metrics and the admin API, and tells when a mark is passed.

Workers report what is spent of a budget whenever it was used. Their reports may come in any order, and what is spent in
a window never becomes less, so the largest counts. A mark (a percentage of the limit) is told once per budget, group
and calendar window: in the log, and to the budget's webhook. What was told is kept in the database, so that a restart
does not tell it again; without a database it is told again rather than never.

A hard budget need not come to 100 %: it refuses who may need more than is left. So one that refuses when it is nearly
spent counts as spent for its marks. Not one that refuses before: a single request may be as large as its sender likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from enum import Enum
from typing import Any, Final

import httpx
import msgspec
from msgspec import Struct
from sqlalchemy import ColumnElement, Engine, and_, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from gatewright.config.documents import Gateway
from gatewright.core.secret import Secret
from gatewright.store.tables import ALERTS
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import BudgetState

MAX_GROUPS: Final = 10_000
"""Budgets whose state is kept; beyond it the oldest are forgotten until they are used again."""
_MAX_TOLD: Final = 4 * MAX_GROUPS
"""Marks that are remembered here; beyond it the database alone knows what was told."""
_TIMEOUT_S: Final = 10.0
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 300.0
"""How long an alert waits before it is sent again to a webhook that did not take it."""
_LEASE_S: Final = 400.0
"""Who tried to tell an alert and has not tried again for this long is gone: then another does."""
_KEY_CHARACTERS: Final = 800
_OPENING_TRIES: Final = 20
_OPENING_S: Final = 0.25
"""How often, and how long each time, an alert waits for the database to open."""
_MICRO: Final = 1_000_000
_NANO: Final = 1_000_000_000
_NEARLY: Final = 80
"""Percent from which a budget that refuses counts as spent."""
FILTER: Final = "budget"


Mark = tuple[str, int]
"""The key of a budget's group, window and limit, and the percentage."""


class _Turn(Enum):
    OURS = 1
    OTHERS = 2
    """Another process tries to tell it."""
    TOLD = 3


class _Marks(Struct, frozen=True):
    """What the configuration says about alerts of one budget."""

    percents: tuple[int, ...]
    webhook: Secret | None


class Alert(Struct, frozen=True):
    """What a webhook is sent, as JSON."""

    budget: str
    group: str
    """Who spends: a consumer's path, or whatever the budget goes by."""
    window: str
    threshold_percent: int
    used_usd: str
    limit_usd: str


class BudgetWatch:
    """Takes the states that workers report; `tell` runs the coroutine of an alert in the background."""

    def __init__(
        self,
        engine: Callable[[], Engine | None],
        wall: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        log: Log,
    ) -> None:
        self._engine, self._wall, self._spawn, self._log = engine, wall, spawn, log
        self._marks: dict[str, _Marks] = {}
        self._told: set[Mark] = set()
        self.states: dict[tuple[str, str, str], BudgetState] = {}
        """The last known state by budget, group and window."""

    def present(self) -> list[BudgetState]:
        """The states of windows that have not ended, the last used one last. Any thread may ask."""
        now = self._wall()
        # Taken in one step: in the meantime the event loop may note what workers report.
        return [state for state in list(self.states.values()) if state.ends_at > now]

    def configure(self, document: Gateway) -> None:
        """Follow the configuration that is served."""
        self._marks = {
            policy.name: _Marks(tuple(policy.config.get("alerts", (80, 100))), _secret(policy.config.get("webhook")))
            for policy in document.policies
            if policy.filter == FILTER and policy.name is not None
        }

    def take(self, states: Iterable[BudgetState]) -> None:
        """Note what workers report, and tell what has passed a mark."""
        for state in states:
            key = (state.name, state.who, state.window)
            known = self.states.pop(key, None)
            if known is not None and known.used_nano > state.used_nano:
                state = msgspec.structs.replace(state, used_nano=known.used_nano)
            self.states[key] = state
            marks = self._marks.get(state.name)
            if marks is not None:
                self._check(state, marks)
        if len(self.states) > MAX_GROUPS:
            self._forget()

    def _check(self, state: BudgetState, marks: _Marks) -> None:
        reached = state.used_nano * 100
        if state.is_dry and reached >= state.limit_nano * _NEARLY:
            reached = max(reached, state.limit_nano * 100)
        for percent in marks.percents:
            # With the limit: a budget that was raised has its marks before it once more.
            key = f"{state.limit_nano}:{state.name}:{state.window}:{state.who}"
            mark = (key[:_KEY_CHARACTERS], percent)
            if reached >= state.limit_nano * percent and mark not in self._told:
                if len(self._told) >= _MAX_TOLD:
                    self._told.clear()
                self._told.add(mark)
                self._spawn(self._tell(state, percent, mark))

    def _forget(self) -> None:
        now = self._wall()
        self.states = {key: state for key, state in self.states.items() if state.ends_at > now}
        for key in list(self.states)[: max(len(self.states) - MAX_GROUPS, 0)]:
            del self.states[key]

    async def _tell(self, state: BudgetState, percent: int, mark: Mark) -> None:
        """Tell one mark in the log and to the webhook, whatever time that takes: until the window ends."""
        # After a start the database opens a moment later than workers report: what it knows was told already.
        for _ in range(_OPENING_TRIES):
            if self._engine() is not None:
                break
            await asyncio.sleep(_OPENING_S)
        alert = Alert(
            budget=state.name,
            group=state.who,
            window=state.window,
            threshold_percent=percent,
            used_usd=_usd(state.used_nano),
            limit_usd=_usd(state.limit_nano),
        )
        claimed_us: int | None = None
        wait_s = _FIRST_WAIT_S
        while self._wall() < state.ends_at:
            turn, claimed_us = await asyncio.to_thread(self._claim, mark, claimed_us)
            if turn is _Turn.TOLD:
                return
            if turn is _Turn.OTHERS:
                wait_s = _LEASE_S
            else:
                if wait_s == _FIRST_WAIT_S:
                    self._log.warning(f"a budget has reached {percent} %", **msgspec.to_builtins(alert))
                marks = self._marks.get(state.name)
                if marks is None or marks.webhook is None or await self._post(alert, marks.webhook):
                    await asyncio.to_thread(self._note_told, mark)
                    return
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 3, _LONGEST_WAIT_S)

    def _claim(self, mark: Mark, claimed_us: int | None) -> tuple[_Turn, int]:
        """Whose turn it is to tell, and since when; `claimed_us` is what this gave before. Without a database it is
        everybody's."""
        now_us = int(self._wall() * _MICRO)
        engine = self._engine()
        if engine is None:
            return _Turn.OURS, now_us
        chosen = _of(mark)
        try:
            with engine.begin() as connection:
                known = connection.execute(select(ALERTS).where(chosen)).one_or_none()
                if known is None:
                    key, threshold = mark
                    connection.execute(insert(ALERTS).values(key=key, threshold=threshold, at_us=now_us))
                    return _Turn.OURS, now_us
                if known.told_at_us is not None:
                    return _Turn.TOLD, now_us
                if known.at_us != claimed_us and known.at_us > now_us - _LEASE_S * _MICRO:
                    return _Turn.OTHERS, now_us
                taken = connection.execute(
                    update(ALERTS).where(chosen, ALERTS.c.at_us == known.at_us).values(at_us=now_us)
                )
                return (_Turn.OURS if taken.rowcount else _Turn.OTHERS), now_us
        except IntegrityError:
            return _Turn.OTHERS, now_us  # another replica was faster
        except SQLAlchemyError as error:
            self._log.warning("an alert cannot be marked as told", error=type(error).__name__)
        return _Turn.OURS, now_us

    def _note_told(self, mark: Mark) -> None:
        engine = self._engine()
        if engine is None:
            return
        try:
            with engine.begin() as connection:
                told = update(ALERTS).where(_of(mark)).values(told_at_us=int(self._wall() * _MICRO))
                connection.execute(told)
        except SQLAlchemyError as error:
            self._log.warning("an alert cannot be marked as told", error=type(error).__name__)

    async def _post(self, alert: Alert, webhook: Secret) -> bool:
        """Whether the webhook has taken it, or will never."""
        body = msgspec.json.encode(alert)
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as client:
                answer = await client.post(webhook.reveal(), content=body, headers={"content-type": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = type(error).__name__
        else:
            if answer.status_code < 500:
                if answer.status_code >= 300:
                    self._log.error("the webhook refuses an alert", budget=alert.budget, status=answer.status_code)
                return True
            reason = f"status {answer.status_code}"
        # Never the URL: it may hold a credential.
        self._log.error("the webhook cannot be reached; the alert is sent again", budget=alert.budget, reason=reason)
        return False


def _of(mark: Mark) -> ColumnElement[bool]:
    key, threshold = mark
    return and_(ALERTS.c.key == key, ALERTS.c.threshold == threshold)


def _usd(nano: int) -> str:
    return f"{nano // _NANO}.{nano % _NANO:09d}"


def _secret(value: object) -> Secret | None:
    if isinstance(value, Secret):
        return value
    return Secret(value) if isinstance(value, str) else None
