"""The ledger beside the provider's own book: recorded exchanges through a real gateway, counted on both sides.

The upstream plays recordings (`played`) and keeps a book of what each answer that it gave in full reports, read by a
reader that shares nothing with the gateway's (`vendor_usage`). Clients leave and the upstream fails at random, by a
fixed seed. In the end the ledger must hold each request once, and agree with the upstream's book to the token and with
the catalogue to the femto-dollar.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from tests.books import USED, Entry, Prices, count_booked, read_entries, read_rows, usd_of, verify_ledger
from tests.truth.played import SPARE, Plan, Vendors, ask, body_of, configure, make_plans
from tests.truth.vendor_usage import Used, service_list, service_of

from gatewright.control.usage import UsageQuery, report_usage
from gatewright.store.database import open_database
from gatewright.testing.gateway import GatewayProcess
from gatewright.testing.upstream import ScriptedUpstream

pytestmark = [pytest.mark.truth, pytest.mark.sockets, pytest.mark.timeout(600)]

ROUNDS = 5 if os.environ.get("SOAK") else 1
AT_ONCE = 4
WAIT_S = 60.0
UNSEEN = re.compile(
    r"search|fetch|mcp|computer|[cC]ode_?[eE]xecution|interpreter|compound|advisor|text_editor|shell|container|urlContext"
    r"|image|document|[fF]ile|inlineData|audio|video|cachedContent|previous_response_id|\"conversation\""
)
"""What makes a provider read more than the request shows: its own tools, media, and what it keeps."""


class Run:
    """What both sides wrote down."""

    def __init__(self, gateway: GatewayProcess, plans: list[Plan], vendors: Vendors) -> None:
        self.plans, self.vendors = {plan.id: plan for plan in plans}, vendors
        self.gateway = gateway
        self.entries = read_entries(gateway.state)
        self.lines = gateway.access_log()

    def one(self, plan: Plan) -> Entry:
        (entry,) = self.entries[plan.id]
        return entry


@pytest.fixture(scope="module")
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    plans = make_plans(ROUNDS)
    with ScriptedUpstream() as upstream:
        vendors = Vendors(upstream, plans)
        config, published = configure(plans, upstream)
        with GatewayProcess(config, arguments=["--workers", "2"], environment={"VENDOR_KEY": "sk-vendor"}) as gateway:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for done in [pool.submit(ask, gateway, plan, published[plan.id]) for plan in plans]:
                    done.result()
            gateway.wait_for(lambda: count_booked(gateway.state) >= len(plans), WAIT_S)
            gateway.wait_for(lambda: len(gateway.access_log()) >= len(plans), WAIT_S)
            found = Run(gateway, plans, vendors)
            yield found
            assert not vendors.surprises
            assert "Traceback" not in gateway.stderr()
    tell(request, found)


def test_each_request_is_in_the_ledger_once(run: Run) -> None:
    assert len(run.plans) >= 1_000
    assert run.entries.keys() == run.plans.keys()
    assert [name for name, entries in run.entries.items() if len(entries) != 1] == []
    assert run.vendors.doubled == []


def test_the_ledger_is_the_upstreams_book(run: Run) -> None:
    """To the token, by provider, model and kind: by plain SQL, and by the usage service."""
    wrong = []
    expected: Counter[tuple[str, str, str]] = Counter()
    for (name, provider, model), used in run.vendors.book.items():
        plan = run.plans[name]
        if plan.consumer != "whole":
            continue
        assert used is not None
        last = run.one(plan).attempts[-1]
        told = tuple(last[column] for column in USED)
        if (last["provider"], last["upstream_model"], told, last["is_estimated"]) != (provider, model, used, 0):
            wrong.append((plan.recording.path, plan.client, used, told, dict(last)))
        expected.update({(provider, model, kind): count for kind, count in zip(USED, used, strict=True)})
    assert wrong == [], "\n".join(map(str, wrong))
    sums = ", ".join(f"sum(a.{kind}) AS {kind}" for kind in USED)
    rows = read_rows(
        run.gateway.state,
        f"SELECT a.provider, a.upstream_model, {sums} FROM attempts a JOIN exchanges e USING (journal, number)"
        " WHERE e.consumer = ? GROUP BY a.provider, a.upstream_model",
        "acme/books/whole",
    )
    by_sql = {(row["provider"], row["upstream_model"], kind): row[kind] for row in rows for kind in USED}
    assert _without_zeros(by_sql) == _without_zeros(expected)
    engine = open_database(None, run.gateway.state)
    try:
        query = UsageQuery(by=("provider", "upstream_model"), consumer="acme/books/whole")
        report = report_usage(engine, query)
    finally:
        engine.dispose()
    reported = {
        (row.of["provider"], row.of["upstream_model"], kind): row.tokens.get(kind, 0)
        for row in report.rows
        for kind in USED
    }
    assert _without_zeros(reported) == _without_zeros(expected)
    assert report.total.estimated == 0
    assert report.total.exchanges == sum(plan.consumer == "whole" for plan in run.plans.values())


def _without_zeros(counts: Any) -> dict[Any, int]:
    return {key: int(count) for key, count in counts.items() if count}


def test_what_was_torn_is_estimated(run: Run) -> None:
    wrong = []
    for plan in run.plans.values():
        entry = run.one(plan)
        exchange = entry.exchange
        if plan.is_torn and exchange["kind"]:
            has_output = (plan.fault == "cut" or plan.has_begun) and plan.says_something
            is_right = exchange["is_estimated"] and exchange["input_total"] > 0
            if not is_right or (has_output and exchange["output_total"] <= 0):
                wrong.append((plan.recording.path, plan.client, plan.fault, entry))
        elif plan.is_torn:  # torn before the client saw any of it, and answered by the spare
            assert plan.fault == "cut", entry
            assert len(entry.attempts) == 2, entry
        elif plan.consumer == "whole" and (exchange["is_estimated"] or exchange["kind"]):
            wrong.append((plan.recording.path, plan.client, plan.fault, entry))
    assert wrong == [], "\n".join(map(str, wrong))


def test_estimates_are_of_the_right_size(run: Run) -> None:
    """Of requests that show all that the provider read; vendors' own prompts for tools make them too low."""
    found = shares(run, "input", is_plain=True)
    assert len(found) >= 50
    assert 0.6 < quantile(found, 0.5) < 1.5
    assert quantile(found, 0.9) < 2.5


def test_failed_attempts_are_told(run: Run) -> None:
    for plan in run.plans.values():
        if plan.fault not in ("refused", "reset"):
            continue
        first, *others = run.one(plan).attempts
        assert (first["outcome"] != "ok", first["input_total"], first["output_total"]) == (True, 0, 0)
        spare = [first["provider"] + SPARE] if plan.fault == "refused" else []
        assert [other["provider"] for other in others] == spare


def test_costs_are_the_catalogues_to_the_femto_dollar(run: Run) -> None:
    prices = Prices(f"{datetime.now(UTC):%Y-%m-%d}")
    priced = 0
    for plan in run.plans.values():
        entry = run.one(plan)
        body = body_of(plan)
        asked = service_list(body.get("service_tier") or body.get("serviceTier"))
        for attempt in entry.attempts:
            # What was torn was mostly torn before it said by which service it is given.
            service = asked if attempt["is_estimated"] else service_of(plan.recording) or asked
            # What is answered later is charged for what only that tells.
            is_later = body.get("background") is True and plan.is_identity and attempt["is_estimated"]
            expected = None if is_later else prices.cost_usd(attempt, service)
            has_used = any(attempt[kind] for kind in USED)
            if expected is None:
                assert usd_of(attempt) == 0, attempt
                assert attempt["is_unpriced"] or not has_used, attempt
            elif has_used:
                assert usd_of(attempt) == expected, attempt
                assert not attempt["is_unpriced"]
                priced += 1
            else:
                assert usd_of(attempt) in (0, expected), attempt
        assert entry.cost_usd == sum(map(usd_of, entry.attempts))
    assert priced > len(run.plans) // 2


def test_the_access_log_says_the_same(run: Run) -> None:
    assert len(run.lines) == len(run.plans)
    assert {line["id"] for line in run.lines} == run.plans.keys()
    for line in run.lines:
        entry = run.one(run.plans[line["id"]])
        exchange = entry.exchange
        assert line["status"] == exchange["status"], line
        assert line.get("kind", "") == exchange["kind"], line
        assert line.get("attempts", 0) == len(entry.attempts), line
        assert (line.get("input_tokens", 0), line.get("output_tokens", 0)) == (
            exchange["input_total"],
            exchange["output_total"],
        ), line
        assert line.get("cached_input_tokens", 0) == exchange["input_cached_read"]
        assert line.get("reasoning_tokens", 0) == exchange["output_reasoning"]
        nano = entry.cost_usd.quantize(Decimal("1e-9"), ROUND_HALF_UP)
        assert Decimal(repr(line.get("cost_usd", 0))).quantize(Decimal("1e-9")) == nano, line


def test_the_ledger_verifies(run: Run) -> None:
    report = verify_ledger(run.gateway)
    assert report.problems == []
    assert (report.kept, report.waiting) == (len(run.plans), 0)


def tell(request: pytest.FixtureRequest, run: Run) -> None:
    """The figures, for the page and for people."""
    plans = list(run.plans.values())
    used = [used for (name, *_), used in run.vendors.book.items() if used and run.plans[name].consumer == "whole"]
    faults = Counter(plan.fault or "none" for plan in plans)
    lines = [
        f"{len(plans)} exchanges, {sum(plan.is_identity for plan in plans)} of them in their own dialect,"
        f" {sum(bool(plan.recording.text) for plan in plans)} streamed; faults: {dict(faults)}",
        f"whole and reported: {len(used)} exchanges, "
        + ", ".join(
            f"{kind} {sum(column)}" for kind, column in zip(Used._fields, zip(*used, strict=True), strict=True)
        ),
        *_errors(run),
    ]
    reporter: Any = request.config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
    with capture.global_and_fixture_disabled():
        reporter.section("the ledger beside the providers' books")
        for line in lines:
            reporter.write_line(line)


def _errors(run: Run) -> Iterator[str]:
    for name, found in (
        ("input", shares(run, "input")),
        ("input, nothing unseen", shares(run, "input", is_plain=True)),
    ):
        told = [f"{quantile(found, q):.2f}" for q in (0.1, 0.5, 0.9)]
        yield f"estimated {name}: {len(found)} exchanges, lowest tenth {told[0]}, median {told[1]}, highest {told[2]}"
    every = [entry.exchange for plan in run.plans.values() if (entry := run.one(plan)).exchange["is_estimated"]]
    tokens = [sum(exchange[kind] for exchange in every) for kind in ("input_total", "output_total")]
    yield f"estimated in all: {len(every)} exchanges, input {tokens[0]}, output {tokens[1]}"


def shares(run: Run, kind: str, *, is_plain: bool = False) -> list[float]:
    """The estimates of what was torn, as shares of what the recordings say, lowest first; of requests that went out as
    they were recorded."""
    found = []
    for plan in run.plans.values():
        exchange = run.one(plan).exchange
        if not (plan.is_torn and plan.is_identity and plan.recording.request and exchange["is_estimated"]):
            continue
        said = getattr(plan.used, kind, 0)
        if said and not (is_plain and UNSEEN.search(json.dumps(plan.recording.request))):
            found.append(exchange[f"{kind}_total"] / said)
    return sorted(found)


def quantile(found: list[float], share: float) -> float:
    """What so much of a sorted list lies below."""
    return found[int(len(found) * share)]
