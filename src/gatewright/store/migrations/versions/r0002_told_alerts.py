"""Alerts that were begun are told apart from those that were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """All that is there was told, as far as anybody knows."""
    op.add_column("alerts", sa.Column("told_at_us", sa.BigInteger(), nullable=True))
    op.execute(sa.text("UPDATE alerts SET told_at_us = at_us"))
