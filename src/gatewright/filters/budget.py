"""`budget`: how many dollars a consumer may spend per day, week, month or in all."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, Literal

from msgspec import Meta
from msgspec.structs import replace

from gatewright.config.documents import Document
from gatewright.config.references import CelText
from gatewright.core.counting import Refused
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.core.secret import Secret
from gatewright.pipeline.calendar import Per, Window, window_at
from gatewright.pipeline.claims import BudgetGroup, Claim, Claims, Measure
from gatewright.pipeline.filters import Filter, FilterType
from gatewright.pipeline.grouping import By, Grouping

_NANO: Final = 1_000_000_000
_MAX_GROUPS: Final = 10_000
"""Whose claims are kept; beyond it they are made again."""
_SOON: Final = 3_600.0
"""A caller is told to come back after the window when it ends so soon; else it takes people to mend it."""

Percent = Annotated[int, Meta(ge=1, le=1_000)]


class Config(Document, frozen=True):
    """Let each consumer spend so many dollars per calendar window (UTC). The policy needs a `name`: spending is kept
    under it, so that it outlives reloads and restarts."""

    usd: Annotated[float, Meta(gt=0, le=9_000_000)]
    """US dollars per window, at the catalogue's prices."""
    per: Per = "month"
    """The window: a calendar `day`, `week` (from Monday) or `month`, or `total` for all time."""
    by: By = "consumer"
    """Who shares the budget: each consumer (application) has its own, each organisation, team, end user, key,
    identity provider, model, pair of consumer and model, or all exchanges one together."""
    expression: CelText | None = None
    """A CEL expression instead of `by`: exchanges for which it gives the same value share a budget."""
    soft: bool = False
    """Whether it only counts and alerts. A hard budget refuses what it cannot pay, and ends a stream that it can pay no
    longer."""
    when_dry: str | None = None
    """The published model that answers instead when the budget is used up; without it requests are refused."""
    unpriced: Literal["refuse", "allow"] = "refuse"
    """What becomes of calls to models whose prices are not known: they cannot be counted, so a hard budget refuses
    them, unless told otherwise."""
    alerts: tuple[Percent, ...] = (80, 100)
    """Percentages at which the log, the metrics and the webhook tell."""
    webhook: Secret | None = None
    """URL to which alerts are sent as JSON, by POST."""


class Budget(Filter):
    """Says under which budget an exchange is paid; the pipeline reserves, extends and settles what it costs."""

    def __init__(self, config: Config, ports: Ports) -> None:
        if not ports.is_named:
            raise ValueError("a budget needs a `name` beside `filter`: what is spent is kept under it")
        self._config = config
        self._scope = ports.scope
        self._wall = ports.wall
        self._limit = round(config.usd * _NANO)
        self._grouping = Grouping(config.by, config.expression)
        self._is_consumer = self._grouping.is_consumer
        self._claims: dict[str, Claims] = {}
        self._window = Window("", 0.0, float("-inf"))

    def on_reserve(self, x: Exchange) -> Claims:
        now = self._wall()
        # Before its beginning, too: a clock that was ahead for a moment must not leave its window behind.
        if not self._window.begins_at <= now < self._window.ends_at:
            self._window = window_at(self._config.per, now)
            self._claims.clear()
        who = x.consumer.path if self._is_consumer else self._grouping.name(x)
        return self._claims.get(who) or self._make(who, x)

    def _make(self, who: str, x: Exchange) -> Claims:
        if len(self._claims) >= _MAX_GROUPS:
            self._claims.clear()
        config, window = self._config, self._window
        group = BudgetGroup(self._scope, who, window.name, window.ends_at, self._limit)
        allowance = group.claim(self._grouping.others(x), is_hard=not config.soft, is_open=self._grouping.is_open)
        refuses = config.unpriced == "refuse" and not config.soft
        claims = self._claims[who] = Claims(
            [Claim(allowance, Measure.COST, partial(self._refusal, group))],
            budget=group,
            other_model=config.when_dry,
            refuse_unpriced=self._refuse_unpriced if refuses else None,
            is_fixed=self._grouping.is_fixed,
        )
        return claims

    def _refusal(self, group: BudgetGroup, refused: Refused) -> GatewayError:
        until_s = group.ends_at - self._wall()
        when = "" if group.window == "total" else f" It begins anew in {_shown_duration(until_s)}."
        per = "in all" if self._config.per == "total" else f"per {self._config.per}"
        budget = f"The budget `{self._scope}` of ${_shown_usd(self._config.usd)} {per}"
        left = refused.left / _NANO
        state = f"has ${_shown_usd(left)} left, less than this may cost" if left > 0 else "is used up"
        error = GatewayError(
            Kind.QUOTA_EXCEEDED,
            f"{budget} {state}.{when}",
            code="insufficient_quota",
            retry_after_s=max(until_s, 1.0) if until_s < _SOON else None,
        )
        error.budget = replace(group, is_dry=True)
        return error

    def _refuse_unpriced(self, model: str) -> GatewayError:
        return GatewayError(
            Kind.FORBIDDEN,
            f"The model `{model}` has no known price, so the budget `{self._scope}` cannot pay for it. An operator can"
            " add its prices under `catalogue`, or write `unpriced: allow` into the budget.",
            param="model",
        )


def _shown_usd(usd: float) -> str:
    """In cents, and as many further digits as it was configured with."""
    whole, _, cents = f"{usd:,.9f}".partition(".")
    return f"{whole}.{cents.rstrip('0').ljust(2, '0')}"


def _shown_duration(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 1):.0f} seconds"


BUDGET: Final = FilterType(
    "budget", Config, Budget, "How many dollars a consumer may spend per day, week, month or in all."
)
