"""What Alembic runs to migrate: on the connection it is given, inside the transaction that holds the lock."""

from __future__ import annotations

from alembic import context

from gatewright.store.database import VERSION_TABLE
from gatewright.store.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most things in place; Alembic then copies the table.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
