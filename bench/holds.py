"""The numbers that the design promises (DESIGN §8), checked against a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from bench.results import Hold, Run
from bench.translation import IN_PROCESS

JUDGED = "gatewright-full"
"""Promises are kept with key authentication and every filter on, or not at all."""
TWO_WORKERS = "gatewright-two"
"""The same with two workers, which share their counters."""
TRANSLATED = "gatewright-translated"
"""The same, with a client of another API than the upstream's."""


def _ratio(run: Run, figure: str, over: str, judged: str = JUDGED) -> float | None:
    mine, theirs = run.median(judged, figure), run.median(over, figure)
    return mine / theirs if mine is not None and theirs else None


def _hold(
    promise: str, wanted: str, value: float | None, text: Callable[[float], str], is_kept: Callable[[float], bool]
) -> Hold:
    if value is None:
        return Hold(promise, wanted, "not measured in this run", None)
    return Hold(promise, wanted, text(value), is_kept(value))


def _at_most(run: Run, promise: str, figure: str, limit: float, unit: str) -> Hold:
    return _hold(
        promise,
        f"≤ {limit:g} {unit}",
        run.median(JUDGED, figure),
        lambda value: f"{value:.3g} {unit}" if value < 10 else f"{value:.1f} {unit}",
        lambda value: value <= limit,
    )


def _fastest(run: Run, role: str) -> str | None:
    rates = [(run.median(one.name, "rps_1kb") or 0.0, one.name) for one in run.participants if one.role == role]
    best = max(rates, default=(0.0, ""))
    return best[1] if best[0] else None


def _throughput(run: Run) -> Iterable[Hold]:
    share = _ratio(run, "rps_1kb", "nginx")
    cost = _ratio(run, "cpu_1kb", "nginx")
    per_cpu = f", {1 / cost:.2f} × per CPU-second" if cost else ""
    yield _hold(
        "1 KB requests/s, everything on, of nginx as a bare proxy",
        "≥ 0.40 ×",
        share,
        lambda value: f"{value:.2f} ×{per_cpu}",
        lambda value: value >= 0.40,
    )
    yield _hold(
        "the same with two workers that share their counters, per core",
        "≥ 0.30 ×",
        _ratio(run, "rps_1kb", "nginx", TWO_WORKERS),
        lambda value: f"{value:.2f} ×",
        lambda value: value >= 0.30,
    )
    router = _fastest(run, "router")
    yield _hold(
        "1 KB requests/s, of the fastest Rust router",
        "≥ 2 ×",
        _ratio(run, "rps_1kb", router) if router else None,
        lambda value: f"{value:.1f} × {router}",
        lambda value: value >= 2,
    )
    yield _hold(
        "1 KB requests/s, of LiteLLM",
        "≥ 100 ×",
        _ratio(run, "rps_1kb", "litellm"),
        lambda value: f"{value:.0f} ×",
        lambda value: value >= 100,
    )


def judge(run: Run) -> list[Hold]:
    """Every promise with what this run says about it."""
    return [
        *_throughput(run),
        _at_most(run, "added latency at half load, p50", "added_p50", 0.4, "ms"),
        _at_most(run, "added latency at half load, p99", "added_p99", 2, "ms"),
        _hold(
            "CPU per streamed chunk, pass-through, of nginx",
            "≤ 1.5 ×",
            _ratio(run, "chunk_cpu", "nginx"),
            lambda value: f"{value:.2f} ×",
            lambda value: value <= 1.5,
        ),
        _hold(
            "CPU per streamed chunk, translated, of nginx passing it through",
            "≤ 2 ×",
            _ratio(run, "chunk_cpu", "nginx", TRANSLATED),
            lambda value: f"{value:.2f} ×",
            lambda value: value <= 2,
        ),
        _hold(
            "translating a request of 100 KB, slowest pair of dialects",
            "≤ 2 ms",
            run.median(IN_PROCESS, "translated_request"),
            lambda value: f"{value:.2f} ms",
            lambda value: value <= 2,
        ),
        _at_most(run, "memory of an idle worker (RSS)", "idle_worker_rss", 60, "MB"),
        _at_most(run, "memory per open stream, 10,000 open", "stream_kb_10000", 20, "KB"),
        _at_most(run, "growth over the soak after its first 30 % (RSS)", "soak_growth", 2, "MB"),
        _at_most(run, "start to first answer", "start_s", 1, "s"),
    ]


def judged(run: Run) -> Run:
    """The run with its promises filled in."""
    return msgspec.structs.replace(run, holds=judge(run))
