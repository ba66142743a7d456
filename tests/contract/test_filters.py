"""What every filter must do with its configuration, and what it may never do."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from gatewright.config.check import convert
from gatewright.config.documents import Document
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.filters import FILTERS
from gatewright.pipeline.chain import Chain
from gatewright.pipeline.filters import REQUEST_PHASES, RESPONSE_PHASES, Filter, FilterType
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "rate_limit": [
        {"requests": 600},
        {"tokens": 200_000, "per": "hour", "by": "all"},
        {"requests": 600, "tokens": 200_000, "per": "minute", "concurrent": 20},
        {"output_tokens": 2_000_000, "per": "day", "by": "team"},
        {"usd": 0.5, "per": "hour", "expression": 'request.headers["x-project"]'},
    ],
    "budget": [
        {"usd": 500, "per": "month", "by": "organisation", "when_dry": "small", "alerts": [50, 80, 100]},
        {"usd": 20, "per": "day", "by": "all"},
        {"usd": 1, "soft": True, "unpriced": "allow"},
    ],
}
"""Configurations as the documentation shows them; a new filter brings its own."""
WRONG: dict[str, list[dict[str, Any]]] = {
    "rate_limit": [
        {},
        {"requests": 0},
        {"requests": -1},
        {"tokens": 1.5},
        {"requests": "many"},
        {"requests": 1, "per": "year"},
        {"requests": 1, "by": "nobody"},
        {"requests": None, "tokens": None},
        {"requests": 1, "expression": "nothing.known"},
    ],
    "budget": [
        {},
        {"usd": 0},
        {"usd": -1},
        {"usd": 1, "per": "hour"},
        {"usd": 1, "alerts": [0]},
        {"usd": 1, "unpriced": "maybe"},
        {"usd": 1, "expression": "1 +"},
    ],
}
REFERENCE = Path(__file__).parents[2] / "docs/reference/filters.md"
every_filter = pytest.mark.parametrize("kind", FILTERS, ids=[kind.name for kind in FILTERS])


def make_ports() -> Ports:
    clock = FakeClock()
    return Ports(counters=MemoryCounters(clock), now=clock, random=lambda: 0.5, scope="test", is_named=True)


def build(kind: FilterType, config: dict[str, Any]) -> Filter:
    """The filter of a configuration. Raises ValueError when it is wrong."""
    document, errors = convert(config, kind.config)
    if document is None:
        raise ValueError("; ".join(f"{error.path}: {error.message}" for error in errors))
    assert isinstance(document, Document)
    return kind.build(document, make_ports())


def test_names_are_unique() -> None:
    assert len({kind.name for kind in FILTERS}) == len(FILTERS)


@every_filter
def test_it_describes_itself(kind: FilterType) -> None:
    assert kind.summary.endswith(".")
    assert kind.config.__doc__
    assert kind.build.__doc__
    section = REFERENCE.read_text().partition(f"## {kind.name}\n")[2].partition("\n## ")[0]
    assert kind.summary in section
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) >= set(kind.config.__struct_fields__)


@every_filter
def test_documented_configurations_build(kind: FilterType) -> None:
    assert EXAMPLES[kind.name]
    for config in EXAMPLES[kind.name]:
        assert isinstance(build(kind, config), Filter)


@every_filter
def test_wrong_configurations_are_refused_with_words(kind: FilterType) -> None:
    assert WRONG[kind.name]
    for config in [*WRONG[kind.name], EXAMPLES[kind.name][0] | {"no_such_setting": 1}]:
        with pytest.raises(ValueError, match=r".{8}"):
            build(kind, config)


@every_filter
def test_it_takes_part_in_a_phase(kind: FilterType) -> None:
    phases = [*REQUEST_PHASES, *RESPONSE_PHASES]
    assert any(getattr(kind.build, phase) is not getattr(Filter, phase) for phase in phases)


@every_filter
def test_an_exchange_passes_and_settles(kind: FilterType) -> None:
    """An ordinary exchange is let through by the documented configurations, settled once, and leaves nothing behind."""
    for config in EXAMPLES[kind.name]:
        chain = Chain([build(kind, config)])
        x = Exchange("x-1", None, {}, b'{"model":"m"}', 0.0)
        for hook in (*chain.on_authorize, *chain.on_request):
            assert asyncio.run(hook(x)) is None
        plan = chain.plan(x, lambda: 0.0)
        assert plan is None or len(plan.allowances) == len({allowance.key for allowance in plan.allowances})
        for hook in chain.on_settle:
            hook(x)
        assert not x.notes


@every_filter
def test_settling_needs_no_reservation(kind: FilterType) -> None:
    """A later filter may have refused the exchange before this one saw it."""
    for config in EXAMPLES[kind.name]:
        for hook in Chain([build(kind, config)]).on_settle:
            hook(Exchange("x-1", None, {}, b"", 0.0))
