"""The documentation says everything there is, and only that."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
import typer
import yaml

from gatewright.cli.main import COMMANDS, build_app
from gatewright.config.documents import Gateway
from gatewright.config.load import load
from gatewright.config.problems import InvalidConfig
from gatewright.control.health import Process, Readiness, Workers
from gatewright.control.trial import build_for_trial
from gatewright.core.errors import Kind
from gatewright.dialects import DIALECTS
from gatewright.filters import FILTERS
from gatewright.providers import PROVIDERS
from gatewright.providers.compatible_hosts import ROWS
from gatewright.telemetry import names
from gatewright.telemetry.access_line import AccessLine

LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
STANDS_FOR = {"REDIS_URL": "redis://counters", "/run/secrets/redis-url": "rediss://counters"}
ALLOWED_IN_EXTRACTS = (
    "there is no provider",
    "there is no model",
    "there is no identity provider",
    "can be reached from the network",
)


@pytest.fixture(scope="module")
def generator(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", root / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "docs"))  # as when it is run from there
        spec.loader.exec_module(module)
    return module


def page(root: Path, name: str) -> str:
    return (root / "docs/reference" / name).read_text()


def markdown(tracked: list[Path]) -> list[Path]:
    return [path for path in tracked if path.suffix == ".md"]


def test_generated_pages_are_current(root: Path, generator: ModuleType) -> None:
    pages: dict[Path, str] = generator.render()
    stale = [
        str(path.relative_to(root)) for path, text in pages.items() if not path.is_file() or path.read_text() != text
    ]
    assert stale == [], "run `make docs-pages` and commit what it writes"
    assert set((root / "docs/reference").glob("*.*")) == pages.keys() - {root / "README.md"}


def test_every_setting_is_documented(root: Path, generator: ModuleType) -> None:
    text = page(root, "configuration.md")
    for cls in generator.sections(Gateway, {}):
        docs = generator.field_docs(cls)
        for field in msgspec.structs.fields(cls):
            assert f"| `{field.encode_name}` |" in text
            assert docs.get(field.name), f"{cls.__name__}.{field.name} has no docstring"


def test_every_registered_thing_is_documented(root: Path) -> None:
    assert all(f"| `{kind.value}` |" in page(root, "errors.md") for kind in Kind)
    hosts = {row.type for row in ROWS}
    for provider in PROVIDERS:
        mark = f"| `{provider.name}` | " if provider.name in hosts else f"## {provider.name}\n"
        assert mark in page(root, "providers.md"), provider.name
    assert all(f"## {kind.name}\n" in page(root, "filters.md") for kind in FILTERS)
    assert all(f"| `{metric.sample_name}` |" in page(root, "metrics.md") for metric in names.METRICS)
    surfaces = [surface for dialect in DIALECTS for surface in dialect.surfaces]
    assert all(f"{s.method.decode()} {s.path.decode()}" in page(root, "surfaces.md") for s in surfaces)


def test_every_setting_of_providers_and_filters_has_its_words(generator: ModuleType) -> None:
    for kind in (*PROVIDERS, *FILTERS):
        docs = generator.field_docs(kind.config)
        assert kind.summary.endswith("."), kind.name
        assert [field for field in kind.config.__struct_fields__ if not docs.get(field)] == [], kind.name


def test_every_member_the_gateway_writes_has_its_words(generator: ModuleType) -> None:
    for cls in (AccessLine, Readiness, Workers, Process):
        assert [name for name in cls.__struct_fields__ if not generator.field_docs(cls).get(name)] == [], cls.__name__


def test_every_command_and_option_is_documented(root: Path) -> None:
    text = page(root, "cli.md")
    assert all(f"## gatewright {name}\n" in text for name, _ in COMMANDS)
    for command in typer.main.get_command(build_app()).commands.values():  # type: ignore[attr-defined]
        for parameter in command.params:
            if parameter.name != "help" and parameter.param_type_name == "option":
                assert f"`{parameter.opts[0]}`" in text, f"{command.name} {parameter.opts[0]}"
                assert parameter.help, f"{command.name} {parameter.opts[0]} says nothing in --help"


def test_every_page_is_in_the_navigation(root: Path, tracked: list[Path]) -> None:
    listed = set(re.findall(r": ([\w/-]+\.md)$", (root / "mkdocs.yml").read_text(), re.MULTILINE))
    there = {str(path.relative_to("docs")) for path in markdown(tracked) if path.is_relative_to("docs")}
    assert there == listed


def test_links_lead_to_files_and_headings(root: Path, tracked: list[Path]) -> None:
    broken = []
    for path in markdown(tracked):
        for match in LINK.finditer((root / path).read_text()):
            target = next(group for group in match.groups() if group)
            if re.match(r"[a-z]+:", target):
                continue
            file, _, heading = target.partition("#")
            there = (root / path.parent / file).resolve() if file else root / path
            if not there.exists() or (heading and heading not in headings(there)):
                broken.append(f"{path}: {target}")
    assert broken == []


def headings(path: Path) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line).strip().lower().replace(" ", "-") for line in lines}


def yaml_blocks(root: Path, tracked: list[Path]) -> Iterator[tuple[Path, str]]:
    for path in markdown(tracked):
        for language, text in FENCE.findall((root / path).read_text()):
            if language == "yaml" and yaml.safe_load(text).keys() <= set(Gateway.__struct_fields__):
                yield path, text


def test_configuration_on_the_pages_is_right(root: Path, tracked: list[Path]) -> None:
    blocks = list(yaml_blocks(root, tracked))
    assert len(blocks) >= 5
    wrong = []
    for path, text in blocks:
        hashed = text.replace("sha256:…", "sha256:" + "0" * 64)
        loaded = load([(str(path), hashed.encode())], lambda scheme, name: STANDS_FOR.get(name, "x"))
        errors = list(loaded.errors)
        if loaded.document is not None:
            try:
                build_for_trial(loaded.document)  # reads expressions, and what filters and providers are given
            except InvalidConfig as refused:
                errors += loaded.place(refused.errors)
        wrong += [str(e) for e in errors if not any(phrase in e.message for phrase in ALLOWED_IN_EXTRACTS)]
    assert wrong == []
