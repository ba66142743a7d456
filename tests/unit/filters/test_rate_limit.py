"""Reserve before, settle after: nobody passes a limit, nobody pays for what did not come."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gatewright.config.documents import Gateway
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Consumer, Exchange
from gatewright.core.ports import Ports
from gatewright.core.usage import Usage
from gatewright.filters import FILTERS
from gatewright.filters import rate_limit as module
from gatewright.filters.rate_limit import Config, RateLimit
from gatewright.pipeline.build import build_snapshot
from gatewright.providers import PROVIDERS
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock


class World:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.counters = MemoryCounters(self.clock)
        self.ports = Ports(counters=self.counters, now=self.clock, random=lambda: 0.0, scope="rate_limit#0")

    def limit(self, **config: Any) -> RateLimit:
        return RateLimit(Config(**config), self.ports)

    def exchange(self, consumer: str = "acme/t/a", model: str = "m", size: int = 4, **fields: bytes) -> Exchange:
        x = Exchange("req_1", None, {}, b"x" * size, self.clock())
        x.consumer, x.published_model = Consumer(consumer), model
        x.fields = {name: msgspec.Raw(value) for name, value in fields.items()}
        return x


def take(limit: RateLimit, x: Exchange) -> GatewayError | None:
    try:
        assert asyncio.run(limit.on_reserve(x)) is None
    except GatewayError as refused:
        return refused
    return None


def finish(limit: RateLimit, x: Exchange, *, usage: int | None = None, status: int = 200, bytes_out: int = 1) -> None:
    x.usage = None if usage is None else Usage(input_total=usage - usage // 2, output_total=usage // 2)
    x.status, x.bytes_out = status, bytes_out
    limit.on_settle(x)


def test_requests_beyond_the_limit_are_told_when_to_come_back() -> None:
    world = World()
    limit = world.limit(requests=3, per="minute")
    verdicts = [take(limit, world.exchange()) for _ in range(4)]
    assert verdicts[:3] == [None] * 3
    refused = verdicts[3]
    assert refused is not None
    assert refused.kind is Kind.RATE_LIMITED
    assert refused.retry_after_s == pytest.approx(20)
    assert "3 requests per minute" in refused.message
    world.clock.advance(20.001)
    assert take(limit, world.exchange()) is None


@pytest.mark.parametrize(("per", "seconds"), [("second", 1), ("minute", 60), ("hour", 3_600), ("day", 86_400)])
def test_the_periods(per: Any, seconds: int) -> None:
    world = World()
    limit = world.limit(requests=1, per=per)
    take(limit, world.exchange())
    refused = take(limit, world.exchange())
    assert refused is not None
    assert refused.retry_after_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("by", "shared"),
    [
        ("consumer", [True, False, True, False]),
        ("model", [True, True, False, False]),
        ("consumer_and_model", [True, False, False, False]),
        ("all", [True, True, True, True]),
    ],
)
def test_who_shares_an_allowance(by: Any, shared: list[bool]) -> None:
    for (consumer, model), is_shared in zip([("a", "m"), ("b", "m"), ("a", "n"), ("b", "n")], shared, strict=True):
        world = World()
        limit = world.limit(requests=1, by=by)
        take(limit, world.exchange("a", "m"))
        assert (take(limit, world.exchange(consumer, model)) is not None) is is_shared


def left(world: World, capacity: int = 100) -> float:
    return world.counters.left("tokens:rate_limit#0:acme/t/a", capacity, 60)


def test_an_estimate_is_taken_and_settled_with_what_was_used() -> None:
    world = World()
    limit = world.limit(tokens=100)
    x = world.exchange(size=40, max_tokens=b"30")
    assert take(limit, x) is None
    assert left(world) == 60
    finish(limit, x, usage=15)
    assert left(world) == 85
    limit.on_settle(x)
    assert left(world) == 85, "once is enough"


def test_more_than_estimated_becomes_a_debt() -> None:
    world = World()
    limit = world.limit(tokens=100)
    x = world.exchange(size=40)
    take(limit, x)
    finish(limit, x, usage=250)
    assert left(world) == -150
    refused = take(limit, world.exchange())
    assert refused is not None
    assert "100 tokens per minute" in refused.message
    assert refused.retry_after_s == pytest.approx((150 + 1) * 0.6)


@pytest.mark.parametrize(
    ("status", "bytes_out", "after"),
    [(502, 50, 100), (429, 50, 100), (499, 0, 100), (200, 0, 100), (200, 50, 90), (499, 50, 90)],
)
def test_without_a_report_only_what_reached_the_client_is_charged(status: int, bytes_out: int, after: float) -> None:
    world = World()
    limit = world.limit(tokens=100)
    x = world.exchange(size=40)
    take(limit, x)
    finish(limit, x, status=status, bytes_out=bytes_out)
    assert left(world) == after


@pytest.mark.parametrize(
    ("fields", "estimate"),
    [
        ({}, 10),
        ({"max_tokens": b"5"}, 15),
        ({"max_completion_tokens": b"7", "max_tokens": b"5"}, 17),
        ({"max_tokens": b"null"}, 10),
        ({"max_tokens": b"-5"}, 10),
        ({"max_tokens": b"1.5"}, 10),
        ({"max_tokens": b'"5"'}, 10),
        ({"max_tokens": b"9" * 400}, 10),
    ],
)
def test_the_estimate(fields: dict[str, bytes], estimate: int) -> None:
    world = World()
    take(world.limit(tokens=100), world.exchange(size=40, **fields))
    assert left(world) == 100 - estimate


def test_the_size_of_an_upload_says_nothing_of_tokens() -> None:
    world = World()
    limit = world.limit(tokens=100)
    x = world.exchange(size=40_000)
    x.is_media = True
    take(limit, x)
    assert left(world) == 99
    finish(limit, x, bytes_out=50)
    assert left(world) == 99


def test_a_request_refused_for_its_tokens_costs_no_request() -> None:
    world = World()
    limit = world.limit(requests=5, tokens=10)
    assert take(limit, world.exchange(size=40)) is None
    refused = world.exchange(size=40)
    assert take(limit, refused) is not None
    finish(limit, refused, status=429)
    assert world.counters.left("requests:rate_limit#0:acme/t/a", 5, 60) == 4
    assert left(world, 10) == 0


def test_more_than_the_whole_allowance_is_slowed_not_locked_out() -> None:
    world = World()
    limit = world.limit(tokens=10)
    assert take(limit, world.exchange(size=4_000)) is None
    assert left(world, 10) == -990


def test_it_needs_something_to_limit() -> None:
    with pytest.raises(ValueError, match="`requests`, `tokens` or both"):
        World().limit()


def reserve(world: World, snapshot: Any, consumer: str = "acme/t/a") -> GatewayError | None:
    x = world.exchange(consumer)

    async def run() -> None:
        for hook in snapshot.chain_for(consumer, "m").on_request:
            await hook(x)

    try:
        asyncio.run(run())
    except GatewayError as refused:
        return refused
    return None


def snapshot_of(world: World, *limits: dict[str, Any]) -> Any:
    document = {
        "providers": {"p": {"type": "openai_compatible", "url": "http://p.test"}},
        "models": {"m": {"targets": [{"provider": "p"}]}},
        "policies": [{"filter": "rate_limit", "config": config} for config in limits],
    }
    return build_snapshot(
        msgspec.convert(document, Gateway), version=1, providers=PROVIDERS, filters=FILTERS, ports=world.ports
    )


def test_two_policies_count_apart_and_the_narrower_one_decides() -> None:
    world = World()
    snapshot = snapshot_of(world, {"requests": 5}, {"requests": 2, "per": "hour"})
    assert [reserve(world, snapshot) is None for _ in range(3)] == [True, True, False]
    refused = reserve(world, snapshot)
    assert refused is not None
    assert "2 requests per hour" in refused.message


def test_a_reload_forgives_nothing() -> None:
    world = World()
    assert reserve(world, snapshot_of(world, {"requests": 1})) is None
    assert reserve(world, snapshot_of(world, {"requests": 1})) is not None
    assert reserve(world, snapshot_of(world, {"requests": 1}), "acme/t/b") is None


@pytest.mark.parametrize("by", ["consumer", "model", "consumer_and_model", "all"])
def test_counters_are_found_again_however_many_there_are(monkeypatch: pytest.MonkeyPatch, by: Any) -> None:
    monkeypatch.setattr(module, "_MAX_NAMES", 2)
    world = World()
    limit = world.limit(requests=4, by=by)
    for _ in range(4):
        for number in range(4 if by != "all" else 1):
            assert take(limit, world.exchange(f"acme/{number}", f"m{number}")) is None
    assert take(limit, world.exchange("acme/0", "m0")) is not None
