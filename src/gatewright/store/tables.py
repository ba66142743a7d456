"""The tables of the control plane's database: what is administered, the ledger, and its roll-ups.

Made for SQLite and PostgreSQL alike; `store/migrations` brings a database to them, and a test holds both to each other.
Times are Unix microseconds (`_us`) or seconds; money is two whole numbers, nano-dollars and what is left in femto-dollars
(`core.ledger` has femto-dollars; a sum of them would not fit into 64 bits).
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

FEMTO_PER_NANO: Final = 1_000_000
"""`cost_nano * FEMTO_PER_NANO + cost_rest_femto` is a cost in femto-dollars."""

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

TOKEN_COLUMNS: Final = (
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
)
"""The fields of `core.ledger.Tokens`, in their order; every table that counts tokens has these columns."""


def _count_columns() -> list[Column[Any]]:
    """Tokens by kind and cost, 0 where there is none."""
    names = (*TOKEN_COLUMNS, "cost_nano", "cost_rest_femto")
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in names]


# -- what is administered ---------------------------------------------------------------------------------------------

REVISIONS: Final = Table(
    "revisions",
    METADATA,
    Column("subject", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="Raised in the transaction of every change of a subject (`keys`, `budgets`), so that a poll sees it cheaply.",
)

CONSUMERS: Final = Table(
    "consumers",
    METADATA,
    Column("path", String(600), primary_key=True),
    Column("name", String(200), nullable=False, server_default=""),
    Column("details", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("suspended_at", BigInteger),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    Column("consumer", String(600), nullable=False),
    Column("models", JSON, nullable=False),
    Column("surfaces", JSON, nullable=False),
    Column("networks", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("expires_at", BigInteger),
    Column("suspended_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("replaced_by", String(32)),
    Column("last_used_at", BigInteger),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("digest"),
    Index(None, "consumer"),
    Index(None, "revision"),
    comment="API keys of consumers. `digest` is a keyed BLAKE2b of the key; the key itself is stored nowhere.",
)

ADMIN_KEYS: Final = Table(
    "admin_keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("name", String(200), nullable=False),
    Column("role", String(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    UniqueConstraint("digest"),
)

BUDGETS: Final = Table(
    "budgets",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    comment="Policies of the filter `budget` that the admin API keeps; added to those of the configuration.",
)

CONFIGURATIONS: Final = Table(
    "configurations",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=True),
    Column("document", Text, nullable=False),
    Column("note", String(400), nullable=False, server_default=""),
    Column("created_by", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False),
    comment="Every document that was applied through the admin API; the active one is served.",
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("origin", String(200), nullable=False),
    Column("action", String(80), nullable=False),
    Column("subject", String(700), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "subject"),
    comment="Every administrative change. Numbers have no gap, and each hash covers the one before it.",
)

ALERTS: Final = Table(
    "alerts",
    METADATA,
    Column("key", String(800), primary_key=True),
    Column("threshold", Integer, primary_key=True),
    Column("at_us", BigInteger, nullable=False),
    comment="Which thresholds (in percent) of which budget window were told already.",
)

# -- the ledger -------------------------------------------------------------------------------------------------------

JOURNALS: Final = Table(
    "journals",
    METADATA,
    Column("journal", String(64), primary_key=True),
    Column("entries", BigInteger, nullable=False),
    Column("first_at_us", BigInteger, nullable=False),
    Column("last_at_us", BigInteger, nullable=False),
    comment="How many entries of each journal are booked: its numbers 1 to `entries`, without gap.",
)

EXCHANGES: Final = Table(
    "exchanges",
    METADATA,
    Column("journal", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("id", String(128), nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("first_byte_us", BigInteger, nullable=False),
    Column("consumer", String(600), nullable=False),
    Column("end_user", String(300), nullable=False),
    Column("key_id", String(200), nullable=False),
    Column("surface", String(60), nullable=False),
    Column("model", String(300), nullable=False),
    Column("requested_model", String(300), nullable=False),
    Column("status", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("is_stream", Boolean, nullable=False),
    Column("cache", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("is_estimated", Boolean, nullable=False),
    Column("is_unpriced", Boolean, nullable=False),
    *_count_columns(),
    Index(None, "started_at_us"),
    Index(None, "consumer", "started_at_us"),
    Index(None, "id"),
)

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("journal", String(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("provider", String(200), nullable=False),
    Column("provider_type", String(60), nullable=False),
    Column("upstream_model", String(300), nullable=False),
    Column("outcome", String(40), nullable=False),
    Column("is_estimated", Boolean, nullable=False),
    Column("is_unpriced", Boolean, nullable=False),
    Column("price_version", String(100), nullable=False),
    Column("upstream_ms", BigInteger, nullable=False),
    *_count_columns(),
)

# -- roll-ups ---------------------------------------------------------------------------------------------------------


def _usage_table(name: str, period: str) -> Table:
    """Sums per period (its first second, Unix time) and everything that reports group by."""
    return Table(
        name,
        METADATA,
        Column(period, BigInteger, primary_key=True, autoincrement=False),
        Column("consumer", String(600), primary_key=True),
        Column("model", String(300), primary_key=True),
        Column("provider", String(200), primary_key=True),
        Column("upstream_model", String(300), primary_key=True),
        Column("provider_type", String(60), nullable=False),
        Column("exchanges", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("attempts", BigInteger, nullable=False),
        Column("estimated", BigInteger, nullable=False),
        Column("unpriced", BigInteger, nullable=False),
        *_count_columns(),
    )


USAGE_HOURS: Final = _usage_table("usage_hours", "hour")
USAGE_DAYS: Final = _usage_table("usage_days", "day")
