"""The rows that come with the gateway, and how a model finds its row."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from typing import Any, get_args

import msgspec
import pytest

from gatewright.config.catalogue import (
    MAX_NAME_CHARACTERS,
    OWN_SOURCE,
    PRICE_LISTS,
    Kind,
    ModelFacts,
    PriceChange,
    PriceLists,
    Prices,
    Rates,
    Step,
    find,
    find_key,
    merge,
    on_day,
    parse_catalogue,
)
from gatewright.config.check import convert
from gatewright.config.documents import Gateway
from gatewright.config.field_docs import field_docs, summary
from gatewright.config.problems import ConfigError
from gatewright.core.usage import Usage

DATA = files("gatewright.config").joinpath("catalogue.json").read_bytes()
ROWS = parse_catalogue(DATA)
FREE = {"gemini/gemma-3-27b-it", "gemini/gemma-4-26b-a4b-it", "gemini/gemma-4-31b-it", "local/*", "ollama/*"}
FREE_KINDS = {"moderation"}


def lists(row: ModelFacts) -> Iterator[tuple[str, Prices]]:
    for when, holder in (("now", row), *((change.from_day, change) for change in row.changes)):
        for name in PRICE_LISTS:
            if (prices := getattr(holder, name)) is not None:
                yield f"{name} {when}", prices


def charged(rates: Rates) -> dict[str, Decimal]:
    return {name: Decimal(value) for name in Rates.__struct_fields__ if (value := getattr(rates, name)) is not None}


def test_the_file_is_an_object_of_one_row_a_line_in_order_and_no_key_is_twice() -> None:
    lines = DATA.decode().splitlines()
    assert (lines[0], lines[-1]) == ("{", "}")
    keys = [json.loads("{" + line.rstrip(",") + "}").popitem()[0] for line in lines[1:-1]]
    assert keys == sorted(set(keys))
    assert keys == list(ROWS)


def test_the_file_is_small_enough_to_be_read_at_every_start() -> None:
    assert len(ROWS) >= 500
    assert len(DATA) < 500_000


def test_the_rows_are_what_an_operator_could_have_written() -> None:
    document, errors = convert({"catalogue": json.loads(DATA)}, Gateway)
    assert errors == []
    assert document is not None
    assert document.catalogue == ROWS


def test_every_row_says_where_it_is_from_and_when_that_was_read() -> None:
    assert [key for key, row in ROWS.items() if not row.source or not row.as_of] == []
    assert [key for key, row in ROWS.items() if row.like] == []


def test_no_row_is_of_a_model_that_was_off_when_it_was_read() -> None:
    assert [key for key, row in ROWS.items() if row.retires_on and row.as_of and row.retires_on < row.as_of] == []


@pytest.mark.parametrize(
    "vendor",
    [
        *(
            "openai",
            "azure",
            "anthropic",
            "gemini",
            "vertex",
            "bedrock",
            "xai",
            "mistral",
            "cohere",
            "groq",
            "deepseek",
        ),
        *("together", "fireworks", "perplexity", "cerebras", "moonshot", "zai", "qwen"),
    ],
)
def test_vendors_have_priced_rows(vendor: str) -> None:
    rows = [row for key, row in ROWS.items() if key.startswith(f"{vendor}/")]
    assert sum(row.prices is not None for row in rows) >= max(3, 0.8 * len(rows))


def test_every_kind_of_model_occurs() -> None:
    assert {row.kind for row in ROWS.values()} == {*get_args(Kind), None}


def test_no_price_is_negative_and_only_what_is_free_costs_nothing() -> None:
    free = set()
    for key, row in ROWS.items():
        for name, prices in lists(row):
            for rates in (prices, *prices.steps):
                amounts = charged(rates)
                assert amounts, (key, name)
                assert min(amounts.values()) >= 0, (key, name)
                if max(amounts.values()) == 0 and row.kind not in FREE_KINDS:
                    free.add(key)
    assert free == FREE


def test_chat_models_have_both_prices_or_none() -> None:
    for key, row in ROWS.items():
        if row.kind == "chat" and row.prices is not None:
            assert (row.prices.input is not None and row.prices.output is not None) or row.prices.request, key


def test_reading_a_cache_is_never_dearer_and_writing_one_never_cheaper_than_input() -> None:
    for key, row in ROWS.items():
        for name, prices in lists(row):
            for rates in (prices, *prices.steps):
                amounts = charged(prices) | charged(rates)
                if "input" not in amounts:
                    continue
                where = (key, name)
                assert amounts.get("input_cached_read", Decimal(0)) <= amounts["input"], where
                assert amounts.get("input_cache_write", amounts["input"]) >= amounts["input"], where
                assert amounts.get("input_cache_write_1h", amounts["input"]) >= amounts["input"], where


def test_batch_and_flex_are_never_dearer_than_the_usual_service() -> None:
    for key, row in ROWS.items():
        for service in (row.batch, row.flex):
            if service is not None and row.prices is not None:
                usual = charged(row.prices)
                assert all(price <= usual[name] for name, price in charged(service).items() if name in usual), key


def test_changes_are_in_order_and_still_to_come() -> None:
    assert any(row.changes for row in ROWS.values())
    for key, row in ROWS.items():
        days = [change.from_day for change in row.changes]
        assert days == sorted(set(days)), key
        assert all(row.as_of is not None and day > row.as_of for day in days), key


def test_steps_get_longer_and_dearer() -> None:
    for key, row in ROWS.items():
        for name, prices in lists(row):
            lengths = [step.above_input_tokens for step in prices.steps]
            assert lengths == sorted(set(lengths)), (key, name)
            inputs = [Decimal(rates.input) for rates in (prices, *prices.steps) if rates.input is not None]
            assert inputs == sorted(inputs), (key, name)


PUBLISHED: list[tuple[str, dict[str, str], tuple[int, dict[str, str]] | None]] = [
    # What the vendors publish, written here by hand: a slip in the file must not pass for a price.
    ("openai/gpt-4o", {"input": "2.5", "input_cached_read": "1.25", "output": "10"}, None),
    ("openai/gpt-4.1-mini", {"input": "0.4", "input_cached_read": "0.1", "output": "1.6"}, None),
    ("openai/gpt-5.4", {"input": "2.5", "output": "15"}, (272_000, {"input": "5", "output": "22.5"})),
    ("openai/gpt-5.6-terra", {"input": "2", "output": "12"}, (272_000, {"input": "4", "output": "18"})),
    ("openai/gpt-6-luna", {"input": "0.1", "input_cached_read": "0.01", "input_cache_write": "0.125"}, None),
    ("openai/whisper-1", {"input_audio_hour": "0.36"}, None),
    ("anthropic/claude-opus-4-8", {"input": "5", "input_cache_write": "6.25", "input_cache_write_1h": "10"}, None),
    ("anthropic/claude-fable-5-1", {"input": "10", "input_cached_read": "0.25", "output": "50"}, None),
    ("anthropic/claude-haiku-5-5", {"input": "0.1", "output": "0.5"}, (100_000, {"input": "0.5", "output": "2.5"})),
    ("anthropic/claude-sonnet-4-6", {"input": "3", "input_cached_read": "0.3", "output": "15"}, None),
    ("gemini/gemini-3.1-pro-preview", {"input": "2", "output": "12"}, (200_000, {"input": "4", "output": "18"})),
    ("gemini/gemini-3.8-flash", {"input": "0.75", "input_cached_read": "0.075", "output": "3.75"}, None),
    ("xai/grok-4.6", {"input": "2", "input_cached_read": "0.5"}, (199_999, {"input": "4", "output": "12"})),
    ("mistral/mistral-medium-3-5", {"input": "1.5", "output": "7.5"}, None),
    ("mistral/mistral-large-4", {"input": "1.36", "output": "4.18"}, None),
    ("cohere/command-r7b-12-2024", {"input": "0.0375", "output": "0.15"}, None),
    ("cohere/rerank-v4.0-pro", {"input": "0", "request": "0.0025"}, None),
    ("deepseek/deepseek-v4-pro", {"input": "1.32", "input_cached_read": "0.044", "output": "3.96"}, None),
    ("deepseek/deepseek-flash", {"input": "0.3", "input_cached_read": "0.006", "output": "1.2"}, None),
]


@pytest.mark.parametrize(("key", "usual", "long"), PUBLISHED)
def test_prices_are_those_of_the_vendor(
    key: str, usual: dict[str, str], long: tuple[int, dict[str, str]] | None
) -> None:
    row = find(ROWS, *key.split("/", 1))
    assert row is not None
    assert row.prices is not None
    assert {name: getattr(row.prices, name) for name in usual} == usual
    if long is None:
        return
    step = row.prices.steps[0]
    assert (step.above_input_tokens, {name: getattr(step, name) for name in long[1]}) == long


@pytest.mark.parametrize(("day", "price"), [("2026-11-30", "2"), ("2026-12-01", "4"), ("2030-01-01", "4")])
def test_a_promised_price_holds_from_its_day_on(day: str, price: str) -> None:
    row = on_day(ROWS["gemini/gemini-4-argon"], day)
    assert row.prices is not None
    assert row.prices.input == price


def test_prices_have_the_names_of_what_is_counted() -> None:
    otherwise = {
        "audio_s": "input_audio_hour",
        "search_units": "request",
        "images": "image",
        "characters": "input_characters",
        "web_searches": "web_search",
        "input_cached_audio": "input_cached_read",
        "input_cached_image": "input_cached_read",
        "service": None,
        "estimated": None,
        "uncounted": None,
    }
    assert {name for name in otherwise.values() if name} <= set(Rates.__struct_fields__)
    counts = {name.removesuffix("_total") for name in Usage.__dataclass_fields__ if name not in otherwise}
    assert counts <= set(Rates.__struct_fields__)


# -- finding a row ----------------------------------------------------------------------------------------------------

SMALL = {
    key: ModelFacts(source=key)
    for key in (
        *("openai/gpt-4o", "openai/gpt-4o-2024-05-13", "openai/ft:gpt-4o-2024-08-06", "openai/gpt-5*", "openai/*"),
        *("anthropic/claude-sonnet-4-5", "vertex/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "gemini/x-latest"),
        *(
            "bedrock/anthropic.claude-sonnet-4-5",
            "bedrock/us.anthropic.claude-opus-5",
            "bedrock/anthropic.claude-opus-5",
        ),
        *("fireworks/accounts/fireworks/models/kimi-k3", "openrouter/x/y", "openrouter/x/z:free"),
    )
}


@pytest.mark.parametrize(
    ("provider_type", "model", "key"),
    [
        ("openai", "gpt-4o", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-05-13", "openai/gpt-4o-2024-05-13"),
        ("openai", "gpt-4o-2024-11-20", "openai/gpt-4o"),
        ("openai", "gpt-4o-latest", "openai/gpt-4o"),
        ("openai", "ft:gpt-4o-2024-08-06:acme::abc123", "openai/ft:gpt-4o-2024-08-06"),
        ("openai", "gpt-5-nano", "openai/gpt-5*"),
        ("openai", "gpt-4o-mini", "openai/*"),
        ("openai", "", "openai/*"),
        ("anthropic", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("anthropic", "claude-sonnet-4-5-19990101", None),
        ("anthropic", "claude-sonnet-4", None),
        ("anthropic", "claude-sonnet-4-5x", None),
        ("anthropic", "Claude-Sonnet-4-5", None),
        ("vertex", "claude-sonnet-4-5@20250929", "vertex/claude-sonnet-4-5"),
        ("vertex", "claude-sonnet-4-5@default", "vertex/claude-sonnet-4-5"),
        ("vertex", "publishers/anthropic/models/claude-sonnet-4-5@20250929", "vertex/claude-sonnet-4-5"),
        (
            "vertex",
            "projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5",
            "vertex/claude-sonnet-4-5",
        ),
        ("gemini", "models/gemini-2.5-flash", "gemini/gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-001", "gemini/gemini-2.5-flash"),
        ("gemini", "tunedModels/gemini-2.5-flash", None),
        ("gemini", "x-latest", "gemini/x-latest"),
        ("gemini", "x", None),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock/anthropic.claude-sonnet-4-5"),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock/anthropic.claude-sonnet-4-5"),
        ("bedrock", "us-gov.anthropic.claude-sonnet-4-5", "bedrock/anthropic.claude-sonnet-4-5"),
        ("bedrock", "us.anthropic.claude-opus-5-20260101-v1:0", "bedrock/us.anthropic.claude-opus-5"),
        ("bedrock", "mars.anthropic.claude-sonnet-4-5", None),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-5",
            "bedrock/us.anthropic.claude-opus-5",
        ),
        ("fireworks", "accounts/fireworks/models/kimi-k3", "fireworks/accounts/fireworks/models/kimi-k3"),
        ("fireworks", "accounts/acme/models/kimi-k3", None),
        ("openrouter", "x/y", "openrouter/x/y"),
        ("openrouter", "x/y:free", None),
        ("openrouter", "x/z:free", "openrouter/x/z:free"),
        ("openrouter", "x/z", None),
        ("azure", "gpt-4o", None),
        ("", "", None),
        ("openai", "gpt-5" + "x" * MAX_NAME_CHARACTERS, None),
    ],
)
def test_a_model_finds_its_row_or_is_unknown(provider_type: str, model: str, key: str | None) -> None:
    assert find_key(SMALL, provider_type, model) == key
    assert find(SMALL, provider_type, model) == (None if key is None else SMALL[key])


def test_every_packaged_row_finds_itself() -> None:
    assert [key for key in ROWS if find_key(ROWS, *key.split("/", 1)) != key] == []


# -- an operator's rows -----------------------------------------------------------------------------------------------

PACKAGED = {
    "openai/gpt-4o": ModelFacts(
        kind="chat",
        context_tokens=128_000,
        prices=Prices(input="2.5", output="10", steps=(Step(above_input_tokens=9, input="3"),)),
        batch=Prices(input="1.25"),
        source="the vendor",
        as_of="2026-11-21",
    ),
    "gemini/x": ModelFacts(
        prices=Prices(input="2"),
        changes=(PriceChange(from_day="2027-01-01", prices=Prices(input="4")),),
        source="the vendor",
        as_of="2026-11-21",
    ),
    "azure/gpt-4o": ModelFacts(context_tokens=5, source="the other vendor", as_of="2026-11-21"),
}


@pytest.mark.parametrize(
    ("key", "row", "expected"),
    [
        (
            "openai/gpt-4o",
            ModelFacts(prices=Prices(input="2")),
            ModelFacts(
                kind="chat",
                context_tokens=128_000,
                prices=Prices(input="2"),
                batch=Prices(input="1.25"),
                source=OWN_SOURCE,
            ),
        ),
        (
            "openai/gpt-4o-2024-11-20",
            ModelFacts(context_tokens=7, source="our contract", as_of="2026-01-01"),
            msgspec.structs.replace(
                PACKAGED["openai/gpt-4o"], context_tokens=7, source="our contract", as_of="2026-01-01"
            ),
        ),
        (
            "azure/our-deployment",
            ModelFacts(like="openai/gpt-4o", capabilities=()),
            msgspec.structs.replace(PACKAGED["openai/gpt-4o"], capabilities=(), source=OWN_SOURCE, as_of=None),
        ),
        (
            "gemini/x",
            ModelFacts(context_tokens=1),
            msgspec.structs.replace(PACKAGED["gemini/x"], context_tokens=1, source=OWN_SOURCE, as_of=None),
        ),
        (
            "gemini/x",
            ModelFacts(batch=Prices(input="1")),
            ModelFacts(prices=Prices(input="2"), batch=Prices(input="1"), source=OWN_SOURCE),
        ),
        (
            "gemini/x",
            ModelFacts(changes=(PriceChange(from_day="2027-05-05", prices=Prices(input="1")),)),
            ModelFacts(
                prices=Prices(input="2"),
                changes=(PriceChange(from_day="2027-05-05", prices=Prices(input="1")),),
                source=OWN_SOURCE,
            ),
        ),
        ("mine/*", ModelFacts(prices=Prices(input="0")), ModelFacts(prices=Prices(input="0"), source=OWN_SOURCE)),
    ],
)
def test_what_an_own_row_says_replaces_what_the_packaged_one_says(
    key: str, row: ModelFacts, expected: ModelFacts
) -> None:
    errors: list[ConfigError] = []
    merged = merge(PACKAGED, {key: row}, errors)
    assert errors == []
    assert merged[key] == expected
    assert {other: merged[other] for other in PACKAGED if other != key} == {
        other: facts for other, facts in PACKAGED.items() if other != key
    }


def test_a_row_like_none_is_an_error_at_its_place() -> None:
    errors: list[ConfigError] = []
    assert merge(PACKAGED, {"azure/x": ModelFacts(like="openai/gpt-9")}, errors) == PACKAGED
    assert [error.path for error in errors] == ["catalogue.azure/x.like"]
    assert "no row `openai/gpt-9`" in errors[0].message


def test_changes_happen_in_order_and_leave_the_other_lists() -> None:
    first = PriceChange(from_day="2027-01-01", prices=Prices(input="4"))
    second = PriceChange(from_day="2027-02-01", prices=Prices(input="5"), flex=Prices(input="3"))
    row = ModelFacts(prices=Prices(input="2"), batch=Prices(input="1"), changes=(first, second))
    days = ("2026-12-31", "2027-01-01", "2027-01-31", "2027-02-01")
    assert [on_day(row, day).prices for day in days] == [Prices(input=price) for price in ("2", "4", "4", "5")]
    assert [on_day(row, day).flex for day in days] == [None, None, None, Prices(input="3")]
    assert {on_day(row, day).batch for day in days} == {row.batch}
    assert on_day(row, days[0]) is row


# -- the form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "row", "path", "words"),
    [
        ("a/b", {"prices": {"input": 2.5}}, "catalogue.a/b.prices.input", "put it in quotes"),
        ("a/b", {"prices": {"input": "-1"}}, "catalogue.a/b.prices.input", "a price in US dollars"),
        ("a/b", {"prices": {"input": "1e-6"}}, "catalogue.a/b.prices.input", "a price in US dollars"),
        ("a/b", {"prices": {"input": "$2"}}, "catalogue.a/b.prices.input", "a price in US dollars"),
        ("a/b", {"prices": {"inptu": "2"}}, "catalogue.a/b.prices.inptu", "did you mean `input`?"),
        ("a/b", {"prices": {"steps": [{"input": "2"}]}}, "catalogue.a/b.prices.steps[0]", "above_input_tokens"),
        ("a/b", {"context_tokens": 0}, "catalogue.a/b.context_tokens", "between 1 and"),
        ("a/b", {"capabilities": ["tool"]}, "catalogue.a/b.capabilities[0]", "did you mean `tools`?"),
        ("a/b", {"changes": [{"prices": {}}]}, "catalogue.a/b.changes[0]", "`from_day` is missing"),
        ("a/b", {"retires_on": "tomorrow"}, "catalogue.a/b.retires_on", "a date such as"),
        ("gpt-4o", {}, "catalogue.gpt-4o", "`<provider type>/<model name>`"),
        ("a/", {}, "catalogue.a/", "`<provider type>/<model name>`"),
        ("a/*b", {}, "catalogue.a/*b", "`<provider type>/<model name>`"),
    ],
)
def test_what_is_wrong_with_a_row_is_told_at_its_place(key: str, row: dict[str, Any], path: str, words: str) -> None:
    _, errors = convert({"catalogue": {key: row}}, Gateway)
    assert [error.path for error in errors] == [path]
    assert words in errors[0].message


def test_the_price_version_changes_with_the_prices_only() -> None:
    row = PACKAGED["openai/gpt-4o"]
    other = msgspec.structs.replace(row, context_tokens=1, source="x", as_of=None)
    assert other.price_version == row.price_version
    dearer = [
        msgspec.structs.replace(row, prices=Prices(input="2.6", output="10")),
        msgspec.structs.replace(row, batch=None),
        msgspec.structs.replace(row, batch=None, flex=row.batch),
    ]
    versions = {one.price_version for one in (row, *dearer)}
    assert len(versions) == 4
    assert all(len(version) == 12 for version in versions)


@pytest.mark.parametrize("struct", [Rates, Step, Prices, PriceLists, PriceChange, ModelFacts])
def test_every_section_and_field_says_what_it_is(struct: type[msgspec.Struct]) -> None:
    assert summary(struct)
    assert set(field_docs(struct)) == set(struct.__struct_fields__)


def test_a_broken_file_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError, match=r"\$\[\.\.\.\]"):
        parse_catalogue(b'{"a/b": {"prices": {"input": 2.5}}}')
