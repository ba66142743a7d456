"""The filters that apply to one consumer and model, compiled by phase: a phase nobody uses costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from gatewright.core.exchange import Exchange
from gatewright.pipeline.claims import Claims
from gatewright.pipeline.filters import Filter
from gatewright.pipeline.plan import Plan

_FIXED_S: Final = 60.0
"""How long a plan that depends on nothing else is kept before the filters are asked again."""
_MAX_PLANS: Final = 1_000
"""Kept per chain; beyond it they are made again. A chain is of one consumer: more come from end users and windows."""
_AFTER_RESERVE: Final = ("on_request", "on_look_up")


def _having(filters: Iterable[Filter], hook: str) -> tuple[Any, ...]:
    """The bound hook of every filter that overrides it."""
    return tuple(getattr(f, hook) for f in filters if getattr(type(f), hook) is not getattr(Filter, hook))


class Chain:
    """The filters that apply to one (consumer, model), by phase."""

    __slots__ = (
        "_fixed",
        "_fixed_until_s",
        "_plans",
        "needs_task",
        "on_authorize",
        "on_events",
        "on_request",
        "on_reserve",
        "on_response",
        "on_settle",
    )

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.on_authorize = _having(filters, "on_authorize")
        self.on_reserve = _having(filters, "on_reserve")
        self.on_request = tuple(hook for phase in _AFTER_RESERVE for hook in _having(filters, phase))
        """The request phases behind the reservation, flattened, in their fixed order."""
        self.needs_task = any(hook.__self__.needs_task for hook in (*self.on_authorize, *self.on_request))
        # The answer passes the filters in reverse: what saw the request last sees the answer first.
        backwards = filters[::-1]
        self.on_response = _having(backwards, "on_response")
        self.on_events = _having(backwards, "on_events")
        self.on_settle = _having(backwards, "on_settle")
        self._plans: dict[Any, Plan] = {}
        self._fixed: Plan | None = None
        """The plan of every exchange, for as long as no claim depends on more than consumer and model."""
        self._fixed_until_s = 0.0

    def plan(self, x: Exchange, wall: Callable[[], float], dry: Collection[str] = ()) -> Plan | None:
        """What this exchange takes of all limits and budgets; None when nothing is counted.

        The budgets named in `dry` count without refusing: what they pay for comes from their other model.
        """
        if x.started_s < self._fixed_until_s and not dry:
            return self._fixed
        parts = tuple([claims for hook in self.on_reserve if (claims := hook(x)) is not None])
        if dry:
            parts = tuple(
                [part.soften() if part.budget is not None and part.budget.name in dry else part for part in parts]
            )
        plan = None if not parts else self._plans.get(parts) or self._build(parts, parts)
        if not dry and all(part.is_fixed for part in parts):
            ends_at = min((part.budget.ends_at for part in parts if part.budget is not None), default=float("inf"))
            self._fixed, self._fixed_until_s = plan, x.started_s + min(ends_at - wall(), _FIXED_S)
        return plan

    def _build(self, key: Any, parts: tuple[Claims, ...]) -> Plan:
        if len(self._plans) >= _MAX_PLANS:
            self._plans.clear()
        plan = self._plans[key] = Plan(parts)
        return plan


EMPTY_CHAIN: Final = Chain(())
