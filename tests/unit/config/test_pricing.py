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


KINDS = Prices(input="1", input_cached_read="0.1", input_audio="4", input_image="2", output="10")


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        # Nothing of the pictures was cached: 50 of text and 900 of them beside 50 cached.
        (Usage(input_total=1_000, input_cached_read=50, input_image=900), "0.001855"),
        # All of them were, and 50 of text.
        (
            Usage(input_total=1_000, input_cached_read=950, input_image=900, input_cached_image=900),
            "0.000145",
        ),
        # Some of them, and some of the sound.
        (
            Usage(
                input_total=1_000,
                input_cached_read=600,
                input_image=500,
                input_cached_image=400,
                input_audio=300,
                input_cached_audio=200,
            ),
            "0.00086",
        ),
        # The provider does not tell: what does not fit beside the cache was cached.
        (Usage(input_total=1_000, input_cached_read=900, input_image=900), "0.00029"),
        (Usage(input_total=1_000, input_cached_read=700, input_cache_write=200, input_image=900), "0.00047"),
        (Usage(input_total=1_000, input_cached_read=900, input_audio=60, input_image=900), "0.00041"),
        (Usage(input_total=1_000, input_cached_read=1_000, input_audio=60, input_image=900), "0.0001"),
        # Numbers that contradict each other take nothing away.
        (Usage(input_total=100, input_cached_read=200, input_image=5, input_cached_image=9), "0.00002"),
    ],
)
def test_cached_tokens_of_sound_and_pictures_are_charged_once(usage: Usage, dollars: str) -> None:
    assert usd(pricing(KINDS).cost(usage)) == Decimal(dollars)


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


@pytest.mark.parametrize(
    ("prices", "dollars"),
    [
        (Prices(input="2", output="8"), None),
        (Prices(input="2", output="8", request="0.01"), None),
        (Prices(input_audio_hour="0.36"), None),
        # What costs the same however much it is.
        (Prices(request="0.01"), "0.01"),
        (Prices(input="0", output="0"), "0"),
    ],
)
def test_what_nobody_counted_has_no_known_cost(prices: Prices, dollars: str | None) -> None:
    usage = Usage(input_total=5, estimated=True, uncounted=True)
    assert usd(pricing(prices).cost(usage)) == (None if dollars is None else Decimal(dollars))


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


IMAGE_TOKENS = Prices(input="5", output="10", output_image="40", image="0.04")


@pytest.mark.parametrize(
    ("prices", "usage", "dollars"),
    [
        (Prices(image="0.04"), Usage(images=3), "0.12"),
        (Prices(image="0.04"), Usage(images=0), "0"),
        (Prices(image="0.04", request="0.01"), Usage(images=2), "0.09"),
        # The vendor's own tokens are what it charges; without them the picture's price is.
        (IMAGE_TOKENS, Usage(images=1, input_total=10, output_total=100, output_image=100), "0.00405"),
        (IMAGE_TOKENS, Usage(images=2), "0.08"),
        # Tokens without a price are not what is charged.
        (Prices(image="0.04"), Usage(images=1, input_total=10, output_total=100, output_image=100), "0.04"),
        (Prices(input_characters="15"), Usage(characters=1_000), "0.015"),
        (Prices(input_characters="15"), Usage(characters=1), "0.000015"),
        (Prices(input="0.6", output_audio="12"), Usage(characters=10, input_total=5, output_audio=5), "0.000063"),
        (Prices(input_audio_hour="0.36"), Usage(audio_s=90.0), "0.009"),
        (Prices(input_audio_hour="0.36"), Usage(audio_s=10.0, input_total=7, output_total=5), "0.001"),
        (Prices(input="2.5", output="10", input_audio_hour="0.36"), Usage(audio_s=10.0, input_total=100), "0.00025"),
        (Prices(request="0.002"), Usage(search_units=3), "0.006"),
        (Prices(request="0.002"), Usage(images=3), "0.002"),
        (Prices(input="0", output="0"), Usage(images=3), "0"),
        (Prices(input="0", output="0"), Usage(audio_s=3.0), "0"),
    ],
)
def test_what_is_not_counted_in_tokens(prices: Prices, usage: Usage, dollars: str) -> None:
    assert usd(pricing(prices).cost(usage)) == Decimal(dollars)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(images=1),
        Usage(images=0, characters=5),
        Usage(audio_s=1.0),
        Usage(search_units=1.0),
        Usage(input_total=1, web_searches=1),
    ],
)
def test_units_without_a_price_are_not_free(usage: Usage) -> None:
    assert pricing(Prices(input="2", output="8")).cost(usage) is None


@pytest.mark.parametrize(
    ("prices", "usage", "dollars"),
    [
        (Prices(input="3", output="15", web_search="0.01"), Usage(input_total=1_000, web_searches=2), "0.023"),
        (Prices(input="0", output="0"), Usage(input_total=1_000, web_searches=2), "0"),
    ],
)
def test_searches_of_the_web_come_on_top(prices: Prices, usage: Usage, dollars: str) -> None:
    assert usd(pricing(prices).cost(usage)) == Decimal(dollars)


def test_a_search_is_not_made_cheaper_by_the_service() -> None:
    sonnet = pricing(Prices(input="3", output="15", web_search="0.01"), batch=Prices(input="1.5", output="7.5"))
    assert usd(sonnet.cost(Usage(input_total=1_000, web_searches=1), "batch")) == Decimal("0.0115")


LONG = Prices(
    input="1.25",
    input_cached_read="0.125",
    output="10",
    steps=(Step(above_input_tokens=200_000, input="2.5", input_cached_read="0.25", output="15"),),
)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        # What is read from the cache counts for the length, and has the step's own price beyond it.
        (Usage(input_total=200_000, input_cached_read=150_000, output_total=10), "0.08135"),
        (Usage(input_total=200_001, input_cached_read=150_000, output_total=10), "0.1626525"),
        (Usage(input_total=200_001, input_cached_read=200_001), "0.05000025"),
        # A step names no reasoning price: it is that of its own output.
        (Usage(input_total=200_001, input_cached_read=200_001, output_total=10, output_reasoning=10), "0.05015025"),
    ],
)
def test_cached_and_reasoning_tokens_in_a_long_input(usage: Usage, dollars: str) -> None:
    assert usd(pricing(LONG).cost(usage)) == Decimal(dollars)
