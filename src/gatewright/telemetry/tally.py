"""The totals of one label set, as a worker counts them between two batches."""

from __future__ import annotations

from typing import Final

from gatewright.core.exchange import Exchange
from gatewright.core.usage import Usage
from gatewright.telemetry.records import DURATION_BUCKETS_S, OVERHEAD_BUCKETS_S, Cell, Labels

# As lists: compiled code puts a constant tuple together again for every look.
_DURATIONS: Final = list(DURATION_BUCKETS_S)
_OVERHEADS: Final = list(OVERHEAD_BUCKETS_S)


class Tally:
    """What becomes a `records.Cell`, whose members it has: that one is decoded and so cannot be compiled."""

    __slots__ = (
        "_attempts",
        "_bytes_in",
        "_bytes_out",
        "_cached_input_tokens",
        "_cost_pico_usd",
        "_duration_counts",
        "_duration_sum_s",
        "_exchanges",
        "_first_byte_counts",
        "_first_byte_sum_s",
        "_input_tokens",
        "_labels",
        "_output_tokens",
        "_overhead_counts",
        "_overhead_sum_s",
        "_reasoning_tokens",
        "_unpriced",
    )

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._exchanges = 0
        self._attempts = 0
        self._input_tokens = 0
        self._cached_input_tokens = 0
        self._output_tokens = 0
        self._reasoning_tokens = 0
        self._cost_pico_usd = 0
        self._unpriced = 0
        self._bytes_in = 0
        self._bytes_out = 0
        self._duration_sum_s = 0.0
        self._duration_counts = [0] * (len(DURATION_BUCKETS_S) + 1)
        self._first_byte_sum_s = 0.0
        self._first_byte_counts = [0] * (len(DURATION_BUCKETS_S) + 1)
        self._overhead_sum_s = 0.0
        self._overhead_counts = [0] * (len(OVERHEAD_BUCKETS_S) + 1)

    def add_exchange(self, x: Exchange, total_s: float, overhead_s: float) -> None:
        """Count a settled exchange, with its last attempt and without what it used."""
        self._exchanges += 1
        past = x.past
        self._attempts += x.attempts if past is None else x.attempts - len(past)
        self._bytes_in += len(x.body)
        self._bytes_out += x.bytes_out
        self._duration_sum_s += total_s
        self._duration_counts[_bucket(_DURATIONS, total_s)] += 1
        if x.first_byte_s:
            first_byte_s = x.first_byte_s - x.started_s
            self._first_byte_sum_s += first_byte_s
            self._first_byte_counts[_bucket(_DURATIONS, first_byte_s)] += 1
        self._overhead_sum_s += overhead_s
        self._overhead_counts[_bucket(_OVERHEADS, overhead_s)] += 1

    def add_attempt(self) -> None:
        """Count an attempt that was followed by another."""
        self._attempts += 1

    def add_usage(self, usage: Usage, cost_femto_usd: int | None) -> None:
        """Count what an attempt used."""
        self._input_tokens += usage.input_total
        self._cached_input_tokens += usage.input_cached_read
        self._output_tokens += usage.output_total
        self._reasoning_tokens += usage.output_reasoning
        if cost_femto_usd is None:
            self._unpriced += 1
        else:
            self._cost_pico_usd += (cost_femto_usd + 500) // 1000

    def merge(self, cell: Cell) -> None:
        """Add what was counted before."""
        self._exchanges += cell.exchanges
        self._attempts += cell.attempts
        self._input_tokens += cell.input_tokens
        self._cached_input_tokens += cell.cached_input_tokens
        self._output_tokens += cell.output_tokens
        self._reasoning_tokens += cell.reasoning_tokens
        self._cost_pico_usd += cell.cost_pico_usd
        self._unpriced += cell.unpriced
        self._bytes_in += cell.bytes_in
        self._bytes_out += cell.bytes_out
        self._duration_sum_s += cell.duration_sum_s
        self._duration_counts = _sums(self._duration_counts, cell.duration_counts)
        self._first_byte_sum_s += cell.first_byte_sum_s
        self._first_byte_counts = _sums(self._first_byte_counts, cell.first_byte_counts)
        self._overhead_sum_s += cell.overhead_sum_s
        self._overhead_counts = _sums(self._overhead_counts, cell.overhead_counts)

    def cell(self) -> Cell:
        """The totals, to be sent."""
        return Cell(
            self._labels,
            self._exchanges,
            self._attempts,
            self._input_tokens,
            self._cached_input_tokens,
            self._output_tokens,
            self._reasoning_tokens,
            self._cost_pico_usd,
            self._unpriced,
            self._bytes_in,
            self._bytes_out,
            self._duration_sum_s,
            self._duration_counts,
            self._first_byte_sum_s,
            self._first_byte_counts,
            self._overhead_sum_s,
            self._overhead_counts,
        )


def _bucket(bounds: list[float], value: float) -> int:
    """`bisect_left`, compiled."""
    low, high = 0, len(bounds)
    while low < high:
        middle = (low + high) // 2
        if bounds[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


def _sums(some: list[int], others: list[int]) -> list[int]:
    return [one + other for one, other in zip(some, others, strict=True)]
