"""What an answer cost: a row of the catalogue compiled into whole numbers, and usage multiplied by them.

Money is an integer of femto-dollars (10⁻¹⁵ USD): a price per million tokens with its nine decimals is then a whole
number per token, and no sum is ever rounded. What a row does not price is unknown, never free: the cost is then None.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Literal

from msgspec import Struct

from gatewright.config.catalogue import ModelFacts, Prices, Rates
from gatewright.core.usage import Usage

FEMTO_DIGITS: Final = 15
Service = Literal["prices", "batch", "flex", "priority"]
_INHERITED: Final = {
    "input_cached_read": "input",
    "input_cache_write": "input",
    "input_cache_write_1h": "input_cache_write",
    "input_audio": "input",
    "input_image": "input",
    "output_reasoning": "output",
    "output_audio": "output",
    "output_image": "output",
}
"""What a kind of token costs when the row does not say, in an order that can be filled from left to right."""
_PER_MILLION: Final = FEMTO_DIGITS - 6


class _Level(Struct, frozen=True):
    """Femto-dollars per token of each kind, from some length of the input on; None is unknown."""

    above_input_tokens: int
    input: int | None
    input_cached_read: int | None
    input_cache_write: int | None
    input_cache_write_1h: int | None
    input_audio: int | None
    input_image: int | None
    output: int | None
    output_reasoning: int | None
    output_audio: int | None
    output_image: int | None
    audio_s: int | None
    """Per second of audio that was heard."""
    character: int | None
    """Per character that was spoken."""
    image: int | None
    """Per picture that was made."""
    request: int | None
    """Per request, besides its tokens."""
    web_search: int | None
    """Per search of the web."""


class Pricing(Struct, frozen=True):
    """The prices of one model on one day."""

    version: str
    """Names them in the ledger (`ModelFacts.price_version`)."""
    services: Mapping[str, tuple[_Level, ...]]
    """Levels by service, shortest input first; `prices` is the usual service."""
    plain: tuple[int, int] | None = None
    """Femto-dollars per input and per output token, where that is all there is to the usual service's text."""

    def cost(self, usage: Usage, service: str = "prices") -> int | None:
        """Femto-dollars for one answer; None when something that was used has no known price."""
        levels = self.services.get(service) or self.services["prices"]
        level = levels[0]
        if len(levels) > 1:
            for other in levels[1:]:
                if usage.input_total > other.above_input_tokens:
                    level = other
        if usage.uncounted:
            return _flat_cost(level)
        cost = _main_cost(usage, level)
        if cost is None or not usage.web_searches:
            return cost
        if level.web_search is None:
            return cost if _is_free(level) else None
        return cost + usage.web_searches * level.web_search


def _main_cost(usage: Usage, level: _Level) -> int | None:
    """What everything but searches of the web cost."""
    if usage.search_units is not None and level.request is not None:
        return int(usage.search_units * level.request)
    if usage.audio_s is None and usage.images is None and usage.characters is None and usage.search_units is None:
        return _token_cost(usage, level)
    if usage.input_total or usage.output_total:
        # Tokens that the vendor counted are what it charges, where it has a price for them.
        cost = _token_cost(usage, level)
        if cost is not None:
            return cost
    for count, price in (
        (usage.audio_s, level.audio_s),
        (usage.images, level.image),
        (usage.characters, level.character),
    ):
        if count is not None and price is not None:
            return int(count * price) + (level.request or 0)
    return _flat_cost(level)


def _flat_cost(level: _Level) -> int | None:
    """What a request costs however much it used; None where that is not known."""
    if level.request is not None and level.input is None and level.output is None:
        return level.request
    return 0 if _is_free(level) else None


def _is_free(level: _Level) -> bool:
    """Whether the row says that the model costs nothing: then neither does what it has no price for."""
    return level.input == 0 and level.output == 0


def _token_cost(usage: Usage, level: _Level) -> int | None:
    if not (
        usage.input_cached_read
        or usage.input_cache_write
        or usage.input_audio
        or usage.input_image
        or usage.output_reasoning
        or usage.output_audio
        or usage.output_image
    ):
        return _plain_cost(usage, level)
    short_lived = usage.input_cache_write - usage.input_cache_write_1h
    # Cached tokens of sound and pictures are told twice, and charged once. Where the provider does not tell how many
    # those are, they are what does not fit beside the cache.
    uncached = max(usage.input_total - usage.input_cached_read - usage.input_cache_write, 0)
    audio = min(usage.fresh_audio, uncached)
    image = min(usage.fresh_image, uncached - audio)
    plain_output = usage.output_total - usage.output_reasoning - usage.output_audio - usage.output_image
    total = level.request or 0
    for count, price in (
        (usage.input_cached_read, level.input_cached_read),
        (short_lived, level.input_cache_write),
        (usage.input_cache_write_1h, level.input_cache_write_1h),
        (audio, level.input_audio),
        (image, level.input_image),
        (uncached - audio - image, level.input),
        (max(plain_output, 0), level.output),
        (usage.output_reasoning, level.output_reasoning),
        (usage.output_audio, level.output_audio),
        (usage.output_image, level.output_image),
    ):
        if count:
            if price is None:
                return None
            total += count * price
    return total


def _plain_cost(usage: Usage, level: _Level) -> int | None:
    """Nearly all answers: text in, text out."""
    total = level.request or 0
    if usage.input_total:
        if level.input is None:
            return None
        total += usage.input_total * level.input
    if usage.output_total:
        if level.output is None:
            return None
        total += usage.output_total * level.output
    return total


def compile_pricing(facts: ModelFacts) -> Pricing | None:
    """The prices of a row (already those of the day, see `catalogue.on_day`); None when it has none."""
    if facts.prices is None:
        return None
    services = {"prices": _levels([facts.prices])}
    for service in ("batch", "flex", "priority"):
        own: Prices | None = getattr(facts, service)
        if own is not None:
            services[service] = _levels([facts.prices, own])
    return Pricing(facts.price_version, services, _plain_prices(services["prices"]))


def _plain_prices(levels: tuple[_Level, ...]) -> tuple[int, int] | None:
    level = levels[0]
    if len(levels) > 1 or level.request or level.input is None or level.output is None:
        return None
    return level.input, level.output


def _levels(lists: list[Prices]) -> tuple[_Level, ...]:
    """The levels of a service: at each step of any list, what the lists say, then what their reached steps say."""
    starts = sorted({step.above_input_tokens for prices in lists for step in prices.steps})
    levels = []
    for start in (0, *starts):
        rates: list[Rates] = list(lists)
        rates += [step for prices in lists for step in prices.steps if start and step.above_input_tokens <= start]
        levels.append(_level(start, rates))
    return tuple(levels)


def _level(start: int, rates: list[Rates]) -> _Level:
    said: dict[str, str] = {}
    for each in rates:
        said |= {name: value for name in Rates.__struct_fields__ if (value := getattr(each, name)) is not None}
    prices = {name: int(Decimal(value).scaleb(_PER_MILLION)) for name, value in said.items()}
    for name, other in _INHERITED.items():
        if name not in prices and other in prices:
            prices[name] = prices[other]
    hour = said.get("input_audio_hour")
    return _Level(
        above_input_tokens=start,
        audio_s=None if hour is None else int(Decimal(hour).scaleb(FEMTO_DIGITS) / 3600),
        character=prices.get("input_characters"),
        **{name: int(Decimal(said[name]).scaleb(FEMTO_DIGITS)) if name in said else None for name in _PER_PIECE},
        **{name: prices.get(name) for name in _PER_TOKEN},
    )


_PER_PIECE: Final = ("image", "request", "web_search")
_PER_TOKEN: Final = ("input", "output", *_INHERITED)
