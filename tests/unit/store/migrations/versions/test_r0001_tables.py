"""The first migration: which tables it makes. That they are those of `store.tables` is held by the contract tests."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect

from gatewright.store.database import VERSION_TABLE, migrate, open_database
from gatewright.store.migrations.versions import r0001_tables


def test_it_is_the_first_and_makes_every_table(tmp_path: Path) -> None:
    assert r0001_tables.down_revision is None
    engine = open_database(None, tmp_path)
    migrate(engine)
    made = set(inspect(engine).get_table_names())
    engine.dispose()
    administered = {"revisions", "consumers", "keys", "admin_keys", "budgets", "configurations", "audit", "alerts"}
    assert made == administered | {"journals", "exchanges", "attempts", "usage_hours", "usage_days", VERSION_TABLE}
