"""What an exchange holds of counters that are on a server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gatewright.core.counting import Allowance
from gatewright.core.grant import Grant


class Holding(Grant):
    """A grant, with the part of it that the server knows of."""

    __slots__ = ("answered", "epoch", "final", "is_asking", "is_settled", "local", "on_server")

    def __init__(
        self, allowances: Sequence[Allowance], amounts: list[int], left: list[int], marks: list[int], is_on_server: bool
    ) -> None:
        super().__init__(allowances, amounts, left, marks)
        self.on_server = list(amounts) if is_on_server else [0] * len(amounts)
        self.local: Grant | None = None
        """What a local adapter granted of it while the server was away."""
        self.epoch = 0
        """What was changed of it without asking is booked when this epoch is."""
        self.is_asking = False
        """Whether an extension is on its way."""
        self.answered: asyncio.Future[None] | None = None
        """Done when it is answered, for another one that waits."""
        self.final: list[int] | None = None
        """What it is to be settled with, once that is answered."""
        self.is_settled = False
