"""What a worker keeps beyond its own life, or shares with others: counters, the journal, the table of keys.

It is made once per process, by the first document; what a later document says of `counters` takes effect with the next
start.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gatewright.config.documents import Gateway
from gatewright.core.ports import Counters, Ports
from gatewright.net.deadlines import Deadlines
from gatewright.net.tasks import TaskGroup
from gatewright.pipeline.claims import BudgetGroup
from gatewright.pipeline.guesses import Guesses
from gatewright.pipeline.snapshot import Snapshot
from gatewright.server.callers import WorkerCallers
from gatewright.server.data_plane import Ledger, NoLedger
from gatewright.server.federation import Federation, build_fetcher
from gatewright.server.ledger import JournalLedger
from gatewright.store.journal import Journal, new_name
from gatewright.store.key_table import DIRECTORY as KEYS
from gatewright.store.key_table import KeyReader
from gatewright.store.memory import MemoryCounters
from gatewright.store.redis_events import Event, Happening
from gatewright.store.secrets_file import read_or_create_secret
from gatewright.store.shared import SharedCounters
from gatewright.telemetry.log import Log
from gatewright.telemetry.recorder import Recorder

if TYPE_CHECKING:
    from gatewright.server.issued_tokens import IssuedTokens
    from gatewright.server.token_endpoint import TokenEndpoints
    from gatewright.store.redis_counters import RedisCounters

COUNTERS_FILE: Final = "counters"
_NOTICED_S: Final = 0.01
JOURNALS: Final = "journal"

_ASKED_AT_ONCE: Final = 200
"""Budgets; meanwhile nobody else counts."""

_TOLD: Final = {
    Happening.DOWN: "the counters' server is away",
    Happening.UP: "the counters' server answers",
    Happening.EMPTIED: "the counters' server is new, or has lost its numbers",
    Happening.UNCOUNTED: "exchanges passed without a limit while the counters' server was away",
    Happening.LOST: "what was used while the counters' server was away could not all be kept",
}


class WorkerState:
    """The adapters of one worker. Without a directory nothing outlives the process."""

    def __init__(
        self,
        directory: Path | None,
        document: Gateway,
        *,
        loop: asyncio.AbstractEventLoop,
        deadlines: Deadlines,
        tasks: TaskGroup,
        now: Callable[[], float],
        wall: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]],
        log: Log,
    ) -> None:
        self._log = log
        self._spawn = spawn
        self._shared: SharedCounters | None = None
        self._journal: JournalLedger | None = None
        self.ledger: Ledger = NoLedger()
        counters: Counters = MemoryCounters(wall, on_problem=log.error)
        if directory is not None:
            counters = self._shared = SharedCounters(directory / COUNTERS_FILE, wall, on_problem=log.error)
            journal = Journal(directory / JOURNALS, new_name(int(wall())), document.ledger)
            self.ledger = self._journal = JournalLedger(journal, now, wall, log.error)
        self.counters_emptied = 0
        """How often the counters' server was found without the numbers it had."""
        self._remote: RedisCounters | None = None
        if document.counters.store == "redis":
            # Not imported before: redis-py is an extra, and nobody else pays for it.
            counters = self._remote = import_module("gatewright.store.redis_counters").RedisCounters(
                document.counters,
                local=counters,
                spawn=tasks.spawn,
                clock=now,
                wall=wall,
                name=new_name(int(wall())),
                on_event=self._on_counters,
            )
        self._federation = Federation(
            loop, build_fetcher(loop, deadlines, tasks), tasks, wall, self._report, on_change=self._forget
        )
        keys = None if directory is None else KeyReader(directory / KEYS)
        secret = b"" if directory is None else read_or_create_secret(directory)
        self._callers = WorkerCallers(keys, secret, self._federation, wall, self._report)
        self._directory, self._keys, self._secret, self._wall = directory, keys, secret, wall
        self._tokens: IssuedTokens | None = None
        """From the first configuration on that has them."""
        self._guesses = Guesses()
        self.endpoints: TokenEndpoints | None = None
        """Where gateway tokens are given, when the configuration has them."""
        self.ports = Ports(
            counters=counters,
            now=now,
            wall=wall,
            random=random.Random().random,
            spawn=spawn,
            callers=self._callers,
        )

    async def ready(self) -> None:
        """Wait until everything may be used: another process that has the counters to itself must notice this one."""
        while self._shared is not None and not self._shared.tick():  # noqa: ASYNC110 - it is said in shared memory
            await asyncio.sleep(_NOTICED_S)
        if self._remote is not None:
            await self._remote.open()

    def use(self, snapshot: Snapshot) -> None:
        """Follow a new configuration. Raises InvalidConfig when this worker cannot; nothing has changed then."""
        self._use_tokens(snapshot)
        self._federation.use(snapshot.identities)
        self._callers.forget()
        if self._journal is not None:
            self._journal.configure(snapshot.document.ledger)

    @property
    def ledger_lost(self) -> int:
        """Entries of the ledger for which there was neither disk nor memory."""
        return 0 if self._journal is None else self._journal.lost

    def tick(self) -> None:
        """Do what is due. Call every 50 ms."""
        if self._shared is not None:
            self._shared.tick()
        if self._journal is not None:
            self._journal.tick()
        self._callers.tick()

    def ask_spent(self, recorder: Recorder) -> None:
        """Have it noted what budgets have spent that were used: now, or as soon as the counters' server answers."""
        groups = recorder.used_budgets()
        for first in range(0, len(groups), _ASKED_AT_ONCE):
            some = groups[first : first + _ASKED_AT_ONCE]
            answer = self.ports.counters.settled([group.allowance for group in some])
            if isinstance(answer, list):
                recorder.note_spent(some, answer)
            else:
                self._spawn(_note_spent(recorder, some, answer))

    async def close(self) -> None:
        """Give everything back; what is still owed to the counters' server is sent for a moment."""
        if self._remote is not None:
            await self._remote.close()
        self._callers.close()
        if self._tokens is not None:
            self._tokens.close()
        if self._journal is not None:
            self._journal.close()
        if self._shared is not None:
            self._shared.close()

    def _use_tokens(self, snapshot: Snapshot) -> None:
        config = snapshot.document.identity.tokens
        if config is None or self._directory is None:
            self._callers.tokens = self.endpoints = None
            return
        if self._tokens is None:
            # Not imported before: gateways with keys alone are spared the cryptography.
            opened = import_module("gatewright.server.issued_tokens").open_tokens
            self._tokens = opened(self._directory, self._keys, self._secret, self._wall)
        self._callers.tokens = tokens = self._tokens
        tokens.use(config, snapshot)
        self.endpoints = import_module("gatewright.server.token_endpoint").TokenEndpoints(
            config, tokens, self._federation, self._guesses, self._wall
        )

    def _forget(self) -> None:
        self._callers.forget()

    def _report(self, problem: str) -> None:
        self._log.warning(problem)

    def _on_counters(self, event: Event) -> None:
        if event.happening is Happening.EMPTIED:
            self.counters_emptied += 1
        tell = self._log.info if event.happening is Happening.UP else self._log.warning
        told: dict[str, str | int] = {"reason": event.reason} if event.reason else {}
        if event.count:
            told["count"] = event.count
        tell(_TOLD[event.happening], **told)


async def _note_spent(
    recorder: Recorder, groups: Sequence[BudgetGroup], answer: Awaitable[Sequence[int] | None]
) -> None:
    recorder.note_spent(groups, await answer)
