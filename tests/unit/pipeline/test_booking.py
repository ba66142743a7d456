"""What a settled exchange brings into the ledger."""

from __future__ import annotations

from typing import Any

import msgspec

from gatewright.core.errors import GatewayError, Kind
from gatewright.core.exchange import Exchange
from gatewright.core.ledger import Attempt, Tokens
from gatewright.core.usage import Usage
from gatewright.pipeline.booking import attempts_of, note_attempt


class _Upstream:
    type = "openai"


class Target:
    def __init__(self, provider: str, model: str | None) -> None:
        self.provider, self.model, self.upstream = provider, model, _Upstream()


def exchange(**members: Any) -> Exchange:
    x = Exchange("req_1", None, {}, b"{}", 0.0)
    x.requested_model = "asked-for"
    for name, value in members.items():
        setattr(x, name, value)
    return x


def booked(x: Exchange) -> list[Attempt]:
    """As whoever reads the journal has them."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(attempts_of(x)), type=list[Attempt])


def test_what_never_reached_an_upstream_has_no_attempts() -> None:
    assert attempts_of(exchange()) == []
    assert attempts_of(exchange(target=Target("a", "m"))) == []


def test_every_attempt_has_its_own_outcome_usage_price_and_time() -> None:
    x = exchange(target=Target("a", "first"), attempts=1, upstream_s=0.25, usage=Usage(input_total=9, output_total=1))
    note_attempt(x, GatewayError(Kind.UPSTREAM_CUT, "broke off"))
    assert x.usage is None, "the next attempt begins with nothing"
    x.target, x.attempts, x.upstream_s = Target("b", None), 2, 0.75
    note_attempt(x, GatewayError(Kind.UPSTREAM_TIMEOUT, "slow"))
    x.target, x.attempts, x.upstream_s = Target("c", "third"), 3, 1.0
    x.usage, x.cost_femto_usd, x.price_version = Usage(input_total=8, output_total=5, estimated=True), 700, "v1"
    x.past[0].cost_femto_usd, x.past[0].price_version = 300, "v0"  # type: ignore[index]
    rows = [
        (row.provider, row.upstream_model, row.outcome, row.cost_femto_usd, row.price_version, row.upstream_ms)
        for row in booked(x)
    ]
    assert rows == [
        ("a", "first", "upstream_cut", 300, "v0", 250),
        ("b", "asked-for", "upstream_timeout", None, "", 500),
        ("c", "third", "ok", 700, "v1", 250),
    ]
    first, second, third = booked(x)
    assert first.tokens is not None
    assert (first.tokens.input_total, first.tokens.output_total, first.is_estimated) == (9, 1, False)
    assert second.tokens is None
    assert third.is_estimated


def test_the_last_attempt_ends_as_the_exchange_does() -> None:
    x = exchange(target=Target("a", "m"), attempts=1, error=GatewayError(Kind.DISCONNECTED, "left"))
    (attempt,) = booked(x)
    assert (attempt.outcome, attempt.provider_type, attempt.tokens) == ("disconnected", "openai", None)


def test_units_that_are_not_tokens_are_whole_numbers() -> None:
    x = exchange(target=Target("a", "m"), attempts=1, usage=Usage(audio_s=1.2345, search_units=2.0))
    tokens = booked(x)[0].tokens
    assert tokens is not None
    assert (tokens.audio_ms, tokens.search_milliunits) == (1_234, 2_000)


def test_cached_tokens_stand_in_one_place() -> None:
    usage = Usage(
        input_total=100,
        input_cached_read=60,
        input_audio=30,
        input_cached_audio=20,
        input_image=40,
        input_cached_image=40,
    )
    tokens = booked(exchange(target=Target("a", "m"), attempts=1, usage=usage))[0].tokens
    assert tokens == Tokens(input_total=100, input_cached_read=60, input_audio=10, input_image=0)


def test_every_kind_of_token_has_its_place() -> None:
    names = [name for name in Tokens.__struct_fields__ if name in Usage.__dataclass_fields__]
    usage = Usage(**{name: number for number, name in enumerate(names, start=1)})
    x = exchange(target=Target("a", "m"), attempts=1, usage=usage)
    tokens = booked(x)[0].tokens
    assert [getattr(tokens, name) for name in names] == list(range(1, len(names) + 1))
    assert set(Tokens.__struct_fields__) - set(names) == {"audio_ms", "search_milliunits"}
