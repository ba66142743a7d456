"""What handlers ask for is given to them as it is."""

from __future__ import annotations

import msgspec
from tests.control.admin_api import AdminApi

from gatewright.control.admin.services import AdminServices


def test_what_a_gateway_may_lack_is_optional(api: AdminApi) -> None:
    optional = {field.name for field in msgspec.structs.fields(AdminServices) if not field.required}
    assert optional == {"allowed_hosts", "ledger_status", "budget_states"}
    assert api.services.engine is api.engine
