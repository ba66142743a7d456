"""Prices, to the last digit: whatever kind of token, length of input or service."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatewright.cli.catalogue import packaged_catalogue
from gatewright.config.catalogue import ModelFacts, Prices, Step
from gatewright.config.pricing import Pricing, Service, compile_pricing
from gatewright.core.usage import Usage


def pricing(prices: Prices | None, **lists: Prices) -> Pricing:
    compiled = compile_pricing(ModelFacts(prices=prices, **lists))
    assert compiled is not None
    return compiled


def usd(found: int | None) -> Decimal | None:
    return None if found is None else Decimal(found).scaleb(-15)


SONNET = Prices(input="3", input_cached_read="0.30", input_cache_write="3.75", input_cache_write_1h="6", output="15")


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(), "0"),
        (Usage(input_total=1_000_000), "3"),
        (Usage(input_total=1, output_total=1), "0.000018"),
        (Usage(input_total=1_000, input_cached_read=900, output_total=0), "0.00057"),
        (Usage(input_total=2_000, input_cache_write=1_000, input_cache_write_1h=400), "0.00765"),
        (Usage(output_total=1_000, output_reasoning=900), "0.015"),
    ],
)
def test_each_kind_of_token_has_its_price(usage: Usage, dollars: str) -> None:
    assert usd(pricing(SONNET).cost(usage)) == Decimal(dollars)


def test_what_is_not_priced_by_itself_costs_what_its_kind_costs() -> None:
    plain = pricing(Prices(input="2", output="8"))
    usage = Usage(
        input_total=100, input_cached_read=50, input_cache_write=20, input_audio=10, output_total=10, output_reasoning=5
    )
    assert usd(plain.cost(usage)) == Decimal("0.00028")


@pytest.mark.parametrize(
    ("prices", "usage"),
    [
        (Prices(input="2"), Usage(input_total=5, output_total=1)),
        (Prices(output="2"), Usage(input_total=5)),
        (Prices(request="0.01"), Usage(input_total=1)),
    ],
)
def test_an_unknown_price_is_not_free(prices: Prices, usage: Usage) -> None:
    assert pricing(prices).cost(usage) is None


def test_a_model_without_prices_has_none() -> None:
    assert compile_pricing(ModelFacts()) is None


GEMINI = Prices(input="1.25", output="10", steps=(Step(above_input_tokens=200_000, input="2.5", output="15"),))


@pytest.mark.parametrize(("tokens", "dollars"), [(200_000, "0.25"), (200_001, "0.5000025")])
def test_a_long_input_is_priced_as_a_whole(tokens: int, dollars: str) -> None:
    assert usd(pricing(GEMINI).cost(Usage(input_total=tokens))) == Decimal(dollars)


@pytest.mark.parametrize(
    ("service", "dollars"), [("prices", "0.25"), ("batch", "0.125"), ("flex", "0.25"), ("priority", "0.25")]
)
def test_a_service_with_its_own_list(service: Service, dollars: str) -> None:
    both = pricing(GEMINI, batch=Prices(input="0.625"))
    assert usd(both.cost(Usage(input_total=200_000), service)) == Decimal(dollars)


def test_a_service_keeps_the_steps_of_the_usual_list_unless_it_has_its_own() -> None:
    steps = (Step(above_input_tokens=200_000, input="1.25"),)
    assert usd(pricing(GEMINI, batch=Prices(input="0.625", steps=steps)).cost(Usage(input_total=400_000), "batch")) == (
        Decimal("0.5")
    )


def test_audio_by_the_hour_and_searches_by_the_request() -> None:
    assert usd(pricing(Prices(input_audio_hour="0.36")).cost(Usage(audio_s=10.0))) == Decimal("0.001")
    assert usd(pricing(Prices(request="0.002")).cost(Usage(search_units=3))) == Decimal("0.006")
    assert usd(pricing(Prices(input="1", request="0.002")).cost(Usage(input_total=1_000))) == Decimal("0.003")


def test_parts_that_exceed_their_total_never_give_money_back() -> None:
    assert usd(pricing(SONNET).cost(Usage(input_total=5, input_cached_read=10))) == Decimal("0.000003")


@given(st.decimals("0", "1000", places=9, allow_nan=False), st.integers(0, 10**9), st.decimals("0", "1000", places=9))
def test_no_sum_is_rounded(price: Decimal, tokens: int, other: Decimal) -> None:
    found = pricing(Prices(input=f"{price:f}", output=f"{other:f}")).cost(
        Usage(input_total=tokens, output_total=tokens)
    )
    assert usd(found) == (price + other) * tokens / 1_000_000


def test_every_packaged_row_compiles() -> None:
    for key, facts in packaged_catalogue().items():
        compiled = compile_pricing(facts)
        if compiled is not None and facts.prices is not None and facts.prices.input and facts.prices.output:
            assert compiled.cost(Usage(input_total=1_000, output_total=100)) is not None, key
