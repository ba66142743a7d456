"""Writes the pages of `docs/reference/` from the code they describe.

    python docs/generate.py            write them
    python docs/generate.py --check    exit 1 when a page is not what it would write

The pages are under version control, so that a reader of the repository has them and a change of a setting, an error or a
command shows in its own diff. A test keeps them current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
import typer
from msgspec import Struct
from msgspec import inspect as mi

from gatewright.cli.main import HELP, build_app
from gatewright.config.documents import Document, Gateway, LocalModel, ProviderConfig
from gatewright.config.field_docs import field_docs, summary
from gatewright.core.errors import KINDS, Kind, Retry
from gatewright.core.secret import Secret
from gatewright.dialects import DIALECTS
from gatewright.filters import FILTERS
from gatewright.providers import PROVIDERS
from gatewright.telemetry import names

FOLDER: Final = Path(__file__).parent / "reference"
NOTICE: Final = "<!-- Written by docs/generate.py from the code; `make docs-pages` writes it anew. -->\n"


def table(headers: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [headers, tuple("---" for _ in headers), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


# ------------------------------------------------------------------------------------------------ configuration


def type_words(type_: mi.Type) -> str:
    """A field's type in words, with its bounds."""
    match type_:
        case mi.UnionType():
            return " or ".join(type_words(t) for t in type_.types if not isinstance(t, mi.NoneType))
        case mi.IntType() | mi.FloatType():
            word = "whole number" if isinstance(type_, mi.IntType) else "number"
            limits = [f"{mark} {limit:,}" for mark, limit in (("≥", type_.ge), (">", type_.gt), ("≤", type_.le)) if limit is not None]
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
    if default is None or default == {} or default == [] or isinstance(default, Struct):
        return "–"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def fields_table(cls: type[Struct]) -> str:
    docs = field_docs(cls)
    info = mi.type_info(cls)
    assert isinstance(info, mi.StructType)
    return table(
        ("setting", "type", "default", "meaning"),
        ((f"`{f.encode_name}`", type_words(f.type), default_words(f), docs.get(f.name, "")) for f in info.fields),
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
    for cls in (Gateway, ProviderConfig, LocalModel):
        sections(cls, seen)
    parts = [
        "# Configuration\n",
        "One YAML or JSON file, or a folder of them, merged in the order of their names. Everything wrong is reported at "
        "once, with its path and line; unknown settings are errors. `gatewright schema` prints the JSON Schema, from "
        "which editors complete. How providers of each type differ is in [Providers](providers.md), what a policy may "
        "hold in [Filters](filters.md).\n",
        "A *secret* is best written as a reference: `${env:NAME}` takes it from the environment, `${file:/path}` from a "
        "file (a final line break is dropped). References work in any text; `$${` writes a literal `${`.\n",
    ]
    for cls in seen:
        parts += [f"## {title(cls)}\n", summary(cls) + "\n", fields_table(cls)]
    return "\n".join(parts)


# ------------------------------------------------------------------------------------------------ registries


RETRY_WORDS: Final = {
    Retry.NEVER: "no",
    Retry.OTHER_UPSTREAM: "another target",
    Retry.IF_UNTOUCHED: "same target, if it took nothing",
}


def errors() -> str:
    parts = [
        "# Errors\n",
        "Every failure of an exchange is one of these kinds. The status is what the client sees; the body has the shape "
        "of the API the client speaks. Access log and metrics carry the kind. *Tried again* says whether the gateway "
        "itself makes another attempt, before the first byte of the answer has gone out.\n",
        "A message marked *in the log only* is replaced by the sentence given here; the log has the cause under the "
        "request's `x-request-id`.\n",
    ]
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
        "# Providers\n",
        "What `type` may be under `providers`. Where no configuration file is given, `gatewright serve` makes a provider "
        "of every type whose environment variable is set.\n",
        table(
            ("type", "what it is", "environment variable", "published without a file"),
            (
                (
                    f"[`{p.name}`](#{p.name})",
                    p.summary,
                    f"`{p.environment}`" if p.environment else "–",
                    ", ".join(f"`{name}`" for name in p.default_models) or "–",
                )
                for p in PROVIDERS
            ),
        ),
        "All types understand the settings of [Provider](configuration.md#provider); these are their own:\n",
    ]
    shared = set(field_docs(ProviderConfig))
    for provider in PROVIDERS:
        own = set(field_docs(provider.config)) - shared
        parts += [f"## {provider.name}\n", summary(provider.config) or provider.summary, ""]
        parts += [fields_table(provider.config)] if own else ["It has no settings of its own.\n"]
    return "\n".join(parts)


def filters() -> str:
    parts = [
        "# Filters\n",
        "What `filter` may be under `policies`. A policy applies to every exchange on every surface that its `on` "
        "selects; within a phase filters run in the order of the policies.\n",
    ]
    for kind in FILTERS:
        parts += [f"## {kind.name}\n", kind.summary + "\n", fields_table(kind.config)]
    return "\n".join(parts) if FILTERS else "\n".join([*parts, "This release has none.\n"])


def surfaces() -> str:
    rows = (
        (f"`{s.method.decode()} {s.path.decode()}`", f"`{s.name}`", f"`{dialect.name}`", dialect.summary)
        for dialect in DIALECTS
        for s in dialect.surfaces
    )
    return "\n".join(
        [
            "# Surfaces\n",
            "The paths that clients call on the data-plane listener. Every surface takes the same way through the gateway, "
            "so no path escapes a policy. `GET /v1/models` and `GET /v1/models/{id}` list what the caller may use.\n",
            table(("path", "surface", "dialect", "what it is"), rows),
        ]
    )


def metrics() -> str:
    rows = ((f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels) or "–", m.help) for m in names.METRICS)
    return "\n".join(
        [
            "# Metrics\n",
            "`GET /metrics` on the admin listener answers in the Prometheus text format. Label values come from the "
            "configuration, never from what a client sent.\n",
            table(("metric", "type", "labels", "meaning"), rows),
        ]
    )


# ------------------------------------------------------------------------------------------------ command line


def cli() -> str:
    group = typer.main.get_command(build_app())
    parts = ["# Command line\n", HELP]
    return "\n".join([*parts, *command_parts("gatewright", group, 2)])


def command_parts(path: str, command: Any, level: int) -> Iterator[str]:
    for name, child in getattr(command, "commands", {}).items():
        if child.hidden:
            continue
        usage = " ".join([path, name, *(p.make_metavar(None) for p in child.params if p.param_type_name == "argument")])
        yield f"{'#' * level} {path} {name}\n"
        yield f"    {usage}{' [OPTIONS]' if any(p.param_type_name == 'option' for p in child.params) else ''}\n"
        yield (child.help or "").strip() + "\n"
        rows = [parameter_row(p) for p in child.params if p.name != "help"]
        if rows:
            yield table(("parameter", "default", "meaning"), iter(rows))
        yield from command_parts(f"{path} {name}", child, level + 1)


def parameter_row(parameter: Any) -> tuple[str, str, str]:
    spelled = ", ".join(f"`{opt}`" for opt in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        spelled = f"`{parameter.make_metavar(None)}`"
    elif not parameter.is_flag and parameter.metavar:
        spelled += f" `{parameter.metavar}`"
    default = parameter.default
    shown = "–" if default in (None, False) or callable(default) else f"`{default}`"
    return spelled, shown, " ".join((parameter.help or "").split())


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "providers.md": providers,
    "filters.md": filters,
    "surfaces.md": surfaces,
    "errors.md": errors,
    "metrics.md": metrics,
    "cli.md": cli,
}


def render() -> dict[str, str]:
    """Every page by its file name."""
    return {name: NOTICE + "\n" + page().rstrip() + "\n" for name, page in PAGES.items()}


def main(arguments: list[str]) -> int:
    FOLDER.mkdir(exist_ok=True)
    stale = [n for n, text in render().items() if not (FOLDER / n).is_file() or (FOLDER / n).read_text() != text]
    if "--check" in arguments:
        print("\n".join(f"docs/reference/{name} is not current: run make docs-pages" for name in stale))
        return 1 if stale else 0
    for name in stale:
        (FOLDER / name).write_text(render()[name])
        print(f"wrote docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
