"""Reserve, extend, settle: an exchange against real counters in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec
import pytest
from gateways import Answer, World, document
from hypothesis import given, settings
from hypothesis import strategies as st

from gatewright.core.counting import Allowance, Refused
from gatewright.core.counting import Kind as CountKind
from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.grant import Grant
from gatewright.core.usage import Usage
from gatewright.dialects import DIALECTS
from gatewright.dialects.openai import CHAT
from gatewright.filters.budget import BUDGET
from gatewright.filters.rate_limit import RATE_LIMIT
from gatewright.pipeline.estimates import IMAGE_TOKENS, STREAM_SLICE
from gatewright.pipeline.lifecycle import open_exchange, settle
from gatewright.pipeline.missing_usage import look_at
from gatewright.pipeline.plan import limit_lines
from gatewright.pipeline.reserving import StreamMeter, keep_alive, total_cost, total_usage
from gatewright.store.memory import MemoryCounters

USD_PER_TOKEN = 0.00001
CATALOGUE = {
    "host/a-model": {"kind": "chat", "prices": {"input": "10", "output": "10"}},
    "host/b-model": {"kind": "chat", "prices": {"input": "1", "output": "1"}},
}
BODY = b'{"model":"m","messages":[],"max_tokens":100000,"stream":true}'


class Later(MemoryCounters):
    """The same, from another machine: everything is answered later."""

    def reserve(self, allowances: Sequence[Allowance], amounts: list[int]) -> Any:
        return asyncio.ensure_future(self._later(super().reserve(allowances, amounts)))

    def extend(self, grant: Grant, amounts: list[int]) -> Any:
        return self._later(super().extend(grant, amounts))

    async def _later(self, result: Any) -> Any:
        await asyncio.sleep(0)
        return result


class Asked(MemoryCounters):
    """The same, answering when it is told to."""

    asked: asyncio.Future[Grant | Refused] | None = None

    def reserve(self, allowances: Sequence[Allowance], amounts: list[int]) -> Any:
        self._answer = super().reserve(allowances, amounts)
        self.asked = asyncio.get_running_loop().create_future()
        return self.asked

    def answer(self) -> None:
        assert self.asked is not None
        self.asked.set_result(self._answer)


class Books:
    """A gateway with policies, whose counters can be asked."""

    def __init__(self, *policies: dict[str, Any], remote: bool = False) -> None:
        self.world = World(*[0.0] * 50)
        self.counters = (Later if remote else MemoryCounters)(self.world.clock)
        self.tasks: list[Awaitable[Any]] = []
        self.world.ports = msgspec.structs.replace(
            self.world.ports, counters=self.counters, wall=self.world.clock, spawn=self._spawn
        )
        config = document(catalogue=CATALOGUE, policies=list(policies))
        config["models"]["cheap"] = {"targets": [{"provider": "a", "model": "b-model"}]}
        config["models"]["b-*"] = {"targets": [{"provider": "a"}]}
        self.snapshot = self.world.snapshot(config, BUDGET, RATE_LIMIT)

    def _spawn(self, coroutine: Any) -> Any:
        task = asyncio.ensure_future(coroutine)
        self.tasks.append(task)
        return task

    def open(self, body: bytes = BODY, answer: bytes | None = None) -> Exchange:
        x = self.world.exchange(self.snapshot, body)
        x.dialect = CHAT
        self.world.script.append(Answer(body=answer))
        asyncio.run(open_exchange(x, CHAT, self.world.ports, self.world.send))
        return x

    def used(self, x: Exchange) -> list[int]:
        return self.counters.used(x.plan.allowances)

    def settle(self, x: Exchange, usage: Usage | None) -> None:
        x.usage, x.finished_s, x.is_complete = usage, self.world.clock(), True
        settle(x, self.world.ports)


def budget(usd: float, name: str = "b", **config: Any) -> dict[str, Any]:
    return {"filter": "budget", "name": name, "config": {"usd": usd, "per": "total", **config}}


def limit(**config: Any) -> dict[str, Any]:
    return {"filter": "rate_limit", "config": config}


def bring(x: Exchange, tokens: int) -> None:
    """So much of a stream has come, in one block."""
    block = b'data: {"content":"abcd"}\n\n' * tokens
    x.bytes_out += len(block)
    look_at(x, block)


@pytest.mark.parametrize("remote", [False, True])
def test_first_slice_is_held_and_what_was_used_stays(remote: bool) -> None:
    books = Books(limit(requests=9, output_tokens=10_000, concurrent=2), budget(1.0), remote=remote)
    x = books.open()
    requests, output, concurrent, cost = books.used(x)
    assert (requests, output, concurrent) == (1, STREAM_SLICE, 1)
    assert cost == pytest.approx((STREAM_SLICE + len(BODY) / 3) * 10_000, rel=0.01)
    books.settle(x, Usage(input_total=9, output_total=70))
    assert books.used(x) == [1, 70, 0, 79 * 10_000]
    assert [group.who for group in x.budgets] == [x.consumer.path]
    assert books.counters.settled([group.allowance for group in x.budgets]) == [79 * 10_000]


@pytest.mark.parametrize(
    ("dialect", "prices", "body", "nano"),
    [
        ("openai.images.generations", {"image": "0.04"}, b'{"model":"m","prompt":"x","n":3}', 120_000_000),
        ("openai.images.generations", {"image": "0.04"}, b'{"model":"m","prompt":"x"}', 40_000_000),
        # Tokens for as many pictures of medium quality, where those are what is priced.
        (
            "openai.images.generations",
            {"input": "0", "output_image": "10"},
            b'{"model":"m","prompt":"x","n":2}',
            2 * IMAGE_TOKENS * 10_000,
        ),
        (
            "openai.audio.speech",
            {"input_characters": "15"},
            b'{"model":"m","input":"' + b"a" * 1_000 + b'"}',
            15_000_000,
        ),
        ("cohere.rerank", {"request": "0.002"}, b'{"model":"m","query":"x"}', 2_000_000),
        ("openai.moderations", {"input": "3"}, b'{"model":"m","input":"x"}', 27_000),
        # Nothing tells what this will be.
        ("openai.images.generations", {"input": "3"}, b'{"model":"m","prompt":"x"}', 0),
    ],
)
def test_what_is_not_counted_in_tokens_is_held_too(dialect: str, prices: Any, body: bytes, nano: int) -> None:
    books = Books()
    config = document(catalogue={"host/a-model": {"prices": prices}}, policies=[budget(1.0)])
    x = books.world.exchange(books.world.snapshot(config, BUDGET, RATE_LIMIT), body)
    x.dialect = next(each for each in DIALECTS if each.name == dialect)
    x.surface = x.dialect.surfaces[0]
    with pytest.raises(GatewayError, match="does not offer"):
        asyncio.run(open_exchange(x, x.dialect, books.world.ports, books.world.send))
    assert x.grant is not None
    assert books.used(x) == [nano]


def test_all_or_none() -> None:
    books = Books(limit(requests=9, concurrent=2), budget(0.000001))
    with pytest.raises(GatewayError) as refused:
        books.open()
    assert refused.value.kind is Kind.QUOTA_EXCEEDED
    assert books.world.sent == []
    key = [Allowance("rate_limit#0:anonymous:requests/minute", CountKind.SLIDING, 9, 60.0)]
    assert books.counters.used(key) == [0]


def test_failed_exchange_gives_back_all_but_its_request() -> None:
    books = Books(limit(requests=9, tokens=100_000, concurrent=1), budget(1.0))
    x = books.world.exchange(books.snapshot, BODY)
    x.dialect = CHAT
    books.world.script.append(Answer(status=400, body=b"{}"))
    with pytest.raises(GatewayError) as failed:
        asyncio.run(open_exchange(x, CHAT, books.world.ports, books.world.send))
    x.error = failed.value
    settle(x, books.world.ports)
    assert books.used(x) == [1, 0, 0, 0]
    settle(x, books.world.ports)
    assert books.used(x) == [1, 0, 0, 0], "a second time does nothing"


def leave_while_asking(books: Books, *, is_answered: bool) -> tuple[Any, Asked]:
    """An exchange whose client leaves as its counters are asked, or as they have just answered."""
    counters = Asked(books.world.clock)
    ports = msgspec.structs.replace(books.world.ports, counters=counters)
    x = books.world.exchange(books.snapshot, BODY)
    x.dialect = CHAT

    async def leave() -> None:
        exchange = asyncio.ensure_future(open_exchange(x, CHAT, ports, books.world.send))
        while counters.asked is None:
            await asyncio.sleep(0)
        if is_answered:
            counters.answer()
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        settle(x, ports)

    asyncio.run(leave())
    return x, counters


def test_what_is_granted_as_the_client_leaves_is_given_back() -> None:
    books = Books(limit(requests=9, tokens=100_000, concurrent=1), budget(1.0))
    x, counters = leave_while_asking(books, is_answered=True)
    assert books.world.sent == []
    assert counters.used(x.plan.allowances) == [1, 0, 0, 0]


def test_a_reservation_that_nobody_waits_for_any_more_is_cancelled() -> None:
    x, counters = leave_while_asking(Books(limit(requests=9)), is_answered=False)
    assert counters.asked is not None
    assert counters.asked.cancelled()
    assert x.grant is None


@pytest.mark.parametrize("held", [0, 1], ids=["at once", "held for long"])
@pytest.mark.parametrize("most", [10_000, 1_000], ids=["enough", "more held than there is"])
def test_what_is_told_to_be_left_is_without_what_was_not_used(most: int, held: int) -> None:
    books = Books(limit(tokens=most, requests=9), limit(output_tokens=most + 50), budget(1.0))
    x = books.open(b'{"model":"m","messages":[],"max_tokens":4096}', b"{}")
    assert x.grant is not None
    grant = x.grant
    for _ in range(held):
        books.world.clock.advance(7.0)
        keep_alive(x, books.world.ports)
    books.settle(x, Usage(input_total=9, output_total=5))
    headers = limit_lines(x.plan, grant.left).split(b"\r\n")
    assert b"x-ratelimit-remaining-requests: 8" in headers
    assert b"x-ratelimit-remaining-tokens: %d" % (most - 14) in headers


# -- while it streams -------------------------------------------------------------------------------------------------


def test_next_slice_is_taken_when_half_of_the_last_is_used() -> None:
    books = Books(limit(output_tokens=100_000))
    x = books.open()
    meter = StreamMeter(x, x.plan, books.world.ports)
    bring(x, STREAM_SLICE // 2 - 10)
    assert meter.on_block() is None
    assert books.used(x) == [STREAM_SLICE]
    bring(x, 20)
    assert meter.on_block() is None
    assert books.used(x) == [2 * STREAM_SLICE]


def test_a_block_that_brings_more_than_a_slice_takes_as_many_as_it_needs() -> None:
    books = Books(limit(output_tokens=100_000))
    x = books.open()
    meter = StreamMeter(x, x.plan, books.world.ports)
    bring(x, 5 * STREAM_SLICE)
    assert meter.on_block() is None
    assert books.used(x)[0] > 5 * STREAM_SLICE


@given(
    st.lists(
        st.one_of(
            st.integers(0, 40).map(lambda texts: b'data: {"content":"abcd"}\n\n' * texts),
            st.integers(1, 3_000).map(lambda size: b'data: {"content":"%b"}\n\n' % (b"x" * size)),
            st.integers(1, 3_000).map(lambda size: b'data: {"role":"%b"}\n\n' % (b"x" * size)),
            st.just(b'data: {"content":""}\n\n' * 60),
        ).filter(bool),
        max_size=80,
    )
)
@settings(max_examples=50)
def test_blocks_between_due_bytes_need_not_be_counted(blocks: list[bytes]) -> None:
    """Whoever asks only when a slice may be due holds as much, at every block, as whoever asks each time."""
    books = [Books(limit(output_tokens=100_000)) for _ in range(2)]
    patient, eager = [one.open() for one in books]
    meters = [StreamMeter(x, x.plan, one.world.ports) for x, one in zip((patient, eager), books, strict=True)]
    for block in blocks:
        for x in (patient, eager):
            x.bytes_out += len(block)
        is_read = patient.bytes_out >= patient.text_due
        if is_read:
            look_at(patient, block)
            look_at(eager, block)
        if is_read or patient.bytes_out >= meters[0].due_bytes:
            meters[0].on_block()
        meters[1].on_block()
        assert books[0].used(patient) == books[1].used(eager)


@pytest.mark.parametrize("remote", [False, True])
def test_budget_ends_a_stream_when_what_it_paid_is_used(remote: bool) -> None:
    books = Books(budget(1.5 * STREAM_SLICE * USD_PER_TOKEN), remote=remote)
    x = books.open()
    meter = StreamMeter(x, x.plan, books.world.ports)

    books.tasks.clear()

    async def stream() -> list[GatewayError | None]:
        told = []
        for _ in range(9):
            bring(x, 64)
            told.append(meter.on_block())
            await asyncio.gather(*books.tasks)
        return told

    told = asyncio.run(stream())
    assert told[:7] == [None] * 7
    assert told[7] is not None
    assert told[7].kind is Kind.QUOTA_EXCEEDED
    assert "ended here" in told[7].message


def test_what_is_dry_already_ends_with_the_block_that_finds_it() -> None:
    books = Books(budget(1.5 * STREAM_SLICE * USD_PER_TOKEN))
    x = books.open()
    meter = StreamMeter(x, x.plan, books.world.ports)
    bring(x, 3 * STREAM_SLICE)
    assert meter.on_block() is not None


def test_a_limit_that_is_passed_holds_back_the_next_request_not_this_one() -> None:
    books = Books(limit(output_tokens=STREAM_SLICE))
    x = books.open()
    meter = StreamMeter(x, x.plan, books.world.ports)
    for _ in range(5):
        bring(x, STREAM_SLICE)
        assert meter.on_block() is None
    with pytest.raises(GatewayError) as refused:
        books.open()
    assert refused.value.kind is Kind.RATE_LIMITED


def test_what_the_client_allows_is_all_that_is_held() -> None:
    books = Books(limit(output_tokens=100_000))
    x = books.open(BODY.replace(b"100000", b"40"))
    meter = StreamMeter(x, x.plan, books.world.ports)
    bring(x, 60)
    assert meter.on_block() is None
    assert books.used(x) == [40]


@pytest.mark.parametrize("allowed", [b"40", b"512", b"600"])
def test_what_comes_beyond_what_the_client_allows_is_held_like_anything(allowed: bytes) -> None:
    books = Books(limit(output_tokens=100_000))
    x = books.open(BODY.replace(b"100000", allowed))
    meter = StreamMeter(x, x.plan, books.world.ports)
    for brought in range(64, 6_400, 64):
        bring(x, 64)
        assert meter.on_block() is None
        assert books.used(x)[0] > brought - STREAM_SLICE
    assert books.used(x)[0] > brought


@pytest.mark.parametrize(
    "members",
    [
        '"max_tokens":0',
        '"max_tokens":1',
        '"max_tokens":512,"n":128',
        '"max_tokens":100000,"max_completion_tokens":1',
        '"options":{"num_predict":1}',
        '"generationConfig":{"maxOutputTokens":512,"candidateCount":8}',
        '"max_tokens":256,"prompt":["a","b","c","d"]',
    ],
)
def test_no_member_of_a_request_keeps_its_stream_from_being_ended(members: str) -> None:
    books = Books(budget(2.5 * STREAM_SLICE * USD_PER_TOKEN))
    x = books.open(b'{"model":"m","messages":[],"stream":true,%b}' % members.encode())
    meter = StreamMeter(x, x.plan, books.world.ports)
    brought = 0
    while meter.on_block() is None:
        bring(x, 16)
        brought += 16
        assert brought < 3.5 * STREAM_SLICE, "a slice more than the budget pays for"


def test_long_exchanges_keep_what_they_hold_and_dead_ones_do_not() -> None:
    books = Books(limit(concurrent=2), budget(1.0))
    living, dead = books.open(), books.open()
    for _ in range(6):
        books.world.clock.advance(40.0)
        keep_alive(living, books.world.ports)
    concurrent, cost = books.used(living)
    assert concurrent == 1
    assert cost == living.grant.amounts[1]  # type: ignore[union-attr]
    assert dead.grant is not None


# -- dry --------------------------------------------------------------------------------------------------------------


def test_another_model_answers_and_its_cost_is_counted_too() -> None:
    books = Books(budget(0.0001, when_dry="cheap"))
    x = books.open()
    assert (x.published_model, x.target.model, bytes(x.fields["model"])) == ("cheap", "b-model", b'"cheap"')
    books.settle(x, Usage(input_total=0, output_total=1_000))
    assert books.used(x) == [1_000 * 1_000]


def test_another_model_may_be_one_under_a_published_pattern() -> None:
    held = {**limit(requests=5), "on": {"models": ["b-model"]}}
    books = Books(budget(0.0001, when_dry="b-model"), held)
    x = books.open()
    assert (x.published_model, x.requested_model, bytes(x.fields["model"])) == ("b-*", "b-model", b'"b-model"')
    books.settle(x, Usage(input_total=0, output_total=1_000))
    assert books.used(x) == [1_000 * 1_000, 1]


def test_each_budget_that_is_dry_sends_on_once() -> None:
    books = Books(budget(0.0001, when_dry="cheap"), budget(0.00001, "other", when_dry="cheap"))
    assert books.open().published_model == "cheap"
    books = Books(budget(0.0001, when_dry="cheap"), budget(0.00001, "other"))
    with pytest.raises(GatewayError, match="`other`"):
        books.open()


def test_unknown_prices() -> None:
    unknown = {"filter": "budget", "name": "b", "config": {"usd": 1.0}}
    books = Books(unknown)
    config = document(policies=[unknown])
    snapshot = books.world.snapshot(config, BUDGET, RATE_LIMIT)
    x = books.world.exchange(snapshot, BODY)
    x.dialect = CHAT
    with pytest.raises(GatewayError, match="no known price"):
        asyncio.run(open_exchange(x, CHAT, books.world.ports, books.world.send))


# -- sums -------------------------------------------------------------------------------------------------------------


class _Past:
    def __init__(self, usage: Usage | None, cost: int | None) -> None:
        self.usage, self.cost_femto_usd = usage, cost


def test_sums_are_of_all_attempts() -> None:
    x = Exchange("req_1", None, {}, b"", 0.0)
    assert (total_usage(x), total_cost(x)) == (None, 0)
    x.past = [_Past(Usage(input_total=9, output_total=1), 30), _Past(None, None)]
    usage = total_usage(x)
    assert usage is not None
    assert (usage.input_total, usage.output_total, total_cost(x)) == (9, 1, 30)
    x.usage, x.cost_femto_usd = Usage(input_total=8, output_total=5), 12
    usage = total_usage(x)
    assert usage is not None
    assert (usage.input_total, usage.output_total, total_cost(x)) == (17, 6, 42)


def test_refusals_say_when_it_frees() -> None:
    books = Books(limit(requests=1))
    books.open()
    with pytest.raises(GatewayError) as refused:
        books.open()
    names = [name for name, _ in refused.value.headers]
    assert b"x-ratelimit-limit-requests" in names
    assert refused.value.retry_after_s is not None
    assert 0 < refused.value.retry_after_s <= 68.0
