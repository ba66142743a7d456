"""The section `ledger`: how what every exchange used and cost is written down."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct


class Ledger(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How what every exchange used and cost is written down."""

    on_full_disk: Literal["serve", "refuse"] = "serve"
    """When the disk has no room for another segment of a journal: `serve` goes on and keeps entries in memory (64 MiB
    per worker, which a killed worker loses; beyond that they are lost and counted); `refuse` answers new exchanges with
    503 and keeps the room that is left for those that run."""
    sync_ms: Annotated[int, Meta(ge=10, le=60_000)] = 100
    """How often journals are written through to the disk. A killed process loses no entry; a machine without power
    loses what this time brought."""
    keep_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """Days after which the single exchanges are deleted from the database; sums per hour and day stay. Without it they
    are kept for ever."""
