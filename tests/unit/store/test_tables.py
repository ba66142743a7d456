"""Columns that follow other rooms' types."""

from __future__ import annotations

from gatewright.core.ledger import Tokens
from gatewright.store.tables import ATTEMPTS, EXCHANGES, TOKEN_COLUMNS, USAGE_DAYS, USAGE_HOURS


def test_every_kind_of_tokens_has_its_column_everywhere() -> None:
    assert Tokens.__struct_fields__ == TOKEN_COLUMNS
    for table in (EXCHANGES, ATTEMPTS, USAGE_HOURS, USAGE_DAYS):
        assert [column.name for column in table.columns if column.name in TOKEN_COLUMNS] == list(TOKEN_COLUMNS)
