"""Writes the pages of `docs/reference/` from the code they describe.

    python docs/generate.py            write them
    python docs/generate.py --check    exit 1 when a page is not what it would write

The pages are under version control, so that a reader of the repository has them, and a change of a setting, an error or
a command shows in its own diff. A test keeps them current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import admin_api
import msgspec
import provider_tables
import typer
from msgspec import Struct
from msgspec import inspect as mi
from support_table import INTRODUCTION, chat_dialects, support_rows

from gatewright.cli.catalogue import packaged_catalogue
from gatewright.cli.main import HELP, build_app
from gatewright.config.catalogue import ModelFacts, Rates
from gatewright.config.documents import Gateway, Policy, ProviderConfig
from gatewright.config.field_docs import field_docs, summary
from gatewright.control.health import Process, Readiness, Workers
from gatewright.core.errors import KINDS, Kind, Retry
from gatewright.core.secret import Secret
from gatewright.dialects import DIALECTS
from gatewright.filters import FILTERS
from gatewright.providers import PROVIDERS
from gatewright.server.routes import LISTINGS, ROUTES, Route
from gatewright.telemetry import names
from gatewright.telemetry.access_line import AccessLine

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "docs/reference"
README: Final = ROOT / "README.md"
BENCHMARK: Final = ROOT / "bench/results/table.md"
NOTICE: Final = "<!-- Written by docs/generate.py from the code; `make docs-pages` writes it anew. -->\n"

INTRODUCTIONS: Final = {
    "configuration": """\
# Configuration

One YAML or JSON file, or a folder of them, merged in the order of their names. Everything wrong is reported at once,
with its path and line; unknown settings are errors. `gatewright schema` prints the JSON Schema, from which editors
complete. How providers of each type differ is in [Providers](providers.md), what a policy may hold in
[Filters](filters.md).

A *secret* is best written as a reference: `${env:NAME}` takes it from the environment, `${file:/path}` from a file (a
final line break is dropped). References work in any text; `$${` writes a literal `${`.
""",
    "providers": """\
# Providers

What `type` may be under `providers`. Where no configuration file is given, `gatewright serve` makes a provider of every
type whose environment variable is set.

There are types with code of their own, and [compatible hosts](#compatible-hosts), which speak OpenAI's API with small
differences. *Speaks* names the APIs between which the gateway translates: a client that speaks one of them is passed
through, any other is translated to the first of its family ([Translation](../explanation/translation.md)). *Passes
through* names those that are served only where the provider speaks them; `files` and `batches` need `share_account`.
""",
    "hosts": """\
## Compatible hosts

Hosts and servers that speak OpenAI's API. They have no settings of their own; `url` replaces the base URL of the table.
Those without an environment variable need `key` in the configuration where the host asks for one. A host that is not
here is of type `openai_compatible`.
""",
    "host_differences": """\
### What is different there

Top-level members of requests are renamed or left out where the host would refuse or misread them, also for clients that
are passed through. What is left out is told in `x-gatewright-loss`. *The usual* is what most hosts do not take:
{usual}.
""",
    "filters": """\
# Filters

What `filter` may be under `policies`. A policy applies to every exchange on every surface that its `on` selects; within
a phase filters run in the order of the policies.
""",
    "surfaces": """\
# Surfaces

The paths that clients call on the data-plane listener. Every surface takes the same way through the gateway, so no path
escapes a policy. The dialect is the API that is spoken there, errors included.
""",
    "headers": """\
## Headers of the gateway

| header | in | meaning |
| --- | --- | --- |
| `x-request-id` | requests, answers | the exchange's id; a client may give its own. It is logged and sent upstream |
| `server-timing` | answers | what the gateway itself took, and what the provider did |
| `x-gatewright-loss` | answers | what could not be carried over exactly, as `feature=outcome` |
| `x-gatewright-estimated` | answers | `true` when a count of tokens is the gateway's estimate |
| `x-gatewright-model` | requests | the model, where the body names none (files, batches, some forms) |

The last three are explained in [Translation](../explanation/translation.md) and
[Call images, audio, files and batches](../how-to/pass-through.md).
""",
    "errors": """\
# Errors

Every failure of an exchange is one of these kinds. The status is what the client sees; the body has the shape of the
API the client speaks. Access log and metrics carry the kind. *Tried again* says whether the gateway itself makes
another attempt, before the first byte of the answer has gone out.

A message marked *in the log only* is replaced by the sentence given here; the log has the cause under the request's
`x-request-id`.
""",
    "access_log": """\
# Access log

One line for each finished exchange on standard output, whatever its end was. `log.access` chooses `json` lines, `text`
for people, or `off`; `auto` is text on a terminal and JSON otherwise. What the gateway says about itself goes to
standard error.

Lines are written by the control process. A reader that does not keep up costs lines, never requests; lines thrown away
are counted in `gatewright_access_log_lost_lines_total`. Members that do not apply to an exchange are left out.
""",
    "admin": """\
# Admin listener

Health and metrics, on an address of its own (`admin`, default `127.0.0.1:8081`). What is here shows no secret and
asks for no key: keep it on loopback or a private network. Under `/admin` the same listener has the
[admin API](admin-api.md), which asks for admin keys.

| path | what it answers |
| --- | --- |
| `GET /livez` | 200 for as long as the control process answers at all |
| `GET /readyz` | 200 when requests are served, 503 when not; the body below says why |
| `GET /version` | the version of the gateway and of its Python |
| `GET /metrics` | [metrics](metrics.md) in the Prometheus text format, or OpenMetrics when asked for |

`HEAD` answers like `GET`, without the body. While a reload is refused `/readyz` stays 200, since the configuration
before keeps serving; `refused_reload` says why, and the gauge `gatewright_configuration_refused` is 1.
""",
    "catalogue": """\
# Model catalogue

What the gateway knows about the vendors' models: limits, abilities and prices. Each row has a source and the day on
which that was read. Your own rows go first: [Set model prices](../how-to/model-prices.md). What is not in a row is
unknown, never 0.

A model is looked up by the type of its provider and the provider's own name for it. A name without a row is looked up
once more without what stands before it as a path (`models/`, an ARN), without a version or date behind it, and without
a region (`us.`) before it; last come rows that end in `*`, the longest first. Other endings, such as `:free`, name
another offer and stay.

Prices are US dollars for a million tokens of the vendor's usual service. Where long inputs cost more, the length and
the price beyond it follow; where the vendor has promised another price, the day and the price from then on. The rows
hold more than this page: prices of cache writes, audio, images and reasoning, of the batch, flex and priority services,
modalities and capabilities, all under the names of [ModelFacts](configuration.md#modelfacts). Discounts by the time of
day and free allowances are left out: the price is the one that holds without them.
""",
    "metrics": """\
# Metrics

`GET /metrics` on the admin listener answers in the Prometheus text format, for all workers together. Label values come
from the configuration, never from what a client sent.
""",
}
"""What stands at the top of each page."""


def table(headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def type_words(type_: mi.Type) -> str:
    """A field's type in words, with its bounds."""
    match type_:
        case mi.UnionType():
            return " or ".join(type_words(t) for t in type_.types if not isinstance(t, mi.NoneType))
        case mi.IntType() | mi.FloatType():
            word = "whole number" if isinstance(type_, mi.IntType) else "number"
            limits = [
                f"{mark} {limit:,}"
                for mark, limit in (("≥", type_.ge), (">", type_.gt), ("≤", type_.le))
                if limit is not None
            ]
            return f"{word} {', '.join(limits)}".strip()
        case mi.BoolType():
            return "true or false"
        case mi.LiteralType():
            return " or ".join(f"`{value}`" for value in type_.values)
        case mi.ListType() | mi.VarTupleType():
            return f"list of {type_words(type_.item_type)}"
        case mi.DictType():
            return f"mapping of name to {type_words(type_.value_type)}"
        case mi.StructType():
            return f"[{title(type_.cls)}](#{anchor(type_.cls)})"
        case mi.CustomType() if type_.cls is Secret:
            return "secret"
        case mi.AnyType():
            return "anything"
        case mi.Metadata():
            return type_words(type_.type)
    return "text"


def title(cls: type) -> str:
    """A section's name for people."""
    return cls.__name__.removesuffix("Config")


def anchor(cls: type) -> str:
    return title(cls).lower()


def default_words(field: mi.Field) -> str:
    if field.required:
        return "*required*"
    default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if default is None or default in ({}, [], ()) or isinstance(default, Struct):
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


DEFERRED: Final[Mapping[tuple[type, str], str]] = {
    (Gateway, "providers"): "mapping of name to [Provider](#provider)",
    (Policy, "config"): "settings of the [filter](filters.md)",
}
"""Sections whose shape depends on a name, which the documents hold as plain data."""


def fields_table(cls: type[Struct], hidden: Collection[str] = ()) -> str:
    """The settings of one section."""
    docs = field_docs(cls)
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    return table(
        ("setting", "type", "default", "meaning"),
        (
            (
                f"`{f.encode_name}`",
                DEFERRED.get((cls, f.name)) or type_words(f.type),
                default_words(f),
                docs.get(f.name, ""),
            )
            for f in info.fields
            if f.name not in hidden
        ),
    )


def sections(cls: type[Struct], seen: dict[type[Struct], None]) -> dict[type[Struct], None]:
    """`cls` and every document it holds, in order of first mention."""
    if cls in seen:
        return seen
    seen[cls] = None
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    for field in info.fields:
        for inner in structs_in(field.type):
            sections(inner, seen)
    return seen


def structs_in(type_: mi.Type) -> Iterator[type[Struct]]:
    match type_:
        case mi.StructType():
            yield type_.cls
        case mi.UnionType():
            for inner in type_.types:
                yield from structs_in(inner)
        case mi.ListType() | mi.VarTupleType():
            yield from structs_in(type_.item_type)
        case mi.DictType():
            yield from structs_in(type_.value_type)
        case mi.Metadata():
            yield from structs_in(type_.type)


def configuration() -> str:
    seen: dict[type[Struct], None] = {}
    for cls in (Gateway, ProviderConfig):
        sections(cls, seen)
    parts = [INTRODUCTIONS["configuration"]]
    for cls in seen:
        parts += [f"## {title(cls)}\n", summary(cls) + "\n", fields_table(cls)]
    return "\n".join(parts)


RETRY_WORDS: Final = {
    Retry.NEVER: "no",
    Retry.OTHER_UPSTREAM: "another target",
    Retry.IF_UNTOUCHED: "same target, if it took nothing",
}


def errors() -> str:
    parts = [INTRODUCTIONS["errors"]]
    for source in dict.fromkeys(facts.source for facts in KINDS.values()):
        rows = (
            (
                f"`{kind.value}`",
                str(KINDS[kind].status),
                RETRY_WORDS[KINDS[kind].retry],
                KINDS[kind].summary + ("" if KINDS[kind].exposed else " *Its message is in the log only.*"),
            )
            for kind in Kind
            if KINDS[kind].source is source
        )
        parts += [f"## The {source.value}'s fault\n", table(("kind", "status", "tried again", "meaning"), rows)]
    return "\n".join(parts)


def providers() -> str:
    parts = [
        INTRODUCTIONS["providers"],
        table(provider_tables.HEADERS, provider_tables.own_rows()),
        "All types understand the settings of [Provider](configuration.md#provider); some have their own:\n",
    ]
    shared = set(field_docs(ProviderConfig))
    known = sections(ProviderConfig, {})
    for provider in PROVIDERS:
        if provider.name in provider_tables.HOSTS:
            continue
        own = set(field_docs(provider.config)) - shared
        parts += [f"## {provider.name}\n", summary(provider.config) or provider.summary, ""]
        parts += [fields_table(provider.config, shared)] if own else ["It has no settings of its own.\n"]
        inner = [cls for cls in sections(provider.config, {}) if cls is not provider.config and cls not in known]
        for cls in inner:
            parts += [f"### {title(cls)}\n", summary(cls) + "\n", fields_table(cls)]
    usual = ", ".join(f"`{name}`" for name in sorted(provider_tables.USUAL))
    parts += [
        INTRODUCTIONS["hosts"],
        table(provider_tables.HOST_HEADERS, provider_tables.host_rows()),
        INTRODUCTIONS["host_differences"].format(usual=usual),
        table(provider_tables.DIFFERENCE_HEADERS, provider_tables.difference_rows()),
    ]
    return "\n".join(parts)


def filters() -> str:
    parts = [INTRODUCTIONS["filters"]]
    for kind in FILTERS:
        parts += [f"## {kind.name}\n", kind.summary + "\n", fields_table(kind.config)]
    return "\n".join(parts) if FILTERS else "\n".join([*parts, "This release has none.\n"])


def listing_words(route: Route) -> str:
    """What is answered where models are listed, and to whom where two vendors share a path."""
    assert route.listing is not None
    words = "The published names"
    if route.listing.render_model is not None:
        words += f", and one of them at `{route.surface.path.decode()}/{{id}}`"
    if route.listing.header is not None:
        words += f", for requests with `{route.listing.header.decode()}`"
    return words + "; patterns are not listed."


def surfaces() -> str:
    served = {dialect.name: dialect.summary for dialect in DIALECTS}
    rows = [
        (
            f"`{route.surface.method.decode()} {route.surface.path.decode()}`",
            f"`{route.surface.name}`",
            f"`{route.dialect.name}`",
            served[route.dialect.name] if route.listing is None else listing_words(route),
        )
        for route in (*ROUTES.values(), *LISTINGS)
    ]
    surfaces_table = table(("path", "surface", "dialect", "what it is"), iter(rows))
    return "\n".join([INTRODUCTIONS["surfaces"], surfaces_table, INTRODUCTIONS["headers"]])


def metrics() -> str:
    rows = (
        (f"`{m.sample_name}`", m.type, ", ".join(f"`{label}`" for label in m.labels) or "–", m.help)
        for m in names.METRICS
    )
    labels = ((f"`{label}`", meaning) for label, meaning in names.LABELS.items())
    return "\n".join(
        [
            INTRODUCTIONS["metrics"],
            table(("metric", "type", "labels", "meaning"), rows),
            "## Labels\n",
            table(("label", "meaning"), labels),
        ]
    )


OTHER_UNITS: Final = {
    "input_characters": "a million characters",
    "input_audio_hour": "an hour of audio",
    "image": "an image",
    "request": "a request",
    "web_search": "a web search",
}


def catalogue() -> str:
    rows = packaged_catalogue()
    parts = [INTRODUCTIONS["catalogue"], f"There are {len(rows):,} rows.\n"]
    headers = ("model", "kind", "context", "longest answer", "input", "cached", "output", "besides", "retires")
    for kind in dict.fromkeys(key.partition("/")[0] for key in rows):
        own = ((key.partition("/")[2], facts) for key, facts in rows.items() if key.startswith(f"{kind}/"))
        parts += [f"## {kind}\n", table(headers, (catalogue_row(model, facts) for model, facts in own))]
    return "\n".join(parts)


def catalogue_row(model: str, facts: ModelFacts) -> tuple[str, ...]:
    counts = (f"{count:,}" if count is not None else "–" for count in (facts.context_tokens, facts.max_output_tokens))
    prices = (price_words(facts, name) for name in ("input", "input_cached_read", "output"))
    other = ", ".join(
        f"{price} {words}"
        for name, words in OTHER_UNITS.items()
        if (price := getattr(facts.prices or Rates(), name)) is not None
    )
    return (f"`{model}`", facts.kind or "–", *counts, *prices, other or "–", facts.retires_on or "–")


def price_words(facts: ModelFacts, name: str) -> str:
    """A price, those beyond some lengths of the input, and later ones: `2.5, above 272,000: 5`."""
    if facts.prices is None:
        return "unknown"
    words = [getattr(facts.prices, name) or "–"]
    steps = [(f"above {step.above_input_tokens:,}", step) for step in facts.prices.steps]
    later = [(f"from {change.from_day}", change.prices) for change in facts.changes if change.prices is not None]
    for when, rates in (*steps, *later):
        if (price := getattr(rates, name)) is not None:
            words.append(f"{when}: {price}")
    return ", ".join(words)


def members_table(cls: type[Struct]) -> str:
    """The members of something the gateway writes."""
    docs = field_docs(cls)
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    return table(
        ("member", "type", "meaning"),
        ((f"`{f.encode_name}`", type_words(f.type), docs.get(f.name, "")) for f in info.fields),
    )


def access_log() -> str:
    return "\n".join([INTRODUCTIONS["access_log"], members_table(AccessLine)])


def admin() -> str:
    parts = [INTRODUCTIONS["admin"]]
    for cls in (Readiness, Workers, Process):
        parts += [f"## {title(cls)}\n", summary(cls) + "\n", members_table(cls)]
    return "\n".join(parts)


def cli() -> str:
    group = typer.main.get_command(build_app())
    parts = ["# Command line\n", HELP]
    return "\n".join([*parts, *command_parts("gatewright", group, 2)])


def command_parts(path: str, command: Any, level: int) -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        if child.hidden:
            continue
        options = [p for p in child.params if p.param_type_name == "option" and p.name != "help"]
        words = [argument_word(p) for p in child.params if p.param_type_name == "argument"]
        usage = " ".join([path, name, *words, *(["COMMAND"] if hasattr(child, "commands") else [])])
        yield f"{'#' * level} {path} {name}\n"
        yield f"    {usage}{' [OPTIONS]' if options else ''}\n"
        yield (child.help or "").strip() + "\n"
        rows = [parameter_row(p) for p in child.params if p.name != "help"]
        if rows:
            yield table(("parameter", "default", "meaning"), iter(rows))
        yield from command_parts(f"{path} {name}", child, level + 1)


def argument_word(parameter: Any) -> str:
    """A positional parameter as it stands in a line of usage."""
    word = str(parameter.metavar or parameter.name.upper())
    return word if parameter.required or word.startswith("[") else f"[{word}]"


def parameter_row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        spelled = f"`{argument_word(parameter)}`"
    else:
        spelled = ", ".join(f"`{opt}`" for opt in [*parameter.opts, *parameter.secondary_opts])
        spelled += f" `{parameter.metavar}`" if parameter.metavar and not parameter.is_flag else ""
    default = parameter.default
    shown = "–" if default in (None, False) or callable(default) else f"`{default}`"
    return spelled, shown, " ".join((parameter.help or "").split())


def translation() -> str:
    headers = ("feature", *(f"`{dialect.name}`" for dialect in chat_dialects()))
    return "\n".join([INTRODUCTION, table(headers, support_rows())])


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "providers.md": providers,
    "filters.md": filters,
    "surfaces.md": surfaces,
    "translation.md": translation,
    "catalogue.md": catalogue,
    "errors.md": errors,
    "metrics.md": metrics,
    "access-log.md": access_log,
    "admin.md": admin,
    "admin-api.md": admin_api.page,
    "cli.md": cli,
}


def readme() -> str:
    """The README with the benchmark's first table, that of throughput, between its marks."""
    text = README.read_text()
    before, mark, rest = text.partition("<!-- bench -->\n")
    _, end, after = rest.partition("<!-- /bench -->\n")
    if not (mark and end and BENCHMARK.is_file()):
        return text
    lines = [line for line in BENCHMARK.read_text().splitlines() if line.startswith(("|", "**"))]
    titles = [index for index, line in enumerate(lines) if line.startswith("**")]
    first = lines[titles[0] + 1 : titles[1]] if len(titles) > 1 else []
    return before + mark + "\n" + "\n".join(first) + "\n\n" + end + after


def render() -> dict[Path, str]:
    """Every generated page."""
    pages = {FOLDER / name: NOTICE + "\n" + page().rstrip() + "\n" for name, page in PAGES.items()}
    return pages | {README: readme(), FOLDER / "admin-api.json": admin_api.document_text()}


def main(arguments: list[str]) -> int:
    """Write what is not current, or with `--check` only say so."""
    FOLDER.mkdir(exist_ok=True)
    stale = {path: text for path, text in render().items() if not path.is_file() or path.read_text() != text}
    for path, text in stale.items():
        if "--check" in arguments:
            sys.stdout.write(f"{path.relative_to(ROOT)} is not current: run make docs-pages\n")
        else:
            path.write_text(text)
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
