"""`/ledger/status`: what waits to be booked."""

from __future__ import annotations

import msgspec
from tests.control.admin_api import AdminApi

from gatewright.control.admin.app import build_admin
from gatewright.control.admin_keys import Role
from gatewright.control.ledger_writer import LedgerStatus


def test_the_status_is_told_where_there_is_a_ledger(api: AdminApi) -> None:
    assert api.ask("GET", "/ledger/status", role=Role.VIEWER)[0] == 404
    status = LedgerStatus(booked=5, waiting=2, lag_s=0.5, failures=1, error="locked", stuck=("j1: gap",), pruned=0)
    api.use(build_admin(msgspec.structs.replace(api.services, ledger_status=lambda: status)))
    assert api.ask("GET", "/ledger/status", role=Role.VIEWER) == (200, msgspec.json.decode(msgspec.json.encode(status)))
