"""What the policies of an exchange count of it, all together: one reservation, one settlement (DESIGN §7.4).

A counting filter says once per consumer what it takes of each exchange (`Claims`). The claims of a chain make a `Plan`:
every allowance of every policy, reserved in one atomic call before the upstream is asked, extended while the answer
streams, and settled once with what was really used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Struct

from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.errors import GatewayError
from gatewright.core.usage import Usage

NANO_FEMTO: Final = 1_000_000
"""Femto-dollars in a nano-dollar, the unit in which budgets count."""


class Measure(IntEnum):
    """What is counted of an exchange."""

    REQUESTS = 0
    CONCURRENT = 1
    INPUT = 2
    OUTPUT = 3
    TOTAL = 4
    COST = 5
    """Nano-dollars."""


class Claim(Struct, frozen=True):
    """One thing a policy counts."""

    allowance: Allowance
    measure: Measure
    refuse: Callable[[Refused], GatewayError]
    """What the caller is told when it is used up."""


class BudgetGroup(Struct, frozen=True):
    """One budget of one group in one window: under this its state is reported."""

    name: str
    """The policy's."""
    who: str
    window: str
    ends_at: float
    limit_nano: int

    @property
    def key(self) -> str:
        """Of its counter."""
        return f"budget:{self.name}:{self.who}:{self.window}"


class Claims:
    """What one policy takes of each exchange of a consumer. Compared by identity, so keep and return the same one."""

    __slots__ = ("budget", "claims", "is_fixed", "other_model", "refuse_unpriced", "soft")

    def __init__(
        self,
        claims: Sequence[Claim],
        *,
        budget: BudgetGroup | None = None,
        other_model: str | None = None,
        refuse_unpriced: Callable[[str], GatewayError] | None = None,
        is_fixed: bool = False,
    ) -> None:
        self.claims = tuple(claims)
        self.budget = budget
        """For policies that count money: what their state is reported under."""
        self.other_model = other_model
        """The published model that answers instead when this is used up; None refuses."""
        self.refuse_unpriced = refuse_unpriced
        """What callers of a model without known prices are told; None lets them pass uncounted."""
        self.is_fixed = is_fixed
        """Whether every exchange of the same consumer and model takes these, until a budget's window ends."""
        self.soft: Claims | None = None
        """The same without refusing, for exchanges that were sent to the other model; made when needed."""

    def soften(self) -> Claims:
        """Claims that count the same and never refuse."""
        if self.soft is None:
            self.soft = Claims([_soften(claim) for claim in self.claims], budget=self.budget)
        return self.soft


def _soften(claim: Claim) -> Claim:
    return msgspec.structs.replace(claim, allowance=msgspec.structs.replace(claim.allowance, is_hard=False))


class ShownLimit(Struct, frozen=True):
    """A limit that the headers of an answer may speak of."""

    index: int
    """Its place in the plan."""
    limit: int
    unit: bytes
    lines: bytes
    """Its header lines, with `%d` for what remains."""


def _lines(unit: bytes, allowance: Allowance) -> bytes:
    duration = _duration(allowance.period_s)
    return b"x-ratelimit-limit-%b: %d\r\nx-ratelimit-remaining-%b: %%d\r\nx-ratelimit-reset-%b: %b\r\n" % (
        unit,
        allowance.limit,
        unit,
        unit,
        duration,
    )


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
        self.budgets = tuple(
            (index, part.budget)
            for index, (claim, part) in enumerate(claims)
            if part.budget is not None and claim.measure == Measure.COST
        )
        groups = ((b"requests", (Measure.REQUESTS,)), (b"tokens", (Measure.INPUT, Measure.OUTPUT, Measure.TOTAL)))
        self.shown = tuple([rows for unit, measures in groups if (rows := self._shown(unit, measures))])
        """What the rate-limit headers speak of: limits of requests, then of tokens."""

    def _shown(self, unit: bytes, measures: Sequence[Measure]) -> tuple[ShownLimit, ...]:
        return tuple(
            ShownLimit(index, allowance.limit, unit, _lines(unit, allowance))
            for index, (allowance, measure) in enumerate(zip(self.allowances, self.measures, strict=True))
            if measure in measures and allowance.kind == Kind.SLIDING and allowance.is_hard
        )

    def amounts(self, input_tokens: int, output_tokens: int, cost_nano: int, *, more: bool = False) -> list[int]:
        """So much of each allowance; with `more`, what comes on top while an answer streams."""
        once = 0 if more else 1
        by_measure = (once, once, input_tokens, output_tokens, input_tokens + output_tokens, cost_nano)
        return [by_measure[measure] for measure in self.measures]


_OUTPUT: Final = frozenset((Measure.OUTPUT, Measure.TOTAL, Measure.COST))


def _while_running(allowance: Allowance) -> Allowance:
    """A limit that is passed while an answer streams holds back the next request; a budget ends the stream."""
    return msgspec.structs.replace(allowance, is_hard=False) if allowance.kind == Kind.SLIDING else allowance


def used_amounts(plan: Plan, usage: Usage | None, cost_femto_usd: int) -> list[int]:
    """What a finished exchange used of each allowance. A request counts even when it failed."""
    input_tokens = output_tokens = 0
    if usage is not None:
        input_tokens, output_tokens = usage.input_total, usage.output_total
    cost_nano = -(-cost_femto_usd // NANO_FEMTO)
    by_measure = (1, 0, input_tokens, output_tokens, input_tokens + output_tokens, cost_nano)
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
        lines += nearest.lines % (remaining if remaining > 0 else 0)
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
