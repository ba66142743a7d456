"""What limits and budgets count, and the words between them and whoever keeps the numbers (`core.ports.Counters`).

Everything is a whole number: requests, tokens, exchanges at once, nano-dollars (10⁻⁹ USD, rounded up). An exchange
takes what it may use from all its allowances together, or from none (`reserve`), takes more while it streams
(`extend`), and gives back the difference once it is known (`settle`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

SLICES: Final = 16
"""A sliding period is counted in so many slices. It covers the present one and those before it, so what it holds is at
least what was used in any stretch of that length: the limit is never passed, and frees again up to one slice late."""
RESERVED_S: Final = 120.0
"""A reservation that is neither settled nor extended for this long belonged to a process that died: it is given
back."""


class Kind(IntEnum):
    """How an allowance frees again."""

    SLIDING = 0
    """What was used is forgotten one period later. A reservation of a process that died is forgotten then, too."""
    BUDGET = 1
    """What was used stays used; the next calendar window has another key. Reservations expire after `RESERVED_S`."""
    CONCURRENT = 2
    """Nothing stays used: what is reserved is in use. Reservations expire after `RESERVED_S`."""


@dataclass(frozen=True)
class Allowance:
    """One counter with its limit. Equal keys mean the same counter, on whatever machine."""

    key: str
    """Of one kind and one period only; the limit may change."""
    kind: Kind
    limit: int
    period_s: float = 0.0
    """Of a sliding allowance: its length."""
    ends_at: float = float("inf")
    """Of a budget: when its calendar window ends, in Unix seconds; the counter may be forgotten then."""
    is_hard: bool = True
    """Whether it refuses; otherwise it only counts."""
    shared_key: str = ""
    """Of the counter that counts in the place of this one, and of others like it, where there is no room for it."""
    is_open: bool = False
    """Whether callers name what it is for, and so may make as many of these as they like: all those with one shared key
    find room as long as enough is left for others."""


@dataclass(frozen=True)
class Refused:
    """Nothing was taken, because one allowance has not enough left."""

    index: int
    """Which one."""
    left: int
    wait_s: float
    """After how long it may be enough; infinite when only a new window or a larger limit helps."""
