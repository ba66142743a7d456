"""What the policies of an exchange count of it, all together: one reservation, one settlement (DESIGN §7.4).

A counting filter says once per consumer what it takes of each exchange (`Claims`). The claims of a chain make a `Plan`:
every allowance of every policy, reserved in one atomic call before the upstream is asked, extended while the answer
streams, and settled once with what was really used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import IntEnum
from typing import Final

import msgspec
from msgspec import Struct

from gatewright.core.counting import Allowance, Kind, Refused
from gatewright.core.errors import GatewayError

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
    is_dry: bool = False
    """Whether it has just refused an exchange."""

    @property
    def allowance(self) -> Allowance:
        """Its counter, for whoever asks what is spent."""
        return Allowance(self.key, Kind.BUDGET, self.limit_nano, ends_at=self.ends_at)

    def claim(self, others: str, *, is_hard: bool, is_open: bool) -> Allowance:
        """Its counter, for whoever spends: where there is no room for it, the one of the group `others` counts."""
        shared = msgspec.structs.replace(self, who=others).key
        return replace(self.allowance, is_hard=is_hard, shared_key=shared, is_open=is_open)

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
            budget = None if self.budget is None else msgspec.structs.replace(self.budget, is_dry=True)
            self.soft = Claims([_soften(claim) for claim in self.claims], budget=budget)
        return self.soft


def _soften(claim: Claim) -> Claim:
    return msgspec.structs.replace(claim, allowance=replace(claim.allowance, is_hard=False))
