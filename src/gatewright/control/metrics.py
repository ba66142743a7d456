"""The totals as Prometheus metrics, made when somebody asks.

Cells carry every label at once; each metric here shows the labels that `telemetry.names` gives it, and cells that
differ only in the others are added together. So one metric can be cheap (two labels) while another is exact (seven).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from gatewright import __version__
from gatewright.control.ledger_writer import LedgerStatus
from gatewright.control.totals import Totals
from gatewright.core.messages import Status
from gatewright.telemetry import names
from gatewright.telemetry.names import Metric
from gatewright.telemetry.records import BudgetState, Cell, Gauges

Key = tuple[str, ...]

_TOKEN_KINDS: Final = (
    ("input", "input_tokens"),
    ("cached_input", "cached_input_tokens"),
    ("output", "output_tokens"),
    ("reasoning", "reasoning_tokens"),
)
_CELL_COUNTERS: Final = (
    (names.EXCHANGES, "exchanges"),
    (names.ATTEMPTS, "attempts"),
    (names.UNPRICED, "unpriced"),
    (names.REQUEST_BYTES, "bytes_in"),
    (names.RESPONSE_BYTES, "bytes_out"),
)
_CELL_HISTOGRAMS: Final = (
    (names.DURATION, "duration"),
    (names.FIRST_BYTE, "first_byte"),
    (names.OVERHEAD, "overhead"),
)
_WORKER_GAUGES: Final[tuple[tuple[Metric, Callable[[Gauges], int]], ...]] = (
    (names.CONNECTIONS, lambda g: g.connections),
    (names.IN_FLIGHT, lambda g: g.requests_in_flight),
    (names.UPSTREAM_CONNECTIONS, lambda g: g.upstream_connections),
    (names.UPSTREAM_IDLE, lambda g: g.upstream_idle),
    (names.WORKER_VERSION, lambda g: g.snapshot_version),
    (names.WORKER_RESIDENT, lambda g: g.resident_bytes),
    (names.LEDGER_LOST, lambda g: g.ledger_lost),
)

_LEDGER_COUNTERS: Final[tuple[tuple[Metric, Callable[[LedgerStatus], float]], ...]] = (
    (names.LEDGER_BOOKED, lambda status: status.booked),
    (names.LEDGER_FAILURES, lambda status: status.failures),
)
_LEDGER_GAUGES: Final[tuple[tuple[Metric, Callable[[LedgerStatus], float]], ...]] = (
    (names.LEDGER_WAITING, lambda status: status.waiting),
    (names.LEDGER_LAG, lambda status: status.lag_s),
    (names.LEDGER_STUCK, lambda status: len(status.stuck)),
)
MAX_BUDGETS: Final = 1_000
"""Groups of budgets that are shown, those that were used last: end users may be groups, and there may be many."""


class GatewayCollector(Collector):
    """Everything in `telemetry.names`, from the totals and the supervisor's last status."""

    def __init__(
        self,
        totals: Totals,
        status: Callable[[], Status | None],
        lost: Callable[[], int],
        resident: Callable[[], int],
        budgets: Callable[[], Sequence[BudgetState]] = tuple,
        ledger: Callable[[], LedgerStatus | None] = lambda: None,
    ) -> None:
        """`budgets` gives those whose window has not ended, the last used one last."""
        self._totals, self._status, self._lost, self._resident = totals, status, lost, resident
        self._budgets, self._ledger = budgets, ledger

    def collect(self) -> Iterator[Family]:
        """All families in the order of `METRICS`."""
        families = {metric.name: family for metric, family in self._families()}
        return (families[metric.name] for metric in names.METRICS)

    def _families(self) -> Iterator[tuple[Metric, Family]]:
        cells = list(self._totals.cells.values())
        for metric, field in _CELL_COUNTERS:
            yield metric, _counter(metric, _sums(metric, cells, field))
        yield names.TOKENS, _counter(names.TOKENS, _tokens(cells))
        cost = [(key, pico / 1e12) for key, pico in _sums(names.COST, cells, "cost_pico_usd")]
        yield names.COST, _counter(names.COST, cost)
        for metric, prefix in _CELL_HISTOGRAMS:
            yield metric, _histogram(metric, cells, prefix)
        yield names.LOST_LINES, _counter(names.LOST_LINES, [((), self._totals.lost_lines + self._lost())])
        gauges = self._totals.gauges()
        for metric, read in _WORKER_GAUGES:
            yield metric, _gauge(metric, [((str(slot),), read(gauge)) for slot, gauge in gauges.items()])
        yield names.BUILD, _gauge(names.BUILD, [((__version__,), 1)])
        yield names.CONTROL_RESIDENT, _gauge(names.CONTROL_RESIDENT, [((), self._resident())])
        yield from self._status_families()
        yield from self._budget_families()
        yield from self._ledger_families()

    def _status_families(self) -> Iterator[tuple[Metric, Family]]:
        status = self._status() or Status(0, 0, 0, [])
        yield names.VERSION, _gauge(names.VERSION, [((), status.version)])
        yield names.REFUSED, _gauge(names.REFUSED, [((), int(bool(status.last_error)))])
        yield names.WORKERS_WANTED, _gauge(names.WORKERS_WANTED, [((), status.wanted_workers)])
        yield names.WORKERS_READY, _gauge(names.WORKERS_READY, [((), status.ready_workers)])
        restarts = {(name,): count for name, _, _, count in status.children}
        yield names.CHILD_RESTARTS, _counter(names.CHILD_RESTARTS, restarts.items())

    def _budget_families(self) -> Iterator[tuple[Metric, Family]]:
        rows = [((state.name, state.who, state.window), state) for state in self._budgets()[-MAX_BUDGETS:]]
        yield names.BUDGET_USED, _gauge(names.BUDGET_USED, [(key, state.used_nano / 1e9) for key, state in rows])
        yield names.BUDGET_LIMIT, _gauge(names.BUDGET_LIMIT, [(key, state.limit_nano / 1e9) for key, state in rows])

    def _ledger_families(self) -> Iterator[tuple[Metric, Family]]:
        status = self._ledger()
        for metric, read in _LEDGER_COUNTERS:
            yield metric, _counter(metric, [] if status is None else [((), read(status))])
        for metric, read in _LEDGER_GAUGES:
            yield metric, _gauge(metric, [] if status is None else [((), read(status))])


class Exposition:
    """Answers scrapes."""

    def __init__(self, collector: Collector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Body and content type, in the format the `accept` header asks for (Prometheus text, or OpenMetrics)."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


def _label(cell: Cell, name: str) -> str:
    value = getattr(cell.labels, name)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _sums(metric: Metric, cells: Iterable[Cell], field: str) -> Iterable[tuple[Key, float]]:
    sums: dict[Key, float] = {}
    for cell in cells:
        key = tuple(_label(cell, name) for name in metric.labels)
        sums[key] = sums.get(key, 0) + getattr(cell, field)
    return sums.items()


def _tokens(cells: Iterable[Cell]) -> Iterable[tuple[Key, float]]:
    sums: dict[Key, float] = {}
    for cell in cells:
        target = tuple(_label(cell, name) for name in names.TOKENS.labels[:-1])
        for kind, field in _TOKEN_KINDS:
            count = getattr(cell, field)
            if count:
                sums[*target, kind] = sums.get((*target, kind), 0) + count
    return sums.items()


def _counter(metric: Metric, samples: Iterable[tuple[Key, float]]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for key, value in samples:
        family.add_metric(key, value)
    return family


def _gauge(metric: Metric, samples: Iterable[tuple[Key, float]]) -> Family:
    family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
    for key, value in samples:
        family.add_metric(key, value)
    return family


def _histogram(metric: Metric, cells: Iterable[Cell], prefix: str) -> Family:
    counts_name, sum_name = f"{prefix}_counts", f"{prefix}_sum_s"
    counts: dict[Key, list[int]] = {}
    sums: dict[Key, float] = {}
    for cell in cells:
        key = tuple(_label(cell, name) for name in metric.labels)
        known = counts.setdefault(key, [0] * (len(metric.buckets) + 1))
        for index, count in enumerate(getattr(cell, counts_name)):
            known[index] += count
        sums[key] = sums.get(key, 0.0) + getattr(cell, sum_name)
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for key, found in counts.items():
        if any(found):
            family.add_metric(key, _cumulative(metric.buckets, found), sums[key])
    return family


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Prometheus counts each bucket with all below it."""
    return list(zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True))
