"""The worker's side of the ledger: a settled exchange into the journal, before its answer's last byte leaves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gatewright.config.ledger import Ledger
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.pipeline.booking import attempts_of
from gatewright.store.journal import Journal

_MICRO: Final = 1_000_000
_RETRY_S: Final = 5.0
_TELL_S: Final = 1.0


class JournalLedger:
    """Books exchanges (`data_plane.Ledger`) in this process's journal."""

    def __init__(
        self,
        journal: Journal,
        now: Callable[[], float],
        wall: Callable[[], float],
        report: Callable[[str], None] = lambda problem: None,
    ) -> None:
        self._journal = journal
        self._report = report
        self._failure = ""
        self._lost = 0
        self._told_s = float("-inf")
        self._now = now
        self._wall = wall
        self._offset_s = wall() - now()

    @property
    def lost(self) -> int:
        """Entries for which there was neither disk nor memory."""
        return self._journal.lost

    def tick(self) -> None:
        """Let the journal write what it kept, and follow the system's clock. Call every 50 ms or so."""
        self._offset_s = self._wall() - self._now()
        journal = self._journal
        journal.tick()
        if journal.failure != self._failure or journal.lost != self._lost:
            self._tell()

    def configure(self, config: Ledger) -> None:
        """Follow a new configuration."""
        self._journal.configure(config)

    def _tell(self) -> None:
        """Say what is wrong with the disk, and what is lost by it, once a second at most."""
        now, journal = self._now(), self._journal
        if now - self._told_s < _TELL_S:
            return
        self._told_s = now
        if journal.failure:
            kept = f"{journal.waiting} entries wait in memory, {journal.lost} are lost"
            self._report(f"the ledger's journal cannot be continued ({journal.failure}): {kept}")
        else:
            self._report("the ledger's journal is continued")
        self._failure, self._lost = journal.failure, journal.lost

    def book(self, x: Exchange) -> None:
        """Append the entry of a settled exchange."""
        started_s = x.started_s
        consumer = x.consumer
        self._journal.add(
            x.id,
            int((self._offset_s + started_s) * _MICRO),
            int((x.finished_s - started_s) * _MICRO),
            int((x.first_byte_s - started_s) * _MICRO) if x.first_byte_s else 0,
            consumer.path,
            x.user,
            consumer.key_id,
            "" if x.surface is None else x.surface.name,
            x.published_model,
            x.requested_model,
            x.status,
            "" if x.error is None else x.error.kind.value,
            x.stream,
            x.cache,
            attempts_of(x),
        )

    def check_room(self) -> None:
        """Refuse new exchanges on a full disk, where the configuration says so."""
        if not self._journal.accepts:
            raise GatewayError(
                Kind.OVERLOADED,
                "The gateway's disk is full, and it is configured to serve nothing that it cannot write down"
                " (ledger.on_full_disk). Try again later.",
                retry_after_s=_RETRY_S,
            )

    def close(self) -> None:
        """Write what can be written and give the journal up."""
        self._journal.close()
