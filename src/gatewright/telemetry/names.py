"""Every metric the gateway exports: its name, meaning and labels. The metrics reference is made from `METRICS`.

Names and units follow the conventions of Prometheus. Labels carry configured names only (published models, providers),
never what a client sent, so the number of series is bounded by the configuration; but for the groups of budgets, of
which only so many are shown.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from gatewright.telemetry.records import DURATION_BUCKETS_S, OVERHEAD_BUCKETS_S

_TARGET: Final = ("surface", "model", "provider", "upstream_model")
_OUTCOME: Final = ("status", "kind", "stream")
_BUDGET: Final = ("budget", "group", "window")
_TIMED: Final = ("surface", "model", "provider", "kind", "stream")


class Metric(Struct, frozen=True):
    """One exported metric."""

    name: str
    """The family's name; a counter's samples add `_total`."""
    type: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram; a last, open one is added."""

    @property
    def sample_name(self) -> str:
        """The name to write in a query (a histogram's has `_bucket`, `_sum` and `_count` added)."""
        return f"{self.name}_total" if self.type == "counter" else self.name


LABELS: Final[dict[str, str]] = {
    "surface": "Client-facing API, such as `chat_completions`; empty when the request reached none.",
    "model": "Published model or pattern; empty when none was resolved.",
    "provider": "Configured provider of the last attempt; empty when there was none.",
    "upstream_model": "The provider's own name of the model.",
    "status": "HTTP status the client saw; 499 when it was gone.",
    "kind": "Kind of error, empty on success; for tokens what was counted.",
    "stream": "`true` for streamed answers.",
    "worker": "The worker's place, from 1; it stays the same when the process is replaced.",
    "child": "Name of a supervised process.",
    "version": "Version of the gateway.",
    "budget": "Name of a budget.",
    "group": "Who shares it: a consumer's path, or whatever its `by` or `expression` gives.",
    "window": "Its calendar window, as `2026-11`, or `total`.",
}
"""What each label says."""

EXCHANGES: Final = Metric(
    "gatewright_exchanges", "counter", "Finished exchanges, failed ones included.", _TARGET + _OUTCOME
)
ATTEMPTS: Final = Metric(
    "gatewright_attempts", "counter", "Attempts at upstreams; more than exchanges when some were retried.", _TARGET
)
TOKENS: Final = Metric(
    "gatewright_tokens",
    "counter",
    "Tokens by `kind`: input, output, and of these cached_input and reasoning. As reported by the provider.",
    (*_TARGET, "kind"),
)
COST: Final = Metric(
    "gatewright_cost_usd",
    "counter",
    "US dollars at the catalogue's prices. Exchanges that it cannot price are counted apart.",
    _TARGET,
)
UNPRICED: Final = Metric(
    "gatewright_unpriced_exchanges",
    "counter",
    "Exchanges that used what the catalogue has no price for: they cost something that no other metric tells.",
    _TARGET,
)
DURATION: Final = Metric(
    "gatewright_exchange_duration_seconds",
    "histogram",
    "From the first byte of a request to the last byte of its answer.",
    _TIMED,
    DURATION_BUCKETS_S,
)
FIRST_BYTE: Final = Metric(
    "gatewright_time_to_first_byte_seconds",
    "histogram",
    "From the first byte of a request to the first byte of its answer; only exchanges that got one.",
    _TIMED,
    DURATION_BUCKETS_S,
)
OVERHEAD: Final = Metric(
    "gatewright_overhead_seconds",
    "histogram",
    "The gateway's own share of the time to first byte: everything but waiting for the upstream.",
    ("surface", "stream"),
    OVERHEAD_BUCKETS_S,
)
REQUEST_BYTES: Final = Metric("gatewright_request_bytes", "counter", "Bytes of request bodies.", _TARGET)
RESPONSE_BYTES: Final = Metric("gatewright_response_bytes", "counter", "Bytes of response bodies.", _TARGET)
LOST_LINES: Final = Metric(
    "gatewright_access_log_lost_lines",
    "counter",
    "Access-log lines thrown away because they were not taken fast enough.",
)

CONNECTIONS: Final = Metric("gatewright_worker_connections", "gauge", "Open client connections.", ("worker",))
IN_FLIGHT: Final = Metric("gatewright_worker_requests_in_flight", "gauge", "Exchanges in progress.", ("worker",))
UPSTREAM_CONNECTIONS: Final = Metric(
    "gatewright_worker_upstream_connections", "gauge", "Open connections to upstreams, idle ones included.", ("worker",)
)
UPSTREAM_IDLE: Final = Metric(
    "gatewright_worker_upstream_idle_connections", "gauge", "Connections to upstreams kept for reuse.", ("worker",)
)
WORKER_VERSION: Final = Metric(
    "gatewright_worker_configuration_version", "gauge", "Version of the configuration that it serves.", ("worker",)
)
WORKER_RESIDENT: Final = Metric("gatewright_worker_resident_bytes", "gauge", "Resident memory.", ("worker",))

LEDGER_LOST: Final = Metric(
    "gatewright_worker_ledger_lost_entries",
    "gauge",
    "Exchanges that are in no ledger, since it began: there was neither disk nor memory for them.",
    ("worker",),
)

BUDGET_USED: Final = Metric(
    "gatewright_budget_used_usd",
    "gauge",
    "US dollars spent in the present window; what running exchanges have reserved is not in it.",
    _BUDGET,
)
BUDGET_LIMIT: Final = Metric(
    "gatewright_budget_limit_usd", "gauge", "US dollars that may be spent in the present window.", _BUDGET
)
LEDGER_BOOKED: Final = Metric(
    "gatewright_ledger_booked_entries", "counter", "Exchanges brought into the database since this process began."
)
LEDGER_WAITING: Final = Metric(
    "gatewright_ledger_waiting_entries", "gauge", "Exchanges in journals that are not in the database yet."
)
LEDGER_LAG: Final = Metric("gatewright_ledger_lag_seconds", "gauge", "How long the first of them has been waiting.")
LEDGER_FAILURES: Final = Metric(
    "gatewright_ledger_failures", "counter", "Attempts to book that failed since this process began."
)
LEDGER_STUCK: Final = Metric(
    "gatewright_ledger_stuck_journals",
    "gauge",
    "Journals that cannot be booked on; `gatewright ledger verify` says why.",
)

BUILD: Final = Metric("gatewright_build_info", "gauge", "Always 1; the version is the label.", ("version",))
VERSION: Final = Metric(
    "gatewright_configuration_version",
    "gauge",
    "Version of the configuration served; grows with each accepted one.",
)
REFUSED: Final = Metric(
    "gatewright_configuration_refused", "gauge", "1 while the last reload is refused and an older configuration serves."
)
WORKERS_WANTED: Final = Metric("gatewright_workers_wanted", "gauge", "Workers there should be.")
WORKERS_READY: Final = Metric("gatewright_workers_ready", "gauge", "Workers that serve.")
CHILD_RESTARTS: Final = Metric(
    "gatewright_process_restarts", "counter", "Unexpected ends of a supervised process.", ("child",)
)
CONTROL_RESIDENT: Final = Metric("gatewright_control_resident_bytes", "gauge", "Resident memory of this process.")

METRICS: Final[tuple[Metric, ...]] = (
    EXCHANGES,
    ATTEMPTS,
    TOKENS,
    COST,
    UNPRICED,
    DURATION,
    FIRST_BYTE,
    OVERHEAD,
    REQUEST_BYTES,
    RESPONSE_BYTES,
    LOST_LINES,
    CONNECTIONS,
    IN_FLIGHT,
    UPSTREAM_CONNECTIONS,
    UPSTREAM_IDLE,
    WORKER_VERSION,
    WORKER_RESIDENT,
    LEDGER_LOST,
    BUDGET_USED,
    BUDGET_LIMIT,
    LEDGER_BOOKED,
    LEDGER_WAITING,
    LEDGER_LAG,
    LEDGER_FAILURES,
    LEDGER_STUCK,
    BUILD,
    VERSION,
    REFUSED,
    WORKERS_WANTED,
    WORKERS_READY,
    CHILD_RESTARTS,
    CONTROL_RESIDENT,
)
"""Every metric, in the order of the exposition and of the reference."""
