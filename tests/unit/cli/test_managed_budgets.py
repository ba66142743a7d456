"""A gateway that starts without the managed budgets that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gatewright.cli.loading import check_loaded
from gatewright.cli.managed_budgets import LenientSource, find_unfit
from gatewright.cli.sources import FileSource
from gatewright.config.load import Loaded
from gatewright.config.problems import InvalidConfig
from gatewright.control.managed_sources import budgets_file, write_file

FILE = "policies:\n  - {filter: budget, name: filed, config: {usd: 5}}\n"


class World:
    """A file, a state directory with budgets, and how often they were checked."""

    def __init__(self, tmp_path: Path) -> None:
        self.file = tmp_path / "gatewright.yaml"
        self.file.write_text(FILE)
        self.budgets = budgets_file(tmp_path)
        self.source = FileSource(lambda: [self.file, self.budgets], environment={}, budgets=self.budgets)
        self.checked = 0

    def keep(self, **configs: dict[str, Any]) -> None:
        policies = [{"filter": "budget", "name": name, "config": config} for name, config in configs.items()]
        write_file(self.budgets, msgspec.json.encode({"policies": policies}))

    def check(self, loaded: Loaded) -> None:
        self.checked += 1
        check_loaded(loaded)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def names(loaded: Loaded) -> list[str | None]:
    assert loaded.document is not None
    return [policy.name for policy in loaded.document.policies]


def test_what_fits_is_checked_once(world: World) -> None:
    world.keep(a={"usd": 1}, b={"usd": 2})
    assert find_unfit(world.source, world.check) == {}
    assert world.checked == 1


def test_each_that_does_not_fit_is_told_with_its_own_reasons(world: World) -> None:
    world.keep(a={"usd": 1}, filed={"usd": 2}, b={"usd": 3}, wrong={"usd": -1}, hook={"usd": 1, "webhook": "${env:NO}"})
    unfit = find_unfit(world.source, world.check)
    assert sorted(unfit) == ["filed", "hook", "wrong"]
    assert "is the name of" in unfit["filed"][0].message
    assert unfit["wrong"][0].path.endswith("config.usd")
    assert [error.message for error in unfit["hook"] if "NO" in error.message]
    assert sorted(map(str, names(world.source.load(without=unfit)))) == ["a", "b", "filed"]


def test_one_of_many_is_found_soon(world: World) -> None:
    world.keep(**{f"b{number}": {"usd": -1 if number == 77 else 1} for number in range(200)})
    assert list(find_unfit(world.source, world.check)) == ["b77"]
    assert world.checked < 25


@pytest.mark.parametrize("budgets", [{}, {"a": {"usd": 1}}, {"filed": {"usd": 1}}])
def test_what_else_is_wrong_is_no_fault_of_budgets(world: World, budgets: dict[str, Any]) -> None:
    world.keep(**budgets)
    world.file.write_text(FILE + "listen: nonsense\n")
    with pytest.raises(InvalidConfig) as refused:
        find_unfit(world.source, world.check)
    assert "listen" in [error.path for error in refused.value.errors]


def test_a_budget_that_the_gateway_started_without_is_left_out_until_it_fits(world: World) -> None:
    world.keep(filed={"usd": 1}, good={"usd": 1})
    source = LenientSource(world.source, world.check, ["filed"])
    assert source.fingerprint() == world.source.fingerprint()
    assert names(source.load()) == ["filed", "good"]
    world.file.write_text(FILE + "listen: nonsense\n")
    with pytest.raises(InvalidConfig):
        source.load()
    world.file.write_text(FILE)
    assert names(source.load()) == ["filed", "good"]
    world.file.write_text(FILE.replace("filed", "other"))
    assert names(source.load()) == ["other", "filed", "good"]
    world.file.write_text(FILE)
    assert source.load().document is None, "what is served already is not dropped while the gateway runs"


def test_others_that_do_not_fit_are_refused(world: World) -> None:
    world.keep(filed={"usd": 1}, wrong={"usd": "much"}, good={"usd": 1})
    for unserved in ([], ["filed"]):
        source = LenientSource(world.source, world.check, unserved)
        loaded = source.load()
        assert loaded.document is None
        assert "filed" in str(loaded.errors)
    assert names(LenientSource(world.source, world.check, ["filed", "wrong"]).load()) == ["filed", "good"]
