"""What a worker keeps beyond its own life, or shares with others: counters, the journal, the table of keys.

It is made once per process, by the first document; what a later document says of `counters` takes effect with the next
start.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from gatewright.config.documents import Gateway
from gatewright.core.ports import Counters, Ports
from gatewright.net.pool import UpstreamPools
from gatewright.server.data_plane import Ledger, NoLedger
from gatewright.server.ledger import JournalLedger
from gatewright.store.journal import Journal, new_name
from gatewright.store.memory import MemoryCounters
from gatewright.store.shared import SharedCounters
from gatewright.telemetry.log import Log

COUNTERS_FILE: Final = "counters"
JOURNALS: Final = "journal"


class WorkerState:
    """The adapters of one worker. Without a directory nothing outlives the process."""

    def __init__(
        self,
        directory: Path | None,
        document: Gateway,
        *,
        pools: UpstreamPools,
        now: Callable[[], float],
        wall: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]],
        log: Log,
    ) -> None:
        self._log = log
        self._shared: SharedCounters | None = None
        self._journal: JournalLedger | None = None
        self.ledger: Ledger = NoLedger()
        counters: Counters = MemoryCounters(wall)
        if directory is not None:
            counters = self._shared = SharedCounters(directory / COUNTERS_FILE, wall)
            journal = Journal(directory / JOURNALS, new_name(int(wall())), document.ledger, self._on_lost)
            self.ledger = self._journal = JournalLedger(journal, now, wall)
        self.ports = Ports(counters=counters, now=now, wall=wall, random=random.Random().random, spawn=spawn)

    async def ready(self) -> None:
        """Wait until everything may be used."""

    def use(self, document: Gateway) -> None:
        """Follow a new document."""

    def tick(self) -> None:
        """Do what is due. Call every 50 ms."""
        if self._shared is not None:
            self._shared.tick()
        if self._journal is not None:
            self._journal.tick()

    def close(self) -> None:
        """Give everything back."""
        if self._journal is not None:
            self._journal.close()
        if self._shared is not None:
            self._shared.close()

    def _on_lost(self) -> None:
        self._log.error("a ledger entry is lost: there is neither disk nor memory for it")
