"""What an exchange holds of limits and budgets while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.core.counting import Allowance


class Grant:
    """What an exchange holds of some allowances. Made by `reserve`, changed by `extend`, ended by `settle`, once."""

    __slots__ = ("allowances", "amounts", "gone", "left", "marks")

    def __init__(self, allowances: Sequence[Allowance], amounts: list[int], left: list[int], marks: list[int]) -> None:
        self.allowances = allowances
        self.amounts = amounts
        """What is held, one per allowance."""
        self.left = left
        """What was left of each after that; below zero where it only counts, or where an estimate fell short before."""
        self.marks = marks
        """For the adapter's own use: where the amounts stand."""
        self.gone: list[int] | None = None
        """For the adapter's own use: what was held before and has left a sliding allowance by its age."""
