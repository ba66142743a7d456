"""What an operator, and the control plane, should know of the counters' server."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Happening(StrEnum):
    """What an operator should know of the counters' server."""

    DOWN = "down"
    """It does not answer, or takes no writes."""
    UP = "up"
    """It is back."""
    EMPTIED = "emptied"
    """It has none of the numbers it had, or it is new: budgets are to be raised to what the ledger knows."""
    UNCOUNTED = "uncounted"
    """Exchanges passed without a limit while it was away (`on_outage: open`)."""
    LOST = "lost"
    """Something that was used could not be kept until it is back: budgets on it are too low by that."""


class Event(Struct, frozen=True):
    """Something that happened, with the reason or the number that belongs to it."""

    happening: Happening
    reason: str = ""
    count: int = 0
