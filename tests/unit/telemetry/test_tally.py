"""The totals of a label set."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gatewright.core.exchange import Exchange
from gatewright.core.usage import Usage
from gatewright.telemetry.records import DURATION_BUCKETS_S, OVERHEAD_BUCKETS_S, Cell, Labels
from gatewright.telemetry.tally import Tally

LABELS = Labels("chat_completions", "m", "p", "theirs", 200, "", False)


def exchange(**members: Any) -> Exchange:
    x = Exchange("req_1", None, {}, b"12345", 10.0)
    x.attempts, x.bytes_out, x.finished_s = 1, 7, 11.0
    for name, value in members.items():
        setattr(x, name, value)
    return x


def test_nothing_counted_is_an_empty_cell() -> None:
    assert Tally(LABELS).cell() == Cell(LABELS)


def test_an_exchange_counts_where_its_times_belong() -> None:
    tally = Tally(LABELS)
    tally.add_exchange(exchange(first_byte_s=10.03), total_s=1.0, overhead_s=0.0003)
    cell = tally.cell()
    assert (cell.exchanges, cell.attempts, cell.bytes_in, cell.bytes_out) == (1, 1, 5, 7)
    assert cell.duration_counts[DURATION_BUCKETS_S.index(1.0)] == 1, "a bound belongs to its bucket"
    assert cell.first_byte_counts[DURATION_BUCKETS_S.index(0.05)] == 1
    assert cell.overhead_counts[OVERHEAD_BUCKETS_S.index(0.0005)] == 1
    assert sum(cell.duration_counts) == sum(cell.first_byte_counts) == sum(cell.overhead_counts) == 1
    assert (cell.duration_sum_s, cell.overhead_sum_s) == (1.0, 0.0003)


def test_a_complete_answer_has_no_first_byte() -> None:
    tally = Tally(LABELS)
    tally.add_exchange(exchange(), total_s=1e9, overhead_s=1e9)
    cell = tally.cell()
    assert sum(cell.first_byte_counts) == 0
    assert (cell.duration_counts[-1], cell.overhead_counts[-1]) == (1, 1), "the last bucket is open"


def test_earlier_attempts_are_counted_where_they_were_made() -> None:
    tally = Tally(LABELS)
    tally.add_exchange(exchange(attempts=3, past=[object(), object()]), total_s=1.0, overhead_s=0.0)
    assert tally.cell().attempts == 1
    tally.add_attempt()
    assert tally.cell().attempts == 2


def test_usage_adds_up() -> None:
    tally = Tally(LABELS)
    tally.add_usage(Usage(input_total=9, input_cached_read=4, output_total=5, output_reasoning=3), 1_499)
    tally.add_usage(Usage(input_total=1), None)
    cell = tally.cell()
    assert (cell.input_tokens, cell.cached_input_tokens, cell.output_tokens, cell.reasoning_tokens) == (10, 4, 5, 3)
    assert (cell.cost_pico_usd, cell.unpriced) == (1, 1), "rounded to the nearest"


@given(st.integers(0, 9))
def test_what_was_sent_in_vain_is_counted_again(times: int) -> None:
    tally = Tally(LABELS)
    tally.add_exchange(exchange(first_byte_s=10.5), total_s=1.0, overhead_s=0.01)
    tally.add_usage(Usage(input_total=3, output_total=2, input_cached_read=1, output_reasoning=1), 5_000)
    tally.add_usage(Usage(), None)
    once = tally.cell()
    again = Tally(LABELS)
    for _ in range(times):
        again.merge(once)
    merged = again.cell()
    for name in Cell.__struct_fields__[1:]:
        one, many = getattr(once, name), getattr(merged, name)
        if isinstance(one, list):
            assert many == [count * times for count in one], name
        else:
            assert abs(many - one * times) < 1e-9, name
