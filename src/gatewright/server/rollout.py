"""Which configuration each worker should run: all of them the same one, and never one that any of them refused.

A new document is a *candidate* until every worker that was asked runs it; then it is *good*. A worker that refuses it,
or workers that keep dying on it, make everybody go back to the good one. The first document has nothing to go back to.
No I/O: the supervisor reports what workers say, and sends `wanted` to whoever is `outdated`.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from gatewright.core.messages import Configure

DEATHS_TO_REFUSE: Final = 3
"""Workers that end without an answer to a candidate before it counts as refused; one or two may be bad luck."""


class Outcome(Enum):
    """What a worker's answer, or its end, came to."""

    NONE = auto()
    COMMITTED = auto()
    """The candidate is good: everybody runs it."""
    ROLLED_BACK = auto()
    """The candidate is refused: everybody goes back to the good one."""
    NOTHING_TO_RUN = auto()
    """The very first document is refused."""
    WORKER_BROKEN = auto()
    """One worker alone refuses what others run, or ran: it should be replaced."""


class Rollout:
    """Documents, and what each worker was asked and answered."""

    def __init__(self, document: bytes) -> None:
        self.good: Configure | None = None
        self.candidate: Configure | None = Configure(1, document)
        self._latest = 1
        self._deaths = 0
        self._asked: dict[int, int] = {}
        self._runs: dict[int, int] = {}

    @property
    def wanted(self) -> Configure:
        """What every worker, one that starts now included, should run."""
        wanted = self.candidate or self.good
        assert wanted is not None  # there is a candidate until there is a good one
        return wanted

    @property
    def version(self) -> int:
        """The version that is good; 0 before there is one."""
        return self.good.version if self.good is not None else 0

    def propose(self, document: bytes) -> Configure | None:
        """Make a document the candidate. None when it is the wanted one already, or the good one again."""
        if document == self.wanted.document:
            return None
        self._deaths = 0
        if self.good is not None and document == self.good.document:
            self.candidate = None
            return None
        self._latest += 1
        self.candidate = Configure(self._latest, document)
        return self.candidate

    def outdated(self) -> list[int]:
        """Workers that were last asked to run something else than `wanted`."""
        version = self.wanted.version
        return [worker for worker, asked in self._asked.items() if asked != version]

    def unanswered(self, version: int) -> list[int]:
        """Workers that were last asked for this version and have not answered."""
        return [worker for worker, asked in self._asked.items() if asked == version != self._runs.get(worker)]

    def asked(self, worker: int) -> None:
        """`wanted` was sent to a worker, be it new or known."""
        self._asked[worker] = self.wanted.version

    def ready(self, worker: int, version: int) -> Outcome:
        """A worker says that it runs a version."""
        if worker in self._asked:
            self._runs[worker] = version
        return self._settle()

    def refused(self, worker: int, version: int) -> Outcome:
        """A worker says that it cannot run a version."""
        if self.candidate is not None and version == self.candidate.version:
            return self._refuse_candidate()
        if self.good is not None and version == self.good.version and self._asked.get(worker) == version:
            return Outcome.WORKER_BROKEN
        return Outcome.NONE  # an answer to something that is no longer wanted

    def gone(self, worker: int, *, expected: bool = False) -> Outcome:
        """A worker ended, or (expected) is asked nothing more because it drains."""
        asked, runs = self._asked.pop(worker, 0), self._runs.pop(worker, 0)
        candidate = self.candidate
        if not expected and candidate is not None and asked == candidate.version != runs:
            self._deaths += 1
            # Before anything was good, giving up is up to whoever counts the failed starts.
            if self._deaths >= DEATHS_TO_REFUSE and self.good is not None:
                return self._refuse_candidate()
        return self._settle()

    def _refuse_candidate(self) -> Outcome:
        if self.good is None:
            return Outcome.NOTHING_TO_RUN
        self.candidate = None
        return Outcome.ROLLED_BACK

    def _settle(self) -> Outcome:
        candidate = self.candidate
        if candidate is None or not self._asked:
            return Outcome.NONE
        if any(self._runs.get(worker) != candidate.version for worker in self._asked):
            return Outcome.NONE
        self.good, self.candidate = candidate, None
        return Outcome.COMMITTED
