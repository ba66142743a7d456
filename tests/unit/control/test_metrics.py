"""The exposition: every metric is there, in both formats, and the numbers are those of the cells."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gatewright import __version__
from gatewright.control.ledger_writer import LedgerStatus
from gatewright.control.metrics import MAX_BUDGETS, Exposition, GatewayCollector
from gatewright.control.totals import Totals
from gatewright.core.messages import Status
from gatewright.telemetry import names
from gatewright.telemetry.records import Batch, BudgetState, Cell, Gauges, Labels

STATUS = Status(
    3, 2, 1, [("worker-1", "ready", 10, 0), ("worker-2", "waiting", 0, 4), ("control", "ready", 12, 0)], "x"
)
TARGET = {"surface": "chat_completions", "model": "m", "provider": "up", "upstream_model": "x-1"}


def build(status: Status | None = STATUS) -> Exposition:
    good = Cell(Labels("chat_completions", "m", "up", "x-1", 200, "", True))
    good.exchanges, good.attempts, good.input_tokens, good.cached_input_tokens, good.output_tokens = 3, 4, 30, 10, 6
    good.bytes_in, good.bytes_out, good.duration_sum_s = 100, 900, 1.5
    good.duration_counts[0], good.duration_counts[6], good.duration_counts[-1] = 1, 1, 1
    bad = Cell(Labels("chat_completions", "m", "up", "x-1", 502, "upstream_reset", True))
    bad.exchanges, bad.attempts, bad.overhead_sum_s = 1, 2, 0.001
    bad.overhead_counts[3] = 1
    totals = Totals()
    totals.add(Batch(1, 10, Gauges(7, 5, 3, 2, 3, 1000), [good, bad], b"", 2))
    return Exposition(GatewayCollector(totals, lambda: status, lambda: 5, lambda: 4096))


def samples(exposition: Exposition) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = exposition.render("")[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float | None:
    return samples(build()).get((name, frozenset(labels.items())))


def test_every_metric_is_exposed_in_order_with_its_help() -> None:
    text = build().render("")[0].decode()
    told = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert told == [metric.sample_name for metric in names.METRICS]


def test_samples_carry_the_labels_that_are_declared() -> None:
    declared = {metric.sample_name: set(metric.labels) for metric in names.METRICS}
    for name, labels in samples(build()):
        family = name if name in declared else name.rpartition("_")[0]
        assert {label for label, _ in labels} - {"le"} == declared[family], name


def test_counters_are_split_by_outcome_or_by_target() -> None:
    assert value("gatewright_exchanges_total", **TARGET, status="200", kind="", stream="true") == 3
    assert value("gatewright_exchanges_total", **TARGET, status="502", kind="upstream_reset", stream="true") == 1
    assert value("gatewright_attempts_total", **TARGET) == 6
    assert value("gatewright_request_bytes_total", **TARGET) == 100
    assert value("gatewright_response_bytes_total", **TARGET) == 900
    assert value("gatewright_access_log_lost_lines_total") == 7


def test_tokens_are_split_by_what_was_counted() -> None:
    assert value("gatewright_tokens_total", **TARGET, kind="input") == 30
    assert value("gatewright_tokens_total", **TARGET, kind="cached_input") == 10
    assert value("gatewright_tokens_total", **TARGET, kind="output") == 6
    assert value("gatewright_tokens_total", **TARGET, kind="reasoning") is None


def test_histograms_are_cumulative() -> None:
    labels = {"surface": "chat_completions", "model": "m", "provider": "up", "kind": "", "stream": "true"}
    name = "gatewright_exchange_duration_seconds"
    assert value(f"{name}_bucket", **labels, le="0.005") == 1
    assert value(f"{name}_bucket", **labels, le="0.25") == 1
    assert value(f"{name}_bucket", **labels, le="0.5") == 2
    assert value(f"{name}_bucket", **labels, le="160.0") == 2
    assert value(f"{name}_bucket", **labels, le="+Inf") == 3
    assert value(f"{name}_count", **labels) == 3
    assert value(f"{name}_sum", **labels) == 1.5
    assert value("gatewright_overhead_seconds_count", surface="chat_completions", stream="true") == 1
    assert value("gatewright_time_to_first_byte_seconds_count", **labels) is None


def test_the_state_of_workers_and_processes() -> None:
    assert value("gatewright_worker_connections", worker="1") == 7
    assert value("gatewright_worker_requests_in_flight", worker="1") == 5
    assert value("gatewright_worker_upstream_connections", worker="1") == 3
    assert value("gatewright_worker_upstream_idle_connections", worker="1") == 2
    assert value("gatewright_worker_configuration_version", worker="1") == 3
    assert value("gatewright_worker_resident_bytes", worker="1") == 1000
    assert value("gatewright_workers_wanted") == 2
    assert value("gatewright_workers_ready") == 1
    assert value("gatewright_configuration_version") == 3
    assert value("gatewright_configuration_refused") == 1
    assert value("gatewright_process_restarts_total", child="worker-2") == 4
    assert value("gatewright_build_info", version=__version__) == 1
    assert value("gatewright_control_resident_bytes") == 4096


def test_before_the_supervisor_spoke_nothing_is_wanted() -> None:
    assert samples(build(None))["gatewright_workers_wanted", frozenset()] == 0


def test_open_metrics_is_given_when_asked_for() -> None:
    body, content_type = build().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")
    assert b"# TYPE gatewright_exchanges counter" in body


def test_hostile_label_values_are_escaped() -> None:
    totals = Totals()
    totals.add(Batch(1, 1, Gauges(), [Cell(Labels('a"b\n', "m\\", "", "", 200, "", False), exchanges=1)]))
    exposition = Exposition(GatewayCollector(totals, lambda: None, lambda: 0, lambda: 0))
    labels = {"surface": 'a"b\n', "model": "m\\", "provider": "", "upstream_model": ""}
    assert ("gatewright_attempts_total", frozenset(labels.items())) in samples(exposition)


LEDGER = LedgerStatus(
    booked=70, waiting=3, lag_s=1.5, failures=2, error="no disk", stuck=("j: its checksum is wrong",), pruned=0
)


def build_books(budgets: list[BudgetState], status: LedgerStatus | None = None) -> Exposition:
    totals = Totals()
    totals.add(Batch(2, 11, Gauges(ledger_lost=4), [], b"", 0))
    return Exposition(GatewayCollector(totals, lambda: None, lambda: 0, lambda: 0, lambda: budgets, lambda: status))


def test_budgets_are_shown_with_what_is_spent() -> None:
    state = BudgetState("monthly", "acme/a", "2026-11", 2e9, 5_000_000_000, 1_250_000_000)
    found = samples(build_books([state]))
    labels = frozenset({"budget": "monthly", "group": "acme/a", "window": "2026-11"}.items())
    assert found["gatewright_budget_used_usd", labels] == 1.25
    assert found["gatewright_budget_limit_usd", labels] == 5.0


def test_only_so_many_groups_are_shown_the_last_used_ones() -> None:
    states = [BudgetState("b", f"user-{number}", "total", 2e9, 1, 1) for number in range(MAX_BUDGETS + 5)]
    shown = {dict(labels)["group"] for name, labels in samples(build_books(states)) if name.endswith("_used_usd")}
    assert len(shown) == MAX_BUDGETS
    assert "user-4" not in shown
    assert f"user-{MAX_BUDGETS + 4}" in shown


def test_the_ledger_is_shown_as_it_stands() -> None:
    found = samples(build_books([], LEDGER))
    nothing: frozenset[tuple[str, str]] = frozenset()
    told = {name: value for (name, labels), value in found.items() if labels == nothing and "_ledger_" in name}
    assert told == {
        "gatewright_ledger_booked_entries_total": 70,
        "gatewright_ledger_waiting_entries": 3,
        "gatewright_ledger_lag_seconds": 1.5,
        "gatewright_ledger_failures_total": 2,
        "gatewright_ledger_stuck_journals": 1,
    }
    assert found["gatewright_worker_ledger_lost_entries", frozenset({("worker", "2")})] == 4
