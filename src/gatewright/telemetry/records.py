"""What a worker tells the control process: aggregated cells and finished access-log lines, in one datagram.

Workers never render metrics and never write logs: they add to a cell per label set, encode one JSON line per exchange,
and send both over a SOCK_SEQPACKET pair several times a second (DESIGN §7.3). Cells hold the change since the last
batch, so control adds them up and a worker's restart never makes a counter fall.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

DURATION_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0)
"""Upper bounds for whole exchanges and times to first byte; the last bucket is open."""
OVERHEAD_BUCKETS_S: Final = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
"""Upper bounds for the gateway's own share; the last bucket is open."""

MAX_DATAGRAM_BYTES: Final = 128 * 1024
"""Largest batch; well under Linux's default socket buffer of 208 KiB."""


class Labels(Struct, frozen=True, array_like=True):
    """What a cell counts."""

    surface: str
    model: str
    """The published model, or empty when none was resolved (client-sent names never become label values)."""
    provider: str
    upstream_model: str
    status: int
    kind: str
    """The error kind, or empty on success."""
    stream: bool


class Cell(Struct, array_like=True):
    """Totals of the exchanges with one label set since the last batch."""

    labels: Labels
    exchanges: int = 0
    attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico_usd: int = 0
    """At the catalogue's prices, in 10⁻¹² US dollars."""
    unpriced: int = 0
    """Exchanges that used something the catalogue does not price."""
    bytes_in: int = 0
    bytes_out: int = 0
    duration_sum_s: float = 0.0
    duration_counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(DURATION_BUCKETS_S) + 1))
    first_byte_sum_s: float = 0.0
    first_byte_counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(DURATION_BUCKETS_S) + 1))
    overhead_sum_s: float = 0.0
    overhead_counts: list[int] = msgspec.field(default_factory=lambda: [0] * (len(OVERHEAD_BUCKETS_S) + 1))


class Gauges(Struct, frozen=True, array_like=True):
    """A worker's state at the time of the batch."""

    connections: int = 0
    requests_in_flight: int = 0
    upstream_connections: int = 0
    upstream_idle: int = 0
    snapshot_version: int = 0
    resident_bytes: int = 0
    counters_emptied: int = 0
    """How often this worker found the counters' server without the numbers it had."""
    ledger_lost: int = 0
    """Entries of the ledger for which this worker found neither disk nor memory."""


class BudgetState(Struct, frozen=True, array_like=True):
    """How far a budget of one group is spent in one calendar window."""

    name: str
    who: str
    window: str
    ends_at: float
    """Unix seconds."""
    limit_nano: int
    used_nano: int
    """Spent, in 10⁻⁹ US dollars; what running exchanges have reserved is not in it."""
    is_dry: bool = False
    """Whether it has refused an exchange since it was reported last."""


class Batch(Struct, frozen=True, array_like=True):
    """One datagram."""

    slot: int
    """Which worker (its place, stable over restarts)."""
    pid: int
    gauges: Gauges
    cells: list[Cell] = []
    lines: bytes = b""
    """Access-log lines: JSON, one per line, each with its newline."""
    lost_lines: int = 0
    """Lines thrown away since the last batch, because control did not take them."""
    budgets: list[BudgetState] = []
    """Budgets that were used since the last batch."""
