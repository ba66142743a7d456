"""The table of metrics is complete, and its names keep to the conventions."""

from __future__ import annotations

import re

import pytest

from gatewright.telemetry import names
from gatewright.telemetry.names import LABELS, METRICS, Metric


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_keeps_to_the_conventions(metric: Metric) -> None:
    assert re.fullmatch(r"gatewright(_[a-z]+)+", metric.name)
    assert not metric.name.endswith("_total"), "added by the exposition"
    assert metric.help.endswith(".")
    assert set(metric.labels) <= set(LABELS)
    assert bool(metric.buckets) == (metric.type == "histogram")
    if metric.type == "histogram":
        assert metric.name.endswith("_seconds")
        assert list(metric.buckets) == sorted(set(metric.buckets))


def test_counters_say_total_in_queries() -> None:
    assert names.EXCHANGES.sample_name == "gatewright_exchanges_total"
    assert names.DURATION.sample_name == "gatewright_exchange_duration_seconds"


def test_every_metric_and_every_label_is_listed_once() -> None:
    declared = [value for value in vars(names).values() if isinstance(value, Metric)]
    assert sorted(declared, key=lambda metric: metric.name) == sorted(METRICS, key=lambda metric: metric.name)
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert {label for metric in METRICS for label in metric.labels} == set(LABELS)
