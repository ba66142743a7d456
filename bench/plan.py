"""How much of everything a run measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

KINDS = ("start", "throughput", "latency", "stream", "translate", "memory", "soak")
"""What can be asked for with `--only`."""


@dataclass(frozen=True)
class Plan:
    """The sizes of a run; times are in seconds."""

    mode: Literal["full", "quick", "profile"]
    rounds: int
    kinds: tuple[str, ...] = KINDS
    warm_s: float = 1
    throughput_s: tuple[tuple[str, float, int], ...] = (("1kb", 3, 64), ("100kb", 2, 32), ("1mb", 2, 8))
    """Body size, seconds, connections."""
    latency_s: float = 3
    latency_connections: int = 64
    streams: int = 100
    chunks: int = 150
    interval_ms: int = 20
    open_streams: tuple[int, ...] = (1_000, 10_000)
    open_limit_s: float = 30
    soak_requests: int = 1_000_000


FULL = Plan("full", rounds=5)
QUICK = Plan(
    "quick",
    rounds=1,
    kinds=("start", "throughput", "latency", "stream", "translate", "memory"),
    throughput_s=(("1kb", 2, 64), ("100kb", 1, 32), ("1mb", 1, 8)),
    latency_s=1.5,
    chunks=75,
    open_streams=(1_000,),
    open_limit_s=10,
    soak_requests=100_000,
)
PROFILE = Plan("profile", rounds=2, kinds=("throughput",), throughput_s=(("1kb", 2, 64),))


def choose(
    *, quick: bool, profile: bool, only: list[str] | None, rounds: int | None, soak: bool, soak_requests: int | None
) -> Plan:
    """The plan that the command line asks for."""
    plan = PROFILE if profile else QUICK if quick else FULL
    if only:
        plan = replace(plan, kinds=tuple(kind for kind in KINDS if kind in only))
    if soak and "soak" not in plan.kinds:
        plan = replace(plan, kinds=(*plan.kinds, "soak"))
    if soak_requests is not None:
        plan = replace(plan, soak_requests=soak_requests)
    return replace(plan, rounds=rounds) if rounds is not None else plan
