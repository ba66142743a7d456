"""The tables of the control plane's database: what is administered, the ledger, and its roll-ups.

Made for SQLite and PostgreSQL alike; `store/migrations` brings a database to them, and a test holds both to each other.
Times are Unix microseconds (`_us`) or seconds; money is two whole numbers, nano-dollars and what is left in
femto-dollars (`core.ledger` has femto-dollars; a sum of them would not fit into 64 bits).
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
    text,
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
    "images",
    "characters",
    "web_searches",
)
"""The fields of `core.ledger.Tokens`, in their order; every table that counts tokens has these columns."""


def text_of(length: int) -> String:
    """Text that is compared and ordered by its characters' numbers on every database, so that a prefix is a range, an
    index serves it, and both give rows in the same order."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _count_columns() -> list[Column[Any]]:
    """Tokens by kind and cost, 0 where there is none."""
    names = (*TOKEN_COLUMNS, "cost_nano", "cost_rest_femto")
    return [Column(name, BigInteger, nullable=False, server_default="0") for name in names]


# -- what is administered ---------------------------------------------------------------------------------------------

REVISIONS: Final = Table(
    "revisions",
    METADATA,
    Column("subject", text_of(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
    comment="Raised in the transaction of every change of a subject (`keys`, `budgets`), so that a poll sees it.",
)

CONSUMERS: Final = Table(
    "consumers",
    METADATA,
    Column("path", text_of(600), primary_key=True),
    Column("name", text_of(200), nullable=False, server_default=""),
    Column("details", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("suspended_at", BigInteger),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", text_of(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("prefix", text_of(16), nullable=False),
    Column("name", text_of(200), nullable=False, server_default=""),
    Column("consumer", text_of(600), nullable=False),
    Column("models", JSON, nullable=False),
    Column("surfaces", JSON, nullable=False),
    Column("networks", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", text_of(200), nullable=False),
    Column("expires_at", BigInteger),
    Column("suspended_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("replaced_by", text_of(32)),
    Column("last_used_at", BigInteger),
    Column("revision", BigInteger, nullable=False),
    UniqueConstraint("digest"),
    Index(None, "consumer"),
    Index(None, "revision"),
    # Holds what a search looks at, too: what is in the middle of a name no index finds, and reading every entry of this
    # one takes a third of what reading every row does.
    Index("ix_keys_newest", "created_at", "id", "name", "consumer"),
    comment="API keys of consumers. `digest` is a keyed BLAKE2b of the key; the key itself is stored nowhere.",
)

ADMIN_KEYS: Final = Table(
    "admin_keys",
    METADATA,
    Column("id", text_of(32), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("name", text_of(200), nullable=False),
    Column("role", text_of(10), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    UniqueConstraint("digest"),
)

BUDGETS: Final = Table(
    "budgets",
    METADATA,
    Column("name", text_of(200), primary_key=True),
    Column("document", JSON, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    comment="Policies of the filter `budget` that the admin API keeps; added to those of the configuration.",
)

CONFIGURATIONS: Final = Table(
    "configurations",
    METADATA,
    Column("version", Integer, primary_key=True, autoincrement=True),
    Column("document", Text, nullable=False),
    Column("note", text_of(400), nullable=False, server_default=""),
    Column("created_by", text_of(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False),
    comment="Every document that was applied through the admin API; the active one is served.",
)

AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("actor", text_of(200), nullable=False),
    Column("origin", text_of(200), nullable=False),
    Column("action", text_of(80), nullable=False),
    Column("subject", text_of(700), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("previous_hash", text_of(64), nullable=False),
    Column("hash", text_of(64), nullable=False),
    Index(None, "subject"),
    comment="Every administrative change. Numbers have no gap, and each hash covers the one before it.",
)

ALERTS: Final = Table(
    "alerts",
    METADATA,
    Column("key", text_of(800), primary_key=True),
    Column("threshold", Integer, primary_key=True),
    # When somebody last began to tell it, and when that was done.
    Column("at_us", BigInteger, nullable=False),
    Column("told_at_us", BigInteger),
    comment="Which thresholds (in percent) of which budget window were told already.",
)

# -- the ledger -------------------------------------------------------------------------------------------------------

JOURNALS: Final = Table(
    "journals",
    METADATA,
    Column("journal", text_of(64), primary_key=True),
    Column("entries", BigInteger, nullable=False),
    Column("first_at_us", BigInteger, nullable=False),
    Column("last_at_us", BigInteger, nullable=False),
    comment="How many entries of each journal are booked: its numbers 1 to `entries`, without gap.",
)

_NEWEST: Final = ("started_at_us", "journal", "number")
"""The order in which exchanges are paged, read backwards."""
HAS_KIND: Final = text("kind <> ''")
NOT_200: Final = text("status <> 200")
HAS_KEY: Final = text("key_id <> ''")
"""What a query must say, too, to be served by the partial indexes: neither database infers it from a parameter."""

EXCHANGES: Final = Table(
    "exchanges",
    METADATA,
    Column("journal", text_of(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("id", text_of(128), nullable=False),
    Column("started_at_us", BigInteger, nullable=False),
    Column("duration_us", BigInteger, nullable=False),
    Column("first_byte_us", BigInteger, nullable=False),
    Column("consumer", text_of(600), nullable=False),
    Column("end_user", text_of(300), nullable=False),
    Column("key_id", text_of(200), nullable=False),
    Column("surface", text_of(60), nullable=False),
    Column("model", text_of(300), nullable=False),
    Column("requested_model", text_of(300), nullable=False),
    Column("status", Integer, nullable=False),
    Column("kind", text_of(40), nullable=False),
    Column("is_stream", Boolean, nullable=False),
    Column("cache", text_of(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("is_estimated", Boolean, nullable=False),
    Column("is_unpriced", Boolean, nullable=False),
    *_count_columns(),
    Index("ix_exchanges_newest", *_NEWEST),
    Index("ix_exchanges_newest_of_consumer", "consumer", *_NEWEST),
    Index("ix_exchanges_newest_of_model", "model", *_NEWEST),
    # Failures are rare and looked for often: their indexes hold nothing else. Not every exchange has a key either.
    Index("ix_exchanges_newest_of_kind", "kind", *_NEWEST, postgresql_where=HAS_KIND, sqlite_where=HAS_KIND),
    Index("ix_exchanges_newest_of_status", "status", *_NEWEST, postgresql_where=NOT_200, sqlite_where=NOT_200),
    Index("ix_exchanges_newest_of_key", "key_id", *_NEWEST, postgresql_where=HAS_KEY, sqlite_where=HAS_KEY),
    Index(None, "id"),
    sqlite_with_rowid=False,
)

ATTEMPTS: Final = Table(
    "attempts",
    METADATA,
    Column("journal", text_of(64), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("provider", text_of(200), nullable=False),
    Column("provider_type", text_of(60), nullable=False),
    Column("upstream_model", text_of(300), nullable=False),
    Column("outcome", text_of(40), nullable=False),
    Column("is_estimated", Boolean, nullable=False),
    Column("is_unpriced", Boolean, nullable=False),
    Column("price_version", text_of(100), nullable=False),
    Column("upstream_ms", BigInteger, nullable=False),
    *_count_columns(),
    sqlite_with_rowid=False,
)

# -- roll-ups ---------------------------------------------------------------------------------------------------------


def _usage_table(name: str, period: str) -> Table:
    """Sums per period (its first second, Unix time) and everything that reports group by."""
    return Table(
        name,
        METADATA,
        Column(period, BigInteger, primary_key=True, autoincrement=False),
        Column("consumer", text_of(600), primary_key=True),
        Column("model", text_of(300), primary_key=True),
        Column("provider", text_of(200), primary_key=True),
        Column("upstream_model", text_of(300), primary_key=True),
        Column("provider_type", text_of(60), nullable=False),
        Column("exchanges", BigInteger, nullable=False),
        Column("failed", BigInteger, nullable=False),
        Column("attempts", BigInteger, nullable=False),
        Column("estimated", BigInteger, nullable=False),
        Column("unpriced", BigInteger, nullable=False),
        *_count_columns(),
        sqlite_with_rowid=False,
    )


USAGE_HOURS: Final = _usage_table("usage_hours", "hour")
USAGE_DAYS: Final = _usage_table("usage_days", "day")
