"""A thousand streams at once against a budget for a hundred: what is spent beyond it, and that all of it can be spent.

The numbers are the provider's own: what it really made, whoever was told what. `docs/explanation/accuracy.md` shows
what is measured here, and the bounds that hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from race import (
    SLICE,
    WHOLE_MOST,
    WHOLE_UNKNOWN,
    Ask,
    Made,
    Provider,
    Seen,
    booked,
    build_race,
    cost_of,
    counted_in_file,
    counted_on_server,
    drain,
    race,
    until,
)
from suite import UPSTREAM_KEY
from valkey_server import Valkey

from gatewright.testing.gateway import GatewayProcess

pytestmark = pytest.mark.sockets

MIXED = (64, 320, 704, 1_600)
"""Output tokens of the answers, in turn: below a slice, and above."""
LONG = (5_120,)
"""A budget for a hundred of these has a first slice for each of a thousand."""


def shared(**more: Any) -> dict[str, Any]:
    """Counters on a server that is not taken for away because everything here shares two cores."""
    return {"store": "redis", "url": "${env:COUNTERS_URL}", "timeout_ms": 5_000, **more}


def streams(count: int, lengths: Sequence[int], prefix: str = "s", allowed: int | None = None) -> list[Ask]:
    return [Ask(f"{prefix}-{n}", lengths[n % len(lengths)], allowed=allowed) for n in range(count)]


def varied(count: int, lengths: Sequence[int], prefix: str = "v") -> list[Ask]:
    """Streams and whole answers, with and without a limit of their own."""
    return [
        Ask(
            f"{prefix}-{n}",
            lengths[n // 4 % len(lengths)],
            is_stream=n % 2 == 0,
            allowed=(None, None, 256, 6_000)[n % 4],
        )
        for n in range(count)
    ]


def pays_for(answers: int, lengths: Sequence[int]) -> float:
    """A budget in dollars."""
    return round(answers * sum(map(cost_of, lengths)) / len(lengths)) / 1e9


def beyond(made: Made) -> int:
    """What an answer may bring beyond a budget that ran dry while it was on its way, in nano-dollars."""
    if made.is_stream:
        return cost_of(SLICE)
    reserved = WHOLE_UNKNOWN if made.allowed is None else min(made.allowed, WHOLE_MOST)
    return cost_of(max(made.output - reserved, 0))


def report(case: str, provider: Provider, usd: float, seen: Sequence[Seen], slack: int) -> None:
    """The line of the table in the docs."""
    limit = usd * 1e9
    statuses = [one.status for one in seen]
    cut = sum(1 for one in seen if one.status == 200 and not one.is_complete)
    print(
        f"\n{case}: {len(seen)} asked, {statuses.count(429)} refused, {cut} cut, {provider.most_running} at once;"
        f" spent {provider.spent / limit:.4%} of ${usd:.4f}, bound {1 + slack / limit:.2%}"
    )


@contextmanager
def run_gateways(config: dict[str, Any], count: int, counters_url: str = "") -> Iterator[list[GatewayProcess]]:
    """Replicas of two workers each; at the end nothing unexpected was printed."""
    environment = {"UPSTREAM_KEY": UPSTREAM_KEY, "COUNTERS_URL": counters_url}
    with ExitStack() as stack:
        gateways = [
            stack.enter_context(GatewayProcess(config, arguments=["--workers", "2"], environment=environment))
            for _ in range(count)
        ]
        yield gateways
        for gateway in gateways:
            stderr = gateway.stderr()
            assert "Traceback" not in stderr, stderr[-4000:]
            assert "Exception" not in stderr, stderr[-4000:]


def check_answers(seen: Sequence[Seen]) -> None:
    """Refusals and ends are said as such."""
    for one in seen:
        if not one.is_complete:
            assert one.status in (200, 429), one
            assert one.code == "insufficient_quota", one


async def check_books(gateways: Sequence[GatewayProcess], provider: Provider) -> int:
    """What ledgers and provider agree on; gives what the ledgers say was spent."""
    rows = await booked(gateways, len(provider.made))
    assert rows.keys() == provider.made.keys()
    for name, made in provider.made.items():
        if made.is_complete and not rows[name].kind:
            assert (rows[name].output, rows[name].is_estimated) == (made.output, False), name
    return sum(row.cost for row in rows.values())


CROWDS = {"mixed": (streams, MIXED), "long": (streams, LONG), "varied": (varied, MIXED)}


async def run_local(crowd: str, count: int, answers: int) -> None:
    make, lengths = CROWDS[crowd]
    usd = pays_for(answers, lengths)
    async with Provider() as provider:
        with run_gateways(build_race(provider.url, usd, None), 1) as gateways:
            seen = await race(gateways, provider, make(count, lengths))
            check_answers(seen)
            slack = sum(beyond(made) for made in provider.made.values())
            assert provider.spent <= usd * 1e9 + slack
            report(f"local, {crowd}", provider, usd, seen, slack)
            seen = await drain(gateways, provider, "d")
            check_answers(seen)
            assert provider.spent >= 0.99 * usd * 1e9
            assert provider.spent <= usd * 1e9 + slack
            report(f"local, {crowd}, drained", provider, usd, seen, slack)
            total = await check_books(gateways, provider)
            assert counted_in_file(gateways[0], usd) == total


@pytest.mark.parametrize("crowd", CROWDS)
def test_two_workers_on_one_machine(crowd: str) -> None:
    asyncio.run(run_local(crowd, 1_000, 100))


async def run_shared(crowd: str, count: int, answers: int, lease: float) -> None:
    make, lengths = CROWDS[crowd]
    usd = pays_for(answers, lengths)
    async with Provider() as provider:
        with Valkey() as valkey:
            with run_gateways(build_race(provider.url, usd, shared(lease=lease)), 3, valkey.url) as gateways:
                seen = await race(gateways, provider, make(count, lengths))
                check_answers(seen)
                slack = sum(beyond(made) for made in provider.made.values())
                assert provider.spent <= usd * 1e9 + slack
                report(f"shared, lease {lease}, {crowd}", provider, usd, seen, slack)

                async def is_quiet() -> bool:
                    return (await counted_on_server(valkey.url, usd))[1] == 0

                await until(is_quiet)
                seen = await drain(gateways, provider, "d")
                check_answers(seen)
                await until(is_quiet)
                assert provider.spent >= 0.99 * usd * 1e9
                assert provider.spent <= usd * 1e9 + slack
                report(f"shared, lease {lease}, {crowd}, drained", provider, usd, seen, slack)
                total = await check_books(gateways, provider)
                assert (await counted_on_server(valkey.url, usd))[0] == total


@pytest.mark.parametrize("lease", [0.0, 0.02], ids=["exact", "leases"])
@pytest.mark.parametrize("crowd", CROWDS)
def test_three_machines_on_one_server(crowd: str, lease: float) -> None:
    asyncio.run(run_shared(crowd, 1_000, 100, lease))
