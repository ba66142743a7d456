"""`/admin/v1/ledger`: whether what happened is booked."""

from __future__ import annotations

from typing import Final

from litestar import Router, get

from gatewright.control.admin.parameters import needs, responses
from gatewright.control.admin.problems import Problem
from gatewright.control.admin.services import Services
from gatewright.control.admin_keys import Role
from gatewright.control.ledger_writer import LedgerStatus


@get(
    "/status",
    operation_id="getLedgerStatus",
    summary="See how the ledger stands",
    responses=responses(404),
    sync_to_thread=True,
)
def get_status(services: Services) -> LedgerStatus:
    """What is booked, what waits in the workers' journals, and what is wrong."""
    if services.ledger_status is None:
        raise Problem("not-found", "this gateway keeps no ledger")
    return services.ledger_status()


ROUTER: Final = Router("/ledger", route_handlers=[get_status], guards=[needs(Role.VIEWER)], tags=["ledger"])
