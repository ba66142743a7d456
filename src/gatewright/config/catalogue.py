"""What is known about the vendors' models: limits, abilities and prices, one row for each.

A row's key is `<provider type>/<the provider's own model name>`; a name that ends in `*` stands for every name that
begins so. The packaged rows and the operator's own have the same form. A model that no row describes is *unknown*, and
so is every field that a row does not give: nobody may take it for 0, for free or for unlimited.

Prices are exact decimals, written as text in US dollars as the vendors publish them. They are never floats.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from gatewright.config.problems import ConfigError
from gatewright.config.tree import join

OWN_SOURCE: Final = "configuration"
"""The source of a row that an operator wrote without naming one."""
MAX_NAME_CHARACTERS: Final = 256
"""A longer model name is unknown; clients choose names where a pattern is published."""

Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Day = Annotated[
    str, Meta(pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$", description='a date such as "2026-11-21"')
]
Usd = Annotated[
    str, Meta(pattern=r"^\d{1,6}(\.\d{1,9})?$", description='a price in US dollars as a decimal, such as "2.50"')
]
Key = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9_]+/([^*]+\*?|\*)$",
        max_length=MAX_NAME_CHARACTERS,
        description="`<provider type>/<model name>`, such as `openai/gpt-4.1`",
    ),
]
Kind = Literal[
    "chat", "completion", "embedding", "image", "transcription", "speech", "realtime", "rerank", "moderation"
]
Modality = Literal["text", "image", "audio", "video", "pdf"]
Capability = Literal[
    "tools",
    "parallel_tools",
    "tool_choice",
    "json_schema",
    "reasoning",
    "prompt_cache",
    "system_messages",
    "prefill",
    "web_search",
    "computer_use",
]


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is charged: US dollars per million tokens, where nothing else is said."""

    input: Usd | None = None
    """A million input tokens; without it the price of input is unknown."""
    input_cached_read: Usd | None = None
    """Those read from a prompt cache; without it as `input`."""
    input_cache_write: Usd | None = None
    """Those written to a prompt cache for minutes; without it as `input`."""
    input_cache_write_1h: Usd | None = None
    """Those written to a prompt cache for an hour; without it as `input_cache_write`."""
    input_audio: Usd | None = None
    """Audio tokens; without it as `input`."""
    input_image: Usd | None = None
    """Image tokens; without it as `input`."""
    output: Usd | None = None
    """A million output tokens; without it the price of output is unknown, but for models that give no tokens."""
    output_reasoning: Usd | None = None
    """Reasoning tokens; without it as `output`."""
    output_audio: Usd | None = None
    """Audio tokens; without it as `output`."""
    output_image: Usd | None = None
    """Image tokens; without it as `output`."""
    input_characters: Usd | None = None
    """A million characters to be spoken, where a vendor does not count tokens."""
    input_audio_hour: Usd | None = None
    """An hour of audio to be transcribed, where a vendor does not count tokens."""
    image: Usd | None = None
    """One image that is made, of the usual size and quality, where a vendor does not count tokens."""
    request: Usd | None = None
    """One request, besides its tokens; for rerankers one query."""
    web_search: Usd | None = None
    """One search of the web by the vendor's own tool."""


class Step(Rates, frozen=True, kw_only=True):
    """Prices that hold for the whole of a request with a long input; what it does not name stays."""

    above_input_tokens: Count
    """The step applies when the input, cached tokens included, has more tokens than this."""


class Prices(Rates, frozen=True, kw_only=True):
    """A price list: what is charged, and beyond which length of the input it is charged otherwise.

    The prices of a request are those of `prices`, then of its service's list, then of the step of `prices` it reaches,
    then of the step of the service's list, each replacing what it names.
    """

    steps: tuple[Step, ...] = ()
    """Prices of long inputs, shortest first; of those that apply the last one counts."""


class PriceLists(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What each service of a vendor costs for one model."""

    prices: Prices | None = None
    """What the vendor's usual service costs."""
    batch: Prices | None = None
    """What the batch API costs, where that differs from `prices`."""
    flex: Prices | None = None
    """What the slower, cheaper service costs, where that differs from `prices`."""
    priority: Prices | None = None
    """What the faster, dearer service costs, where that differs from `prices`."""


class PriceChange(PriceLists, frozen=True, kw_only=True):
    """Price lists that hold from a later day on; one that is not given stays as it was."""

    from_day: Day
    """The first day of the new prices."""


class ModelFacts(PriceLists, frozen=True, kw_only=True):
    """One row of the catalogue. A field without a value is unknown."""

    like: Key | None = None
    """Key of the packaged row that fills in what this one does not say; default is the one that fits its own key."""
    kind: Kind | None = None
    """What the model is for."""
    context_tokens: Count | None = None
    """Tokens a request may hold with its answer, or, where the vendor limits the two apart, without it."""
    max_output_tokens: Count | None = None
    """Tokens of the longest answer."""
    input_modalities: tuple[Modality, ...] | None = None
    """What it takes."""
    output_modalities: tuple[Modality, ...] | None = None
    """What it gives; embeddings, ranks and verdicts are none of these."""
    capabilities: tuple[Capability, ...] | None = None
    """What it can do, as the source tells; that something is not listed proves nothing."""
    vector_size: Count | None = None
    """Numbers in an embedding, where the request does not ask for fewer."""
    retires_on: Day | None = None
    """The day on which the vendor switches it off."""
    changes: tuple[PriceChange, ...] = ()
    """Prices that the vendor has promised for later days, the earliest first."""
    source: str | None = None
    """Where the row is from; of a row in your configuration the default is `configuration`."""
    as_of: Day | None = None
    """The day on which the source said so."""

    @property
    def price_version(self) -> str:
        """Names these prices in the ledger: equal prices have equal versions, whatever else the row says."""
        return sha256(_encoder.encode([getattr(self, name) for name in PRICE_LISTS])).hexdigest()[:12]


Catalogue = Mapping[str, ModelFacts]
PRICE_LISTS: Final = PriceLists.__struct_fields__


def parse_catalogue(data: bytes) -> dict[str, ModelFacts]:
    """The rows of a JSON object, by key. Raises msgspec.DecodeError, whose message says where."""
    return _decoder.decode(data)


def find(rows: Catalogue, provider_type: str, model: str) -> ModelFacts | None:
    """What is known about a provider's model; None is unknown, which is neither free nor unlimited."""
    key = find_key(rows, provider_type, model)
    return None if key is None else rows[key]


def find_key(rows: Catalogue, provider_type: str, model: str) -> str | None:
    """Key of the row for a model, by its name as called, then by the plainer names that stand for the same model.

    A path before the name, a version or date behind it and a region are left out one after another, so that a dated
    name without a row of its own is described by its family's. Other endings (`:free`) name another offer and stay.
    Last come rows that end in `*`, the longest first.
    """
    if len(model) > MAX_NAME_CHARACTERS:
        return None
    for name in _spellings(model):
        key = f"{provider_type}/{name}"
        if key in rows:
            return key
    wanted = f"{provider_type}/{model}"
    for end in range(len(wanted), len(provider_type), -1):
        key = wanted[:end] + "*"
        if key in rows:
            return key
    return None


def on_day(facts: ModelFacts, day: str) -> ModelFacts:
    """The facts with the prices of a day, given as `2026-11-21`: changes up to it have happened."""
    lists: dict[str, Prices] = {}
    for change in facts.changes:
        if change.from_day <= day:
            lists |= {name: new for name in PRICE_LISTS if (new := getattr(change, name)) is not None}
    return msgspec.structs.replace(facts, **lists) if lists else facts


def merge(packaged: Catalogue, own: Catalogue, errors: list[ConfigError]) -> dict[str, ModelFacts]:
    """The packaged rows with an operator's. What a row of theirs says replaces what the packaged one says.

    A price list is replaced as a whole, and with one of theirs the vendor's changes no longer matter; the row's source
    is theirs too. A row that is `like` none is added to `errors`.
    """
    merged = dict(packaged)
    for key, row in own.items():
        if row.like is not None and row.like not in packaged:
            path = f"{join('catalogue', key)}.like"
            errors.append(ConfigError(path, f"the catalogue has no row `{row.like}`; the reference lists its rows"))
            continue
        base = row.like or find_key(packaged, *key.split("/", 1))
        merged[key] = _filled(row, None if base is None else packaged[base])
    return merged


def _filled(row: ModelFacts, base: ModelFacts | None) -> ModelFacts:
    said = {name: value for name in row.__struct_fields__ if (value := getattr(row, name)) is not None}
    if not row.changes and said.keys().isdisjoint(PRICE_LISTS):
        del said["changes"]
    said |= {"like": None, "source": row.source or OWN_SOURCE, "as_of": row.as_of}
    return msgspec.structs.replace(base or ModelFacts(), **said)


_PATH: Final = re.compile(r"^(?:models|publishers/[^/]+/models|(?:arn:|projects/).*)/(?=[^/]+$)")
"""How Google's and AWS's APIs write a model as a resource."""
_REGION: Final = re.compile(r"^(?:us-gov|us|eu|apac|ap|jp|au|ca|sa|uk|amer|global)\.(?=[a-z0-9]+\.)")
"""AWS's inference profiles: `us.anthropic.claude-…` is `anthropic.claude-…` called in some regions."""
_TUNED: Final = re.compile(r"(ft:[^:]+):.*")
"""OpenAI's fine-tuned models: `ft:<model>:<organisation>:<name>:<id>`."""
_ENDINGS: Final = (
    re.compile(r"-v\d+(?::\d+)?$"),
    re.compile(r"[-@](?:20\d\d-[01]\d-[0-3]\d|20\d\d[01]\d[0-3]\d|latest|default|00\d)$"),
)
"""Versions and dates, in the order in which they are left out."""


def _spellings(model: str) -> Iterator[str]:
    """The name, then plainer ones; some come twice."""
    plain = _PATH.sub("", model, count=1) if "/" in model else model
    tuned = _TUNED.fullmatch(plain)
    for name in (model, tuned[1] if tuned else plain, _REGION.sub("", plain, count=1)):
        yield name
        for ending in _ENDINGS:
            name = ending.sub("", name)
            yield name


_decoder: Final = msgspec.json.Decoder(dict[str, ModelFacts])
_encoder: Final = msgspec.json.Encoder()
