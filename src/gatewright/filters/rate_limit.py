"""`rate_limit`: how many requests, tokens, dollars or calls at once each consumer may use per period."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, Literal

from msgspec import Meta

from gatewright.config.documents import Document
from gatewright.config.references import CelText
from gatewright.core.counting import Allowance, Refused
from gatewright.core.counting import Kind as CountKind
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.pipeline.claims import Claim, Claims, Measure
from gatewright.pipeline.filters import Filter, FilterType
from gatewright.pipeline.grouping import By, Grouping

_SECONDS: Final = {
    "second": 1,
    "minute": 60,
    "hour": 3_600,
    "day": 86_400,
    "week": 7 * 86_400,
    "month": 30 * 86_400,
}
_NANO: Final = 1_000_000_000
_MAX_GROUPS: Final = 10_000
"""Whose claims are kept; beyond it they are made again."""

Count = Annotated[int, Meta(ge=1, le=2**52)]


class Config(Document, frozen=True):
    """Let each consumer use so much per period. At least one of the limits is given; all of them hold together."""

    requests: Count | None = None
    """Requests per period."""
    tokens: Count | None = None
    """Input and output tokens together per period."""
    input_tokens: Count | None = None
    """Input tokens per period."""
    output_tokens: Count | None = None
    """Output tokens per period."""
    usd: Annotated[float, Meta(gt=0, le=1_000_000)] | None = None
    """US dollars per period, at the catalogue's prices. For calendar months and alerts use the filter `budget`."""
    concurrent: Count | None = None
    """Exchanges at the same time, whatever the period."""
    per: Literal["second", "minute", "hour", "day", "week", "month"] = "minute"
    """The period; a month is 30 days. It slides: in no stretch of that length is more used than the limit."""
    by: By = "consumer"
    """Who shares an allowance: each consumer (application) has its own, each organisation, team, end user, key,
    identity provider, model, pair of consumer and model, or all exchanges one together."""
    expression: CelText | None = None
    """A CEL expression instead of `by`: exchanges for which it gives the same value share an allowance, as in
    `jwt.department` or `request.headers["x-project"]`."""
    per_model: bool = False
    """Whether each of them has its own allowance for each published model."""


class RateLimit(Filter):
    """Says what an exchange takes of each limit; the pipeline takes all of it before the call and settles it after.

    Concurrent requests cannot pass together what only one of them may use, whichever workers they are on.
    """

    def __init__(self, config: Config, ports: Ports) -> None:
        self._config = config
        self._scope = ports.scope
        self._limits = _limits_of(config)
        if not self._limits:
            raise ValueError(
                "give at least one of `requests`, `tokens`, `input_tokens`, `output_tokens`, `usd`, `concurrent`"
            )
        self._grouping = Grouping(config.by, config.expression, per_model=config.per_model)
        self._is_consumer = self._grouping.is_consumer
        self._claims: dict[str, Claims] = {}

    def on_reserve(self, x: Exchange) -> Claims:
        # Counted per exchange, not per attempt: failover must not multiply a consumer's charge.
        who = x.consumer.path if self._is_consumer else self._grouping.name(x)
        return self._claims.get(who) or self._make(who, x)

    def _make(self, who: str, x: Exchange) -> Claims:
        if len(self._claims) >= _MAX_GROUPS:
            self._claims.clear()
        claims = self._claims[who] = Claims(
            [self._claim(who, self._grouping.others(x), *limit) for limit in self._limits],
            is_fixed=self._grouping.is_fixed,
        )
        return claims

    def _claim(self, who: str, others: str, measure: Measure, limit: int, shown: str) -> Claim:
        if measure == Measure.CONCURRENT:
            kind, period_s, counted = CountKind.CONCURRENT, 0.0, "concurrent"
        else:
            kind, period_s = CountKind.SLIDING, _SECONDS[self._config.per]
            counted = f"{measure.name.lower()}/{self._config.per}"
        allowance = Allowance(
            f"{self._scope}:{who}:{counted}",
            kind,
            limit,
            period_s,
            shared_key=f"{self._scope}:{others}:{counted}",
            is_open=self._grouping.is_open,
        )
        return Claim(allowance, measure, partial(_refusal, shown))


def _limits_of(config: Config) -> list[tuple[Measure, int, str]]:
    """What is counted, how much of it there is, and how people are told."""
    per = config.per
    usd = None if config.usd is None else round(config.usd * _NANO)
    rows: tuple[tuple[Measure, int | None, str], ...] = (
        (Measure.REQUESTS, config.requests, f"{config.requests} requests per {per}"),
        (Measure.TOTAL, config.tokens, f"{config.tokens} tokens per {per}"),
        (Measure.INPUT, config.input_tokens, f"{config.input_tokens} input tokens per {per}"),
        (Measure.OUTPUT, config.output_tokens, f"{config.output_tokens} output tokens per {per}"),
        (Measure.COST, usd, f"${config.usd} per {per}"),
        (Measure.CONCURRENT, config.concurrent, f"{config.concurrent} requests at the same time"),
    )
    return [(measure, limit, shown) for measure, limit, shown in rows if limit is not None]


def _refusal(shown: str, refused: Refused) -> GatewayError:
    wait_s = refused.wait_s
    return GatewayError(
        Kind.RATE_LIMITED,
        f"The limit of {shown} is used up. Try again in {max(wait_s, 0.001):.3g} s.",
        retry_after_s=wait_s,
    )


RATE_LIMIT: Final = FilterType(
    "rate_limit", Config, RateLimit, "How many requests, tokens and dollars a consumer or model may use per period."
)
