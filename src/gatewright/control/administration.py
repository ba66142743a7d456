"""Everything of the control process that needs the database: it opens when it can, and until then the rest goes on.

Threads do the work, since a database may take its time: one books journals, one brings keys to the workers' table, one
keeps the managed files in step. None of them stops the probes, the metrics or the workers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from hashlib import blake2b
from pathlib import Path
from typing import Final

from litestar.types import ASGIApp
from msgspec import Struct
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from gatewright.config.documents import Gateway
from gatewright.control.admin.app import build_admin
from gatewright.control.admin.services import AdminServices
from gatewright.control.admin_keys import AdminKeys
from gatewright.control.budget_seeding import read_file, read_server, seed_file, seed_server, spent_of_budgets
from gatewright.control.budgets import Budgets, Validate
from gatewright.control.configurations import Configurations, Files, Verdict
from gatewright.control.consumers import Consumers
from gatewright.control.kept import Policies
from gatewright.control.key_projection import POLL_S, KeyProjection
from gatewright.control.keys import Keys
from gatewright.control.ledger_writer import LedgerStatus, LedgerWriter
from gatewright.control.managed_files import ManagedFiles
from gatewright.core.counting import Allowance
from gatewright.core.errors import GatewayError
from gatewright.store.database import UnusableDatabase, migrate, open_database
from gatewright.store.secrets_file import UnusableSecret, read_or_create_secret
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import BudgetState

COUNTERS: Final = "counters"
"""The file of the workers' counters in a state directory."""
JOURNALS: Final = "journal"
"""The directory of the workers' journals in a state directory."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 10.0
_STOP_S: Final = 4.0
"""How long the ledger may book on when the process ends; what is left is booked by the next one."""
_LEDGER_TIMEOUT_S: Final = 5.0
"""How long the ledger's writer waits for a lock: it tries again, and must end when the process does."""
_SEED_S: Final = 60.0
"""How long budgets wait for the ledger before they are compared with what it has."""
_LOOK_S: Final = 0.5
_SETTLED_S: Final = 3.0
"""How long workers may take to send what they owe to a server of counters that is back."""
_MICRO: Final = 1_000_000


class Sources(Struct, frozen=True, kw_only=True):
    """What is known of the configuration where files and the environment may be read."""

    state: Path
    """The state directory."""
    check: Callable[[bytes, Policies], Verdict]
    """Everything that is wrong with the text of a configuration beside budgets."""
    check_budget: Validate
    """Everything that is wrong with a budget beside the configuration."""
    read_files: Callable[[], Files] | None
    """The files the gateway was started with; None when it was started without."""


class Environment(Struct, frozen=True, kw_only=True):
    """What administration asks of the process around it."""

    sources: Sources
    apply: Callable[[], list[str]]
    """Have the configuration read and served now; gives why it is not. Called in a thread, after the managed files
    changed."""
    budget_states: Callable[[], Sequence[BudgetState]]
    take_budgets: Callable[[Sequence[BudgetState]], None]
    """Have it known what budgets have spent, beside what workers report. Called in a thread."""
    log: Log


class Administration:
    """Opens the database in the background; `admin` and `engine` are there once that is done."""

    def __init__(self, document: Gateway, environment: Environment) -> None:
        self._document = document
        """As the gateway began: the database and the counters' server stay those of its start."""
        self._served = document
        self._environment = environment
        self._log = environment.log
        self._stop = threading.Event()
        self._url = None if document.database.url is None else document.database.url.reveal()
        self._emptied = threading.Event()
        self._in_step = threading.Event()
        """Set once what the database keeps for the configuration is served."""
        self._threads: list[threading.Thread] = []
        self._ledger_name = "shared"
        """Which of the ledgers of all machines is this one's; those that share a database have one."""
        self._keys: Keys | None = None
        self._files: ManagedFiles | None = None
        self.engine: Engine | None = None
        self.admin: ASGIApp | None = None
        self.problem = "the database is not open yet"
        """Why the admin API does not serve; empty once it does."""
        self._ledger = LedgerWriter(
            environment.sources.state / JOURNALS, self._open_for_ledger, document.ledger, self._note_keys_used
        )

    def start(self) -> None:
        """Begin. Returns at once."""
        self._ledger.start()
        self._run(self._open, "administration")

    def configure(self, document: Gateway) -> None:
        """Follow the configuration that is served."""
        self._served = document
        self._ledger.configure(document.ledger)

    def ledger_status(self) -> LedgerStatus:
        """How the ledger stands."""
        return self._ledger.status()

    def stop(self) -> None:
        """Book what the workers wrote last, and end the threads. Blocks for some seconds at most."""
        self._stop.set()
        self._ledger.stop(_STOP_S)
        for thread in self._threads:
            thread.join(1.0)
        if self.engine is not None:
            self.engine.dispose()

    # -- opening ------------------------------------------------------------------------------------------------------

    def _run(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _open(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                secret = read_or_create_secret(self._environment.sources.state)
                settings = self._document.database
                engine = self._open_engine(settings.pool_size, settings.statement_timeout_s)
                self._serve(engine, secret)
            except (UnusableDatabase, UnusableSecret, SQLAlchemyError, OSError) as error:
                told = str(error) if isinstance(error, (UnusableDatabase, UnusableSecret)) else type(error).__name__
                if told != self.problem:
                    self._log.error("administration is not available; the gateway serves on", reason=told)
                self.problem = told
                self._stop.wait(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                self.problem = ""
                return

    def _open_engine(self, pool_size: int, timeout_s: float) -> Engine:
        state = self._environment.sources.state
        engine = open_database(self._url, state, pool_size=pool_size, statement_timeout_s=timeout_s)
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine

    def _open_for_ledger(self) -> Engine:
        return self._open_engine(1, min(_LEDGER_TIMEOUT_S, self._document.database.statement_timeout_s))

    def _serve(self, engine: Engine, secret: bytes) -> None:
        environment = self._environment
        sources = environment.sources
        self._files = ManagedFiles(engine, sources.state)
        self._keys = Keys(engine, secret, _unix_s)
        if engine.dialect.name == "sqlite":
            self._ledger_name = blake2b(secret, digest_size=8, person=b"ledger").hexdigest()
        services = AdminServices(
            engine=engine,
            admin_keys=AdminKeys(engine, secret, _unix_s),
            keys=self._keys,
            consumers=Consumers(engine, _unix_s),
            budgets=Budgets(engine, validate=sources.check_budget, now=_unix_s),
            configurations=Configurations(
                engine,
                check=sources.check,
                apply=self._apply,
                read_files=sources.read_files,
                now=_unix_s,
            ),
            log=self._log,
            monotonic=time.monotonic,
            allowed_hosts=tuple(self._document.admin_hosts),
            ledger_status=self._ledger.status,
            budget_states=environment.budget_states,
        )
        projection = KeyProjection(engine, sources.state, secret, on_problem=self._log.error)
        self.engine = engine
        self.admin = build_admin(services)
        self._run(lambda: projection.run(self._stop), "keys")
        self._run(self._keep_files, "managed-files")
        self._run(self._seed_budgets, "budgets")

    # -- what runs on -------------------------------------------------------------------------------------------------

    def _apply(self, document: bytes) -> list[str]:
        """Serve the version that was just made the active one."""
        if self._files is None:
            return [self.problem]
        self._files.poll_once()
        if self._files.problem is not None:
            return [self._files.problem]
        return self._environment.apply()

    def _keep_files(self) -> None:
        """Write what changed, and have it served at once: the process notices files by itself, but only at rest."""
        told: str | None = None
        while self._files is not None and not self._stop.wait(POLL_S):
            if self._files.poll_once():
                self._serve_files()
            if self._files.problem is None:
                self._in_step.set()
            if self._files.problem != told:
                told = self._files.problem
                if told is not None:
                    self._log.warning(told)

    def _seed_budgets(self) -> None:
        """Let no budget whose counters were lost count less than the ledger says: once all that was left behind is
        booked and what the database keeps is served, and whenever a server of counters has lost its numbers."""
        waited_s = 0.0
        while self._ledger.status().waiting or not self._in_step.is_set():
            if waited_s >= _SEED_S or self._stop.wait(POLL_S):
                break
            waited_s += POLL_S
        self._seed()
        self._tell_budgets()
        while not self._stop.is_set():
            if self._emptied.wait(_LOOK_S):
                self._emptied.clear()
                # What workers owe the server is to be there first, or it would be counted twice.
                self._stop.wait(_SETTLED_S)
                self._seed()

    def note_emptied(self) -> None:
        """A worker found the counters' server without the numbers it had."""
        self._emptied.set()

    def _seed(self) -> None:
        engine, settings = self.engine, self._document.counters
        if engine is None:
            return
        try:
            if settings.store == "local":
                seed_file(self._environment.sources.state / COUNTERS, lambda: self._spent(engine), _unix_s)
            else:
                seed_server(settings, self._ledger_name, lambda: self._spent(engine), _unix_s)
        except (SQLAlchemyError, OSError, GatewayError) as error:
            self._log.warning("budgets cannot be compared with the ledger", error=type(error).__name__)

    def _spent(self, engine: Engine) -> Iterator[tuple[Allowance, int]]:
        return ((spent.allowance, spent.nano) for spent in spent_of_budgets(engine, self._served, _unix_s()))

    def _tell_budgets(self) -> None:
        """Have it known what was spent before this process began: workers report what is used from then on."""
        engine, settings = self.engine, self._document.counters
        if engine is None:
            return
        try:
            # Groups, not sums: those of a budget that begins anew, under another name, are not the ledger's.
            groups = [spent.group for spent in spent_of_budgets(engine, self._served, _unix_s(), is_quick=True)]
            if settings.store == "local":
                states = read_file(self._environment.sources.state / COUNTERS, groups, _unix_s)
            else:
                states = read_server(settings, groups, _unix_s)
            self._environment.take_budgets(states)
        except (SQLAlchemyError, OSError, GatewayError) as error:
            self._log.warning("what budgets have spent cannot be read", error=type(error).__name__)

    def _serve_files(self) -> None:
        try:
            reasons = self._environment.apply()
        except (RuntimeError, TimeoutError, CancelledError):  # the process ends
            return
        for reason in reasons:
            self._log.warning("what the database holds is not served", reason=reason)

    def _note_keys_used(self, keys: Mapping[str, int]) -> None:
        if self._keys is None:
            return
        try:
            self._keys.note_used([(key_id, used_us // _MICRO) for key_id, used_us in keys.items()])
        except SQLAlchemyError as error:
            self._log.warning("when keys were last used cannot be noted", error=type(error).__name__)


def _unix_s() -> float:
    return time.time()  # noqa: TID251 - the control process is where time enters
