"""Entries of the ledger for tests, and what stands about them in a database."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from sqlalchemy import Engine, select

from gatewright.core.ledger import Attempt, Entry, Tokens
from gatewright.store.tables import EXCHANGES, FEMTO_PER_NANO, TOKEN_COLUMNS

NOON_US = 1_763_726_400_000_000
"""2025-11-21T12:00Z."""
HOUR_US = 3_600_000_000


def entry(number: int, *attempts: Attempt, **fields: Any) -> Entry:
    """One exchange; by default it began at noon and had no attempt."""
    values: dict[str, Any] = {
        "number": number,
        "id": f"id-{number}",
        "started_at_us": NOON_US + number,
        "duration_us": 1_000,
        "first_byte_us": 0,
        "consumer": "acme/app",
        "user": "",
        "key_id": "",
        "surface": "openai.chat",
        "model": "gpt",
        "requested_model": "gpt",
        "status": 200,
        "kind": "",
        "is_stream": False,
        "cache": "",
        "attempts": list(attempts),
    }
    return Entry(**values | fields)


def attempt(provider: str = "openai", cost: int | None = 5, tokens: Tokens | None = None, **fields: Any) -> Attempt:
    """A try that succeeded and used a little."""
    values: dict[str, Any] = {
        "provider": provider,
        "provider_type": "openai",
        "upstream_model": "gpt-up",
        "outcome": "ok",
        "tokens": tokens or Tokens(10, output_total=3),
        "cost_femto_usd": cost,
        "price_version": "v1",
        "upstream_ms": 7,
    }
    return Attempt(**values | fields)


def random_entries(seed: int, count: int, first: int = 1) -> list[Entry]:
    """Entries over two days, with retries, failures, estimates and unknown prices."""
    chance = random.Random(seed)
    made = []
    for number in range(first, first + count):
        tries = [
            attempt(
                chance.choice(["openai", "claude"]),
                chance.choice([None, 0, 999_999, 1_000_001, 123_456_789_012_345]),
                Tokens(*(chance.choice([0, chance.randrange(5_000)]) for _ in TOKEN_COLUMNS)),
                is_estimated=chance.random() < 0.1,
                outcome=chance.choice(["ok", "upstream_timeout"]),
            )
            for _ in range(chance.choice([0, 1, 1, 1, 2, 3]))
        ]
        fields = {
            "id": f"{seed}-{number}",
            "started_at_us": NOON_US + chance.randrange(48 * HOUR_US),
            "consumer": chance.choice(["acme/app", "acme/other", ""]),
            "model": chance.choice(["gpt", "claude"]),
            "kind": chance.choice(["", "", "rate_limited"]),
            "key_id": chance.choice(["", "k1", "k2"]),
        }
        made.append(entry(number, *tries, **fields))
    return made


def booked_ids(engine: Engine) -> Counter[str]:
    """How often each exchange is in the database."""
    with engine.begin() as connection:
        return Counter(connection.scalars(select(EXCHANGES.c.id)))


def femto(row: Any) -> int:
    """A row's cost."""
    return int(row.cost_nano) * FEMTO_PER_NANO + int(row.cost_rest_femto)
