"""A thousand streams at once against a budget for a hundred: what is spent beyond it, and that all of it can be spent.

The numbers are the provider's own: what it really made, whoever was told what. `docs/explanation/accuracy.md` shows
what is measured here, and the bounds that hold.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from race import (
    OUTPUT_NANO,
    SLICE,
    WHOLE_MOST,
    WHOLE_UNKNOWN,
    Ask,
    Made,
    Provider,
    Seen,
    allowance_of,
    ask,
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

from gatewright.core.cells import CELL_S
from gatewright.core.counting import RESERVED_S, Allowance
from gatewright.testing.gateway import GatewayProcess

pytestmark = [pytest.mark.sockets, pytest.mark.timeout(600)]

IS_LONG = bool(os.environ.get("SOAK"))
COUNT = 1_000
MIXED = (64, 320, 704, 1_600)
"""Output tokens of the answers, in turn: below a slice, and above."""
LONG = (5_120,)
"""A budget for a hundred of these has a first slice for each of a thousand."""


def shared(**more: Any) -> dict[str, Any]:
    """Counters on a server that is not taken for away because everything here shares two cores."""
    return {"store": "redis", "url": "${env:COUNTERS_URL}", "timeout_ms": 5_000, **more}


def streams(model: str, count: int, lengths: Sequence[int], prefix: str = "race") -> list[Ask]:
    return [Ask(model, f"{model}-{prefix}-{n}", lengths[n % len(lengths)]) for n in range(count)]


def varied(model: str, count: int, lengths: Sequence[int], prefix: str = "race") -> list[Ask]:
    """Streams and whole answers, with and without a limit of their own."""
    return [
        Ask(
            model,
            f"{model}-{prefix}-{n}",
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
    """What an answer may have brought beyond a budget that ran dry while it was on its way, in nano-dollars.

    Its first reservation is within the budget. A whole answer is beyond by all that exceeds it; a stream by one slice
    at most, since it ends before it uses a second one that it does not hold.
    """
    most = SLICE if made.is_stream else WHOLE_MOST
    unknown = SLICE if made.is_stream else WHOLE_UNKNOWN
    reserved = unknown if made.allowed is None else min(made.allowed, most)
    excess = max(made.output - reserved, 0)
    return (min(excess, SLICE) if made.is_stream else excess) * OUTPUT_NANO


def report(case: str, provider: Provider, usd: float, seen: Sequence[Seen], slack: float) -> None:
    """The line of the table in the docs."""
    limit = usd * 1e9
    statuses = [one.status for one in seen]
    cut = sum(1 for one in seen if one.status == 200 and not one.is_complete)
    print(
        f"\n{case}: {len(seen)} asked, {len(seen) - statuses.count(200)} refused, {cut} cut,"
        f" {provider.most_running} at once;"
        f" spent {provider.spent / limit:.2%} of ${usd:.4f}, bound {1 + slack / limit:.2%}"
    )


@asynccontextmanager
async def run_gateways(
    config: dict[str, Any], count: int, counters_url: str = ""
) -> AsyncIterator[list[GatewayProcess]]:
    """Replicas of two workers each; at the end nothing unexpected was printed."""
    environment = {"UPSTREAM_KEY": UPSTREAM_KEY, "COUNTERS_URL": counters_url}
    gateways = [GatewayProcess(config, arguments=["--workers", "2"], environment=environment) for _ in range(count)]
    with ExitStack() as stack:
        for gateway in gateways:
            stack.callback(gateway.__exit__, None, None, None)
        # All at once: they mostly wait for their own processes.
        await asyncio.gather(*(asyncio.to_thread(gateway.start) for gateway in gateways))
        yield gateways
        for gateway in gateways:
            stderr = gateway.stderr()
            assert "Traceback" not in stderr, stderr[-4000:]
            assert "Exception" not in stderr, stderr[-4000:]
            gateway.signal(signal.SIGTERM)


def check_answers(seen: Sequence[Seen]) -> None:
    """Refusals and ends are said as such."""
    for one in seen:
        if not one.is_complete:
            assert one.status in (200, 429), one
            assert one.code == "insufficient_quota", one


async def check_books(gateways: Sequence[GatewayProcess], provider: Provider) -> int:
    """What ledgers and provider agree on; gives what the ledgers say was spent."""
    rows = await booked(gateways, provider.made.keys())
    for name, made in provider.made.items():
        if made.is_complete and not rows[name].kind:
            assert (rows[name].output, rows[name].is_estimated) == (made.output, False), name
    return sum(row.cost for row in rows.values())


CROWDS = {"mixed": (streams, MIXED), "varied": (varied, MIXED), "long": (streams, LONG)}


def budgets_for(count: int) -> dict[str, float]:
    """A budget for each crowd of that size: it pays for one in ten."""
    return {name: pays_for(count // 10, lengths) for name, (_, lengths) in CROWDS.items()}


async def run_race(
    case: str,
    crowd: str,
    count: int,
    gateways: Sequence[GatewayProcess],
    provider: Provider,
    read: Callable[[], Awaitable[int]],
) -> None:
    """One crowd against its budget, then whoever can still be paid. `read` gives what is counted, once it is quiet."""
    provider.begin()
    make, lengths = CROWDS[crowd]
    usd = budgets_for(count)[crowd]
    seen = await race(gateways, provider, make(crowd, count, lengths))
    check_answers(seen)
    slack = sum(beyond(made) for made in provider.made.values())
    report(f"{case}, {crowd}", provider, usd, seen, slack)
    assert provider.spent <= usd * 1e9 + slack
    await read()
    seen = await drain(gateways, provider, crowd)
    check_answers(seen)
    report(f"{case}, {crowd}, drained", provider, usd, seen, slack)
    assert 0.99 * usd * 1e9 <= provider.spent <= usd * 1e9 + slack
    assert await read() == await check_books(gateways, provider)


async def run_local(crowds: Sequence[str]) -> None:
    budgets = budgets_for(COUNT)
    async with Provider() as provider, run_gateways(build_race(provider.url, budgets, None), 1) as gateways:
        for crowd in crowds:

            async def read(crowd: str = crowd) -> int:
                return counted_in_file(gateways[0], allowance_of(crowd, budgets[crowd]))

            await run_race("one machine", crowd, COUNT, gateways, provider, read)


async def run_shared(crowds: Sequence[str], lease: float, count: int) -> None:
    budgets = budgets_for(count)
    async with Provider() as provider:
        with Valkey() as valkey:
            config = build_race(provider.url, budgets, shared(lease=lease))
            async with run_gateways(config, 3, valkey.url) as gateways:
                for crowd in crowds:
                    read = partial(read_quiet, valkey, allowance_of(crowd, budgets[crowd]))
                    await run_race(f"three machines, lease {lease}", crowd, count, gateways, provider, read)


async def read_quiet(valkey: Valkey, allowance: Allowance) -> int:
    """What is settled on the server, once nothing is reserved any more."""
    settled = 0

    async def is_quiet() -> bool:
        nonlocal settled
        settled, reserved = await counted_on_server(valkey.url, allowance)
        return reserved == 0

    await until(is_quiet)
    return settled


def test_two_workers_on_one_machine() -> None:
    asyncio.run(run_local(tuple(CROWDS) if IS_LONG else ("varied", "long")))


@pytest.mark.parametrize("lease", [0.0, 0.02], ids=["exact", "leases"])
def test_three_machines_on_one_server(lease: float) -> None:
    crowds = tuple(CROWDS) if IS_LONG else ("varied",) if lease else ("mixed",)
    asyncio.run(run_shared(crowds, lease, COUNT if IS_LONG or not lease else COUNT // 4))


# -- the server dies in the middle ------------------------------------------------------------------------------------

SHARE = 0.1
"""Of the budget, that each machine may use by itself meanwhile (`on_outage: local`)."""
EXPIRED_S = RESERVED_S + CELL_S + 10
"""A reservation whose answer was lost with the server is gone after this."""
DRY = {(200, "insufficient_quota"), (429, "insufficient_quota")}
OUTAGE_ENDS = {"closed": DRY | {(200, "overloaded"), (503, "overloaded")}, "local": DRY, "open": DRY}
"""How answers end in an outage that are not complete: status, and code of the error."""


async def run_outage(on_outage: str, lease: float, is_durable: bool, count: int, answers: int) -> None:
    usd = pays_for(answers, MIXED)
    limit, allowance = usd * 1e9, allowance_of("dies", usd)
    name = f"{on_outage}, lease {lease}, data {'kept' if is_durable else 'lost'}"
    async with Provider() as provider:
        config = build_race(provider.url, {"dies": usd}, shared(on_outage=on_outage, share=SHARE, lease=lease))
        with Valkey(durable=is_durable) as valkey:
            async with run_gateways(config, 3, valkey.url) as gateways:
                seen, more = await run_crowds(gateways, provider, valkey, count)
                slack = sum(beyond(made) for made in provider.made.values())
                # What is made meanwhile is not held back by `open`, and by `local` up to a share for each machine.
                slack += {"closed": 0, "local": int(3 * SHARE * limit), "open": more[1] - more[0]}[on_outage]
                # A server without data knows of nothing that was spent before.
                slack += 0 if is_durable else more[1]
                report(name, provider, usd, seen, slack)
                assert provider.spent <= limit + slack
                for one in seen:
                    assert one.is_complete or (one.status, one.code) in OUTAGE_ENDS[on_outage], one
                if is_durable:
                    await until(partial(is_settled, gateways, provider, valkey, allowance))
                is_whole = IS_LONG and is_durable and on_outage == "closed"
                if is_whole:
                    await asyncio.sleep(EXPIRED_S)
                    assert (await counted_on_server(valkey.url, allowance))[1] == 0
                seen = await drain(gateways, provider, "dies")
                report(f"{name}, drained", provider, usd, seen, slack)
                assert provider.spent <= limit + slack
                settled, reserved = await counted_on_server(valkey.url, allowance)
                assert settled + reserved >= 0.99 * limit, "somebody was refused while money was left"
                if is_durable:
                    await until(partial(is_settled, gateways, provider, valkey, allowance))
                if is_whole:
                    assert provider.spent >= 0.99 * limit


async def run_crowds(
    gateways: Sequence[GatewayProcess], provider: Provider, valkey: Valkey, count: int
) -> tuple[list[Seen], tuple[int, int]]:
    """A crowd before the server dies, one while it is dead, one afterwards. Gives what they saw, and what had been
    spent when it died and when everybody had noticed that it was back."""
    crowds = [asyncio.ensure_future(race(gateways, provider, streams("dies", count, MIXED, "before")))]
    await provider.gate.wait()
    await asyncio.sleep(0.4)
    dead = provider.spent
    valkey.kill()
    crowds.append(asyncio.ensure_future(race(gateways, provider, varied("dies", count // 2, MIXED, "meanwhile"))))
    await asyncio.sleep(1.5)
    valkey.start()
    await asyncio.sleep(1.5)
    back = provider.spent
    crowds.append(asyncio.ensure_future(race(gateways, provider, varied("dies", count // 2, MIXED, "after"))))
    return [one for seen in await asyncio.gather(*crowds) for one in seen], (dead, back)


async def is_settled(
    gateways: Sequence[GatewayProcess], provider: Provider, valkey: Valkey, allowance: Allowance
) -> bool:
    """Whether the server has settled exactly what the ledgers say."""
    settled, _ = await counted_on_server(valkey.url, allowance)
    return settled == await check_books(gateways, provider)


CASES = [
    (on_outage, lease, is_durable)
    for on_outage in OUTAGE_ENDS
    for lease in (0.0, 0.02)
    for is_durable in (True, False)
    if IS_LONG or (on_outage, lease, is_durable) in (("closed", 0.0, True), ("local", 0.02, False))
]


@pytest.mark.parametrize(("on_outage", "lease", "is_durable"), CASES)
def test_server_dies_in_the_middle(on_outage: str, lease: float, is_durable: bool) -> None:
    count, answers = (1_000, 100) if IS_LONG else (120, 24)
    asyncio.run(run_outage(on_outage, lease, is_durable, count, answers))


async def run_lost() -> None:
    usd = pays_for(20, (100,))
    allowance = allowance_of("lost", usd)
    async with Provider() as provider:
        with Valkey() as valkey:
            config = build_race(provider.url, {"lost": usd}, shared(on_outage="closed"))
            async with run_gateways(config, 1, valkey.url) as gateways:
                await drain(gateways, provider, "lost", at_once=2)
                spent = provider.spent
                assert spent >= 0.9 * allowance.limit
                total = await check_books(gateways, provider)
                valkey.kill()
                valkey.start()

                async def is_raised() -> bool:
                    return await counted_on_server(valkey.url, allowance) == (total, 0)

                await until(is_raised, 10.0)
                # One worker has raised it; the one that is asked may still be on its way back to the server.
                after: list[int] = []

                async def is_back() -> bool:
                    name = f"lost-after-{len(after)}"
                    after.append((await ask(gateways[0], Ask("lost", name, 100, is_stream=False, allowed=100))).status)
                    return after[-1] != 503

                await until(is_back, 10.0)
                assert after[-1] == 429
                assert provider.spent == spent


def test_what_was_spent_is_known_again_when_the_server_has_lost_it() -> None:
    asyncio.run(run_lost())
