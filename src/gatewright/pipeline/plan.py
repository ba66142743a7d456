"""The claims of all policies on one kind of exchange, compiled: what is reserved, extended, settled and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.usage import Usage
from gatewright.pipeline.claims import NANO_FEMTO, Claims, Measure


class ShownLimit:
    """A limit that the headers of an answer may speak of."""

    __slots__ = ("index", "limit", "lines_after", "lines_before", "unit")

    def __init__(self, index: int, limit: int, unit: bytes, period_s: float) -> None:
        self.index = index
        """Its place in the plan."""
        self.limit = limit
        self.unit = unit
        self.lines_before = b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: " % (unit, limit, unit)
        """Its header lines, up to and from behind what remains."""
        self.lines_after = b"\r\nx-ratelimit-reset-%b: %b\r\n" % (unit, _duration(period_s))


class Plan:
    """The claims of all policies on one kind of exchange, compiled."""

    __slots__ = (
        "allowances",
        "budgets",
        "counts_cost",
        "counts_input",
        "counts_output",
        "expires",
        "measures",
        "owners",
        "refusals",
        "running",
        "shown",
        "unpriced",
    )

    def __init__(self, parts: Sequence[Claims]) -> None:
        claims = [(claim, part) for part in parts for claim in part.claims]
        self.allowances = tuple(claim.allowance for claim, _ in claims)
        # Plain numbers: an enum's member is slower as an index.
        self.measures = tuple(int(claim.measure) for claim, _ in claims)
        self.refusals = tuple(claim.refuse for claim, _ in claims)
        self.owners = tuple(part for _, part in claims)
        self.running = tuple(_while_running(claim.allowance) for claim, _ in claims)
        """The allowances as they hold while an answer streams."""
        self.counts_cost = Measure.COST in self.measures
        self.counts_input = any(measure >= Measure.INPUT for measure in self.measures)
        self.counts_output = any(measure in _OUTPUT for measure in self.measures)
        self.expires = any(allowance.kind != Kind.SLIDING for allowance in self.allowances)
        """Whether reservations must be kept alive."""
        self.unpriced = next((part.refuse_unpriced for part in parts if part.refuse_unpriced is not None), None)
        self.budgets = tuple([part.budget for part in parts if part.budget is not None])
        groups = ((b"requests", (Measure.REQUESTS,)), (b"tokens", (Measure.INPUT, Measure.OUTPUT, Measure.TOTAL)))
        self.shown = tuple([rows for unit, measures in groups if (rows := self._shown(unit, measures))])
        """What the rate-limit headers speak of: limits of requests, then of tokens."""

    def _shown(self, unit: bytes, measures: Sequence[Measure]) -> tuple[ShownLimit, ...]:
        return tuple(
            ShownLimit(index, allowance.limit, unit, allowance.period_s)
            for index, (allowance, measure) in enumerate(zip(self.allowances, self.measures, strict=True))
            if measure in measures and allowance.kind == Kind.SLIDING and allowance.is_hard
        )

    def amounts(self, input_tokens: int, output_tokens: int, cost_nano: int, *, more: bool = False) -> list[int]:
        """So much of each allowance; with `more`, what comes on top while an answer streams."""
        once = 0 if more else 1
        by_measure = [once, once, input_tokens, output_tokens, input_tokens + output_tokens, cost_nano]
        return [by_measure[measure] for measure in self.measures]


_OUTPUT: Final = frozenset((Measure.OUTPUT, Measure.TOTAL, Measure.COST))


def _while_running(allowance: Allowance) -> Allowance:
    """A limit that is passed while an answer streams holds back the next request; a budget ends the stream."""
    return replace(allowance, is_hard=False) if allowance.kind == Kind.SLIDING else allowance


def used_amounts(plan: Plan, usage: Usage | None, cost_femto_usd: int) -> list[int]:
    """What a finished exchange used of each allowance. A request counts even when it failed."""
    input_tokens = output_tokens = 0
    if usage is not None:
        input_tokens, output_tokens = usage.input_total, usage.output_total
    cost_nano = -(-cost_femto_usd // NANO_FEMTO)
    by_measure = [1, 0, input_tokens, output_tokens, input_tokens + output_tokens, cost_nano]
    return [by_measure[measure] for measure in plan.measures]


# -- headers ----------------------------------------------------------------------------------------------------------


def limit_lines(plan: Plan, left: Sequence[int]) -> bytes:
    """`x-ratelimit-*` header lines in OpenAI's form: of several limits the one that is nearest to its end."""
    lines = b""
    for shown in plan.shown:
        nearest = shown[0]
        if len(shown) > 1:
            least = left[nearest.index] / nearest.limit
            for other in shown[1:]:
                share = left[other.index] / other.limit
                if share < least:
                    nearest, least = other, share
        remaining = left[nearest.index]
        lines += b"%b%d%b" % (nearest.lines_before, remaining if remaining > 0 else 0, nearest.lines_after)
    return lines


def _duration(seconds: float) -> bytes:
    """`6m0s`, as OpenAI writes durations: the time after which what was just used is free again."""
    whole = int(seconds)
    parts: list[str] = []
    for unit, length in (("h", 3600), ("m", 60)):
        if whole >= length or parts:
            parts.append(f"{whole // length}{unit}")
            whole %= length
    return "".join([*parts, f"{whole}s"]).encode()


def refusal_headers(plan: Plan, refused: Refused) -> tuple[tuple[bytes, bytes], ...]:
    """The same for a request that is refused, of the limit that refused it."""
    for shown in plan.shown:
        for limit in shown:
            if limit.index == refused.index:
                return (
                    (b"x-ratelimit-limit-" + limit.unit, b"%d" % limit.limit),
                    (b"x-ratelimit-remaining-" + limit.unit, b"%d" % max(refused.left, 0)),
                    (b"x-ratelimit-reset-" + limit.unit, b"%.3fs" % refused.wait_s),
                )
    return ()
