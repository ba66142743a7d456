"""The second migration, on a database that the first release filled."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import select, text

from gatewright.store.database import migrate, open_database
from gatewright.store.migrations.versions import r0001_tables, r0002_told_alerts
from gatewright.store.tables import ALERTS


def test_what_was_told_before_stays_told(tmp_path: Path) -> None:
    assert r0002_told_alerts.down_revision == r0001_tables.revision
    engine = open_database(None, tmp_path)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "gatewright.store:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, r0001_tables.revision)
        connection.execute(text("INSERT INTO alerts (key, threshold, at_us) VALUES ('b:acme/a:2026-11', 80, 7)"))
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(select(ALERTS)).all() == [("b:acme/a:2026-11", 80, 7, 7)]
    engine.dispose()
