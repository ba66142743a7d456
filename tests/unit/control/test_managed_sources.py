"""Where the managed files stand, and how one is replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatewright.config.problems import ConfigError
from gatewright.control.managed_sources import (
    budget_names,
    budgets_file,
    configuration_file,
    default_file,
    extra_sources,
    managed_sources,
    placed_in_budget,
    without_budgets,
    write_file,
)


def test_a_gateway_without_configuration_serves_what_it_found_until_there_is_one(tmp_path: Path) -> None:
    assert managed_sources(tmp_path) == [default_file(tmp_path)]
    write_file(configuration_file(tmp_path), b"{}")
    assert managed_sources(tmp_path) == [configuration_file(tmp_path)]


def test_budgets_are_added_while_there_are_some(tmp_path: Path) -> None:
    assert extra_sources(tmp_path) == []
    write_file(budgets_file(tmp_path), b"{}")
    assert extra_sources(tmp_path) == [budgets_file(tmp_path)]
    assert managed_sources(tmp_path)[-1] == budgets_file(tmp_path)


def test_files_are_replaced_whole_and_are_their_owners_alone(tmp_path: Path) -> None:
    path = budgets_file(tmp_path)
    write_file(path, b"one" * 1_000)
    with path.open("rb") as before:
        write_file(path, b"two")
        assert before.read() == b"one" * 1_000, "who reads it meanwhile reads the old one to its end"
    assert path.read_bytes() == b"two"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(path.parent.iterdir()) == [path]


def test_budgets_are_left_out_by_name() -> None:
    data = b'{"policies": [{"filter": "budget", "name": "a", "config": {"usd": 1.5}}, {"name": "b"}, {}]}'
    assert budget_names(data) == ["a", "b"]
    assert without_budgets(data, ["b"]) == b'{"policies":[{"filter":"budget","name":"a","config":{"usd":1.5}},{}]}'


@pytest.mark.parametrize("data", [b"", b"[", b"{}", b"[]", b'{"policies": 3}', b"\xff"])
def test_a_file_that_somebody_else_wrote_names_none(data: bytes) -> None:
    assert budget_names(data) == []


@pytest.mark.parametrize(
    ("path", "own"), [("policies[12].config.usd", "config.usd"), ("policies[0]", ""), ("models.m", "models.m")]
)
def test_an_error_is_told_by_its_place_in_the_budget(path: str, own: str) -> None:
    assert placed_in_budget(ConfigError(path, "is wrong", "all.yaml", 7)) == ConfigError(own, "is wrong")
