"""What an exchange takes of each limit, who shares one, and what a caller is told who comes too late."""

from __future__ import annotations

from typing import Any

import pytest

from gatewright.core.consumer import Consumer
from gatewright.core.counting import Kind as CountKind
from gatewright.core.counting import Refused
from gatewright.core.errors import Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ports import Ports
from gatewright.filters import rate_limit as module
from gatewright.filters.rate_limit import Config, RateLimit
from gatewright.pipeline.claims import Claims, Measure
from gatewright.store.memory import MemoryCounters
from gatewright.testing.clock import FakeClock


def limit(scope: str = "rate_limit#0", **config: Any) -> RateLimit:
    clock = FakeClock()
    ports = Ports(counters=MemoryCounters(clock), now=clock, random=lambda: 0.0, scope=scope)
    return RateLimit(Config(**config), ports)


def exchange(consumer: str = "acme/t/a", model: str = "m", user: str = "", key: str = "", issuer: str = "") -> Exchange:
    x = Exchange("req_1", None, {}, b"{}", 0.0)
    x.consumer, x.published_model, x.user = Consumer(consumer, key_id=key, issuer=issuer), model, user
    return x


def keys(claims: Claims) -> list[str]:
    return [claim.allowance.key for claim in claims.claims]


def test_every_limit_counts_in_its_own_measure() -> None:
    claims = limit(requests=3, tokens=4, input_tokens=5, output_tokens=6, usd=0.5, concurrent=7).on_reserve(exchange())
    assert [(claim.measure, claim.allowance.limit) for claim in claims.claims] == [
        (Measure.REQUESTS, 3),
        (Measure.TOTAL, 4),
        (Measure.INPUT, 5),
        (Measure.OUTPUT, 6),
        (Measure.COST, 500_000_000),
        (Measure.CONCURRENT, 7),
    ]
    kinds = [claim.allowance.kind for claim in claims.claims]
    assert kinds == [CountKind.SLIDING] * 5 + [CountKind.CONCURRENT]
    assert all(claim.allowance.is_hard for claim in claims.claims)
    assert len(set(keys(claims))) == 6


@pytest.mark.parametrize(
    ("per", "seconds"),
    [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400), ("week", 604_800), ("month", 2_592_000)],
)
def test_the_periods(per: str, seconds: int) -> None:
    (claim,) = limit(requests=1, per=per).on_reserve(exchange()).claims
    assert claim.allowance.period_s == seconds
    assert per in claim.allowance.key, "another period counts anew"


@pytest.mark.parametrize(
    ("config", "shares", "differs"),
    [
        ({"by": "consumer"}, {"model": "n", "user": "u"}, {"consumer": "acme/t/b"}),
        ({"by": "organisation"}, {"consumer": "acme/x/y"}, {"consumer": "other/t/a"}),
        ({"by": "team"}, {"consumer": "acme/t/z"}, {"consumer": "acme/x/a"}),
        ({"by": "user"}, {"model": "n"}, {"user": "u"}),
        ({"by": "key"}, {"consumer": "acme/t/b"}, {"key": "k2"}),
        ({"by": "issuer"}, {"consumer": "acme/t/b"}, {"issuer": "login"}),
        ({"by": "model"}, {"consumer": "acme/t/b"}, {"model": "n"}),
        ({"by": "consumer_and_model"}, {"user": "u"}, {"model": "n"}),
        ({"by": "all"}, {"consumer": "acme/t/b", "model": "n"}, None),
        ({"by": "all", "per_model": True}, {"consumer": "acme/t/b"}, {"model": "n"}),
        ({"expression": "consumer.team"}, {"consumer": "other/t/b"}, {"consumer": "acme/s/a"}),
    ],
)
def test_who_shares_an_allowance(
    config: dict[str, Any], shares: dict[str, str], differs: dict[str, str] | None
) -> None:
    one = limit(requests=1, **config)
    mine = one.on_reserve(exchange(key="k1"))
    assert one.on_reserve(exchange(**{"key": "k1", **shares})) is mine
    if differs is not None:
        assert keys(one.on_reserve(exchange(**{"key": "k1", **differs}))) != keys(mine)


def test_an_expression_that_cannot_be_evaluated_counts_in_a_group_of_its_own() -> None:
    one = limit(requests=1, expression="jwt.department")
    assert "(unknown)" in keys(one.on_reserve(exchange()))[0]


def test_a_wrong_expression_is_refused_with_words() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        limit(requests=1, expression="nonsense == 1")


def test_the_same_claims_are_given_again_however_many_consumers_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_GROUPS", 3)
    one = limit(requests=1)
    first = keys(one.on_reserve(exchange("a/b/c0")))
    for number in range(10):
        one.on_reserve(exchange(f"a/b/c{number}"))
    assert keys(one.on_reserve(exchange("a/b/c0"))) == first, "its counter is found again"


def test_what_counts_where_there_is_no_room_is_one_for_the_users_of_a_consumer() -> None:
    one = limit("one", requests=1, tokens=1, concurrent=1, by="user")
    shared = [
        [claim.allowance.shared_key for claim in one.on_reserve(exchange(consumer, user=user)).claims]
        for consumer, user in (("a/b/c", "anna"), ("a/b/c", "otto"), ("a/b/d", "anna"))
    ]
    assert shared[0] == shared[1] != shared[2]
    assert len(set(shared[0])) == 3, "the counters of one exchange differ"
    assert all(claim.allowance.is_open for claim in one.on_reserve(exchange()).claims)
    assert not any(claim.allowance.is_open for claim in limit(requests=1).on_reserve(exchange()).claims)


def test_two_policies_count_apart() -> None:
    assert keys(limit("one", requests=1).on_reserve(exchange())) != keys(
        limit("two", requests=1).on_reserve(exchange())
    )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"requests": 3}, "3 requests per minute"),
        ({"tokens": 9, "per": "day"}, "9 tokens per day"),
        ({"usd": 0.25, "per": "hour"}, "$0.25 per hour"),
        ({"concurrent": 2}, "2 requests at the same time"),
    ],
)
def test_the_refusal_says_which_limit_and_when_it_frees(config: dict[str, Any], told: str) -> None:
    (claim,) = limit(**config).on_reserve(exchange()).claims
    error = claim.refuse(Refused(0, 0, 12.34))
    assert error.kind is Kind.RATE_LIMITED
    assert told in error.message
    assert "12.3 s" in error.message
    assert error.retry_after_s == 12.34


def test_it_needs_something_to_limit() -> None:
    with pytest.raises(ValueError, match="at least one of"):
        limit()
