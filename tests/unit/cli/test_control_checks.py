"""Whether a configuration or a budget could be served, asked before it is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.cli.control_checks import Checks
from gatewright.config.documents import Gateway, Selector
from gatewright.config.problems import ConfigError, InvalidConfig
from gatewright.control.budgets import BudgetPolicy
from gatewright.control.managed_sources import budgets_file, default_file, write_file

FILE = b"policies:\n  - {filter: budget, name: filed, config: {usd: 5}}\n"


class World:
    """Files that are served, and a trial build that says what a test wants."""

    def __init__(
        self, tmp_path: Path, environment: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
    ) -> None:
        self.state = tmp_path / "state"
        self.file = tmp_path / "gatewright.yaml"
        self.file.write_bytes(FILE)
        self.sources = [self.file]
        self.errors: list[ConfigError] = []
        self.built: list[Gateway] = []
        self.checks = Checks(self.state, self.paths, environment or {}, self.build, overrides or {})

    def paths(self) -> list[Path]:
        managed = budgets_file(self.state)
        return [*self.sources, *([managed] if managed.exists() else [])]

    def build(self, document: Gateway) -> Gateway:
        self.built.append(document)
        if self.errors:
            raise InvalidConfig(self.errors)
        return document

    @property
    def names(self) -> list[str | None]:
        return [policy.name for policy in self.built[-1].policies]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def manage(world: World, *names: str) -> None:
    policies: list[dict[str, Any]] = [{"filter": "budget", "name": name, "config": {"usd": 1}} for name in names]
    write_file(budgets_file(world.state), msgspec.json.encode({"policies": policies}))


def budget(name: str, **config: Any) -> BudgetPolicy:
    return BudgetPolicy(name=name, on=Selector(), config={"usd": 3, **config})


def test_a_budget_is_tried_beside_the_files_that_are_served(world: World) -> None:
    manage(world, "kept", "other")
    assert world.checks.budget(budget("new"), "listen: nonsense") == []
    assert world.names == ["filed", "new"]
    assert world.checks.budget(budget("kept"), None) == [], "it is not in its own way"


def test_without_files_a_budget_is_tried_beside_the_active_version(world: World) -> None:
    write_file(default_file(world.state), b'{"policies": [{"filter": "budget", "name": "found", "config": {}}]}')
    world.sources = [default_file(world.state)]
    assert world.checks.budget(budget("new"), None) == []
    assert world.names == ["found", "new"]
    assert world.checks.budget(budget("new"), FILE.decode()) == []
    assert world.names == ["filed", "new"]


def test_a_budget_takes_no_name_of_the_files(world: World) -> None:
    (error,) = world.checks.budget(budget("filed"), None)
    assert (error.path, "is the name of policies[0] already" in error.message) == ("policies[1].name", True)


def test_the_model_that_answers_when_it_is_dry_must_be_there(world: World) -> None:
    (error,) = world.checks.budget(budget("new", when_dry="nope"), None)
    assert (error.path, "there is no model `nope`" in error.message) == ("policies[1].config.when_dry", True)


def test_a_document_is_tried_with_the_budgets_that_are_kept(world: World) -> None:
    kept = [{"filter": "budget", "name": name, "config": {"usd": 1}} for name in ("a", "filed")]
    assert world.checks.document(FILE, kept[:1]).errors == ()
    assert world.names == ["filed", "a"]
    (error,) = world.checks.document(FILE, kept).errors
    assert (error.path, error.file, error.line) == ("", None, None)
    assert error.message.startswith("the budget `filed` that is kept here does not fit: name: `filed` is the name of")
    (error,) = world.checks.document(FILE + b"listen: nonsense\n", kept[:1]).errors
    assert (error.path, error.line) == ("listen", 3)


def test_errors_of_the_build_are_told(world: World) -> None:
    world.errors = [ConfigError("policies[1].config.usd", "expected a number above 0")]
    assert [error.message for error in world.checks.budget(budget("new"), None)] == ["expected a number above 0"]


def test_unknown_references_are_errors(world: World) -> None:
    errors = world.checks.budget(budget("new", webhook="${env:NOT_SET}"), None)
    assert errors
    assert "NOT_SET" in errors[0].message


def test_references_are_resolved_as_they_will_be(tmp_path: Path) -> None:
    world = World(tmp_path, {"HOOK": "https://hooks.example"})
    assert world.checks.budget(budget("new", webhook="${env:HOOK}"), None) == []


def test_files_are_those_of_the_start_without_what_is_managed(world: World) -> None:
    manage(world, "kept")
    assert world.checks.read_files() == [(str(world.file), FILE)]


def test_what_the_command_line_overrides_is_not_judged_as_the_file_has_it(tmp_path: Path) -> None:
    world = World(tmp_path, overrides={"listen": "127.0.0.1:9000"})
    world.file.write_bytes(FILE + b"listen: nonsense\n")
    assert world.checks.budget(budget("new"), None) == []
    assert world.built[-1].listen == "127.0.0.1:9000"
    assert world.checks.document(b"listen: nonsense\n", ()).errors == ()
