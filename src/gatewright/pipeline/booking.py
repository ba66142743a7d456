"""What a settled exchange brings into the ledger: every attempt that was made, whatever came of it."""

from __future__ import annotations

from gatewright.core.errors import GatewayError
from gatewright.core.exchange import Exchange
from gatewright.core.ledger import Packed
from gatewright.core.usage import Usage
from gatewright.pipeline.targets import BoundTarget


class PastAttempt:
    """An attempt that was followed by another."""

    __slots__ = ("cost_femto_usd", "outcome", "price_version", "target", "upstream_s", "usage")

    def __init__(self, target: BoundTarget, outcome: str, usage: Usage | None, upstream_s: float) -> None:
        self.target = target
        self.outcome = outcome
        self.usage = usage
        self.upstream_s = upstream_s
        self.cost_femto_usd: int | None = None
        self.price_version = ""


def note_attempt(x: Exchange, error: GatewayError) -> None:
    """Keep what the present attempt came to, before another one is begun."""
    usage = x.usage
    earlier_s = sum(attempt.upstream_s for attempt in x.past) if x.past else 0.0
    attempt = PastAttempt(x.target, error.kind.value, usage, x.upstream_s - earlier_s)
    if x.past is None:
        x.past = []
    x.past.append(attempt)
    x.usage = None


def attempts_of(x: Exchange) -> list[Packed]:
    """The attempts of a settled exchange, in order, as the ledger has them (`core.ledger.Attempt`)."""
    target: BoundTarget | None = x.target
    attempts: list[Packed] = []
    upstream_s = x.upstream_s
    if x.past is not None:
        for past in x.past:
            upstream_s -= past.upstream_s
            priced = (past.cost_femto_usd, past.price_version)
            attempts.append(_attempt(x, past.target, past.outcome, past.usage, priced, past.upstream_s))
    if target is not None and x.attempts:
        outcome = "ok" if x.error is None else x.error.kind.value
        attempts.append(_attempt(x, target, outcome, x.usage, (x.cost_femto_usd, x.price_version), upstream_s))
    return attempts


def _attempt(
    x: Exchange,
    target: BoundTarget,
    outcome: str,
    usage: Usage | None,
    priced: tuple[int | None, str],
    upstream_s: float,
) -> Packed:
    cost, version = priced
    return (
        target.provider,
        target.upstream.type,
        target.model or x.requested_model,
        outcome,
        None if usage is None else _tokens(usage),
        usage is not None and usage.estimated,
        cost,
        version,
        int(upstream_s * 1000),
    )


def _tokens(usage: Usage) -> Packed:
    """The fields of `core.ledger.Tokens`."""
    if usage.is_text:
        return (usage.input_total, 0, 0, 0, 0, 0, usage.output_total)
    return (
        usage.input_total,
        usage.input_cached_read,
        usage.input_cache_write,
        usage.input_cache_write_1h,
        usage.fresh_audio,
        usage.fresh_image,
        usage.output_total,
        usage.output_reasoning,
        usage.output_audio,
        usage.output_image,
        0 if usage.audio_s is None else round(usage.audio_s * 1000),
        0 if usage.search_units is None else round(usage.search_units * 1000),
        usage.images or 0,
        usage.characters or 0,
        usage.web_searches,
    )
