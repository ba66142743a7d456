"""All tables of the first release: what is administered, the ledger, and its roll-ups."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_COUNTS: Final = (
    "input_total",
    "input_cached_read",
    "input_cache_write",
    "input_cache_write_1h",
    "input_audio",
    "input_image",
    "output_total",
    "output_reasoning",
    "output_audio",
    "output_image",
    "audio_ms",
    "search_milliunits",
    "images",
    "characters",
    "web_searches",
    "cost_nano",
    "cost_rest_femto",
)


def upgrade() -> None:
    """Make every table."""
    _make_identities()
    _make_records_of_administration()
    _make_ledger()
    _make_exchange_indexes()
    _make_roll_ups()


def _text(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def _counts() -> list[sa.Column[Any]]:
    return [sa.Column(name, sa.BigInteger(), server_default="0", nullable=False) for name in _COUNTS]


def _make_identities() -> None:
    op.create_table(
        "admin_keys",
        sa.Column("id", _text(32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("name", _text(200), nullable=False),
        sa.Column("role", _text(10), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_admin_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_admin_keys_digest")),
    )
    op.create_table(
        "consumers",
        sa.Column("path", _text(600), nullable=False),
        sa.Column("name", _text(200), server_default="", nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("suspended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_consumers")),
    )
    op.create_table(
        "keys",
        sa.Column("id", _text(32), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("prefix", _text(16), nullable=False),
        sa.Column("name", _text(200), server_default="", nullable=False),
        sa.Column("consumer", _text(600), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("surfaces", sa.JSON(), nullable=False),
        sa.Column("networks", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", _text(200), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("suspended_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("replaced_by", _text(32), nullable=True),
        sa.Column("last_used_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_keys_digest")),
        comment="API keys of consumers. `digest` is a keyed BLAKE2b of the key; the key itself is stored nowhere.",
    )
    op.create_index(op.f("ix_keys_consumer"), "keys", ["consumer"])
    op.create_index("ix_keys_newest", "keys", ["created_at", "id", "name", "consumer"])
    op.create_index(op.f("ix_keys_revision"), "keys", ["revision"])


def _make_records_of_administration() -> None:
    op.create_table(
        "alerts",
        sa.Column("key", _text(800), nullable=False),
        sa.Column("threshold", sa.Integer(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", "threshold", name=op.f("pk_alerts")),
        comment="Which thresholds (in percent) of which budget window were told already.",
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("actor", _text(200), nullable=False),
        sa.Column("origin", _text(200), nullable=False),
        sa.Column("action", _text(80), nullable=False),
        sa.Column("subject", _text(700), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("previous_hash", _text(64), nullable=False),
        sa.Column("hash", _text(64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
        comment="Every administrative change. Numbers have no gap, and each hash covers the one before it.",
    )
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"])
    op.create_table(
        "budgets",
        sa.Column("name", _text(200), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_budgets")),
        comment="Policies of the filter `budget` that the admin API keeps; added to those of the configuration.",
    )
    op.create_table(
        "configurations",
        sa.Column("version", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("note", _text(400), server_default="", nullable=False),
        sa.Column("created_by", _text(200), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_configurations")),
        comment="Every document that was applied through the admin API; the active one is served.",
    )
    op.create_table(
        "revisions",
        sa.Column("subject", _text(40), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_revisions")),
        comment="Raised in the transaction of every change of a subject (`keys`, `budgets`), so that a poll sees it.",
    )


def _make_ledger() -> None:
    op.create_table(
        "attempts",
        sa.Column("journal", _text(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("provider", _text(200), nullable=False),
        sa.Column("provider_type", _text(60), nullable=False),
        sa.Column("upstream_model", _text(300), nullable=False),
        sa.Column("outcome", _text(40), nullable=False),
        sa.Column("is_estimated", sa.Boolean(), nullable=False),
        sa.Column("is_unpriced", sa.Boolean(), nullable=False),
        sa.Column("price_version", _text(100), nullable=False),
        sa.Column("upstream_ms", sa.BigInteger(), nullable=False),
        *_counts(),
        sa.PrimaryKeyConstraint("journal", "number", "position", name=op.f("pk_attempts")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "exchanges",
        sa.Column("journal", _text(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("id", _text(128), nullable=False),
        sa.Column("started_at_us", sa.BigInteger(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("first_byte_us", sa.BigInteger(), nullable=False),
        sa.Column("consumer", _text(600), nullable=False),
        sa.Column("end_user", _text(300), nullable=False),
        sa.Column("key_id", _text(200), nullable=False),
        sa.Column("surface", _text(60), nullable=False),
        sa.Column("model", _text(300), nullable=False),
        sa.Column("requested_model", _text(300), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("kind", _text(40), nullable=False),
        sa.Column("is_stream", sa.Boolean(), nullable=False),
        sa.Column("cache", _text(10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("is_estimated", sa.Boolean(), nullable=False),
        sa.Column("is_unpriced", sa.Boolean(), nullable=False),
        *_counts(),
        sa.PrimaryKeyConstraint("journal", "number", name=op.f("pk_exchanges")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "journals",
        sa.Column("journal", _text(64), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("first_at_us", sa.BigInteger(), nullable=False),
        sa.Column("last_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_journals")),
        comment="How many entries of each journal are booked: its numbers 1 to `entries`, without gap.",
    )


def _make_exchange_indexes() -> None:
    op.create_index(op.f("ix_exchanges_id"), "exchanges", ["id"])
    op.create_index("ix_exchanges_newest", "exchanges", ["started_at_us", "journal", "number"])
    op.create_index("ix_exchanges_newest_of_consumer", "exchanges", ["consumer", "started_at_us", "journal", "number"])
    op.create_index(
        "ix_exchanges_newest_of_key",
        "exchanges",
        ["key_id", "started_at_us", "journal", "number"],
        postgresql_where=sa.text("key_id <> ''"),
        sqlite_where=sa.text("key_id <> ''"),
    )
    op.create_index(
        "ix_exchanges_newest_of_kind",
        "exchanges",
        ["kind", "started_at_us", "journal", "number"],
        postgresql_where=sa.text("kind <> ''"),
        sqlite_where=sa.text("kind <> ''"),
    )
    op.create_index("ix_exchanges_newest_of_model", "exchanges", ["model", "started_at_us", "journal", "number"])
    op.create_index(
        "ix_exchanges_newest_of_status",
        "exchanges",
        ["status", "started_at_us", "journal", "number"],
        postgresql_where=sa.text("status <> 200"),
        sqlite_where=sa.text("status <> 200"),
    )


def _make_roll_ups() -> None:
    for name, period in (("usage_hours", "hour"), ("usage_days", "day")):
        op.create_table(
            name,
            sa.Column(period, sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("consumer", _text(600), nullable=False),
            sa.Column("model", _text(300), nullable=False),
            sa.Column("provider", _text(200), nullable=False),
            sa.Column("upstream_model", _text(300), nullable=False),
            sa.Column("provider_type", _text(60), nullable=False),
            sa.Column("exchanges", sa.BigInteger(), nullable=False),
            sa.Column("failed", sa.BigInteger(), nullable=False),
            sa.Column("attempts", sa.BigInteger(), nullable=False),
            sa.Column("estimated", sa.BigInteger(), nullable=False),
            sa.Column("unpriced", sa.BigInteger(), nullable=False),
            *_counts(),
            sa.PrimaryKeyConstraint(period, "consumer", "model", "provider", "upstream_model", name=op.f(f"pk_{name}")),
            sqlite_with_rowid=False,
        )
