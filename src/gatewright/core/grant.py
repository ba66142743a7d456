"""What an exchange holds of limits and budgets while it runs."""

from __future__ import annotations

from collections.abc import Sequence

from gatewright.core.counting import Allowance


class Grant:
    """What an exchange holds of some allowances. Made by `reserve`, changed by `extend`, ended by `settle`, once."""

    __slots__ = ("allowances", "amounts", "earlier", "left", "marks")

    def __init__(self, allowances: Sequence[Allowance], amounts: list[int], left: list[int], marks: list[int]) -> None:
        self.allowances = allowances
        self.amounts = amounts
        """What is held, one per allowance; of a sliding one only what was taken in the slice of the last extension."""
        self.left = left
        """What was left of each after that; below zero where it only counts, or where an estimate fell short before.
        Of limits that callers are told of, after it was settled what was left with what was used."""
        self.marks = marks
        """For the adapter's own use: where the amounts stand."""
        self.earlier: list[list[Part]] | None = None
        """For the adapter's own use: what was taken of sliding allowances in earlier slices, in order."""

    def go_on(self, index: int, mark: int, more: int) -> None:
        """Take more of a sliding allowance, at `mark`. What was taken at another mark was used there, and stays."""
        if self.marks[index] != mark:
            if self.earlier is None:
                self.earlier = [[] for _ in self.amounts]
            self.earlier[index].append(Part(self.marks[index], self.amounts[index]))
            self.amounts[index] = 0
            self.marks[index] = mark
        self.amounts[index] += more

    def taken(self, index: int) -> int:
        """All that was ever taken of an allowance."""
        return self.amounts[index] + self._taken_before(index)

    def used_since(self, index: int, used: int) -> tuple[int, list[Part]]:
        """What of `used` belongs to the amount that is held, and what was not used of earlier slices.

        What an estimate had too much stands where it was made: in the first ones.
        """
        since = used - self._taken_before(index)
        if since >= 0 or self.earlier is None:
            return since, []
        unused: list[Part] = []
        for part in self.earlier[index]:
            amount = min(-since, part.amount)
            if amount:
                unused.append(Part(part.mark, amount))
                since += amount
        return 0, unused

    def _taken_before(self, index: int) -> int:
        return 0 if self.earlier is None else sum([part.amount for part in self.earlier[index]])


class Part:
    """What an exchange took in one slice."""

    __slots__ = ("amount", "mark")

    def __init__(self, mark: int, amount: int) -> None:
        self.mark = mark
        self.amount = amount
