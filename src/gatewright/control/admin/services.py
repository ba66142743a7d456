"""What the admin API works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from litestar.di import NamedDependency
from litestar.params import SkipValidation
from msgspec import Struct
from sqlalchemy import Engine

from gatewright.control.actor import Actor
from gatewright.control.admin_keys import AdminKeys
from gatewright.control.budgets import Budgets
from gatewright.control.configurations import Configurations
from gatewright.control.consumers import Consumers
from gatewright.control.keys import Keys
from gatewright.control.ledger_writer import LedgerStatus
from gatewright.telemetry.log import Log
from gatewright.telemetry.records import BudgetState


class AdminServices(Struct, frozen=True, kw_only=True):
    """The services of the control plane, and what only the process around them knows."""

    engine: Engine
    """The database, for what is only read: exchanges, usage, audit."""
    admin_keys: AdminKeys
    keys: Keys
    consumers: Consumers
    budgets: Budgets
    configurations: Configurations
    log: Log
    """Where causes of failures go."""
    monotonic: Callable[[], float]
    """Seconds that never run backwards."""
    allowed_hosts: tuple[str, ...] = ()
    """Names besides the loopback's that clients may use in `Host`."""
    ledger_status: Callable[[], LedgerStatus] | None = None
    """How the ledger stands."""
    budget_states: Callable[[], Sequence[BudgetState]] | None = None
    """How far budgets are spent, as the workers report it; called in another thread."""


Services = NamedDependency[SkipValidation[AdminServices]]
Acting = NamedDependency[SkipValidation[Actor]]
"""Types of what every handler may ask for by the names `services` and `actor`."""
