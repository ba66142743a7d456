"""Files that follow the database."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Engine
from tests.control.admin_api import GOOD, check_budget, check_document

from gatewright.config.documents import Policy, Selector
from gatewright.control import managed_files
from gatewright.control.actor import Actor
from gatewright.control.budgets import BudgetPolicy, Budgets
from gatewright.control.configurations import Configurations
from gatewright.control.managed_files import ManagedFiles
from gatewright.control.managed_sources import budgets_file, configuration_file, write_file
from gatewright.testing.clock import FakeClock

ME = Actor("ops", "admin", "api 192.0.2.7")


def policy(name: str, usd: float = 10.0) -> BudgetPolicy:
    return BudgetPolicy(name=name, on=Selector(consumers=["acme/*"]), config={"usd": usd})


def kept(state: Path) -> list[dict[str, Any]]:
    policies: list[dict[str, Any]] = msgspec.json.decode(budgets_file(state).read_bytes())["policies"]
    return policies


def test_who_polls_at_the_same_time_waits(database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Budgets(database, validate=check_budget, now=FakeClock()).create(ME, policy("weekly"))
    files = ManagedFiles(database, tmp_path)
    began, found = threading.Event(), list[bool]()
    other = threading.Thread(target=lambda: found.append(files.poll_once()))

    def write_slowly(path: Path, data: bytes) -> None:
        assert not began.is_set(), "the other writes the same file meanwhile"
        began.set()
        other.start()
        other.join(0.3)
        write_file(path, data)

    monkeypatch.setattr(managed_files, "write_file", write_slowly)
    assert files.poll_once()
    other.join()
    assert found == [False]
    assert files.problem is None


def test_budgets_are_written_as_policies_whenever_they_change(database: Engine, tmp_path: Path) -> None:
    budgets = Budgets(database, validate=check_budget, now=FakeClock())
    files = ManagedFiles(database, tmp_path)
    assert not files.poll_once()
    assert not budgets_file(tmp_path).exists()
    budgets.create(ME, BudgetPolicy(name="weekly", config={"usd": 10.0, "webhook": "${env:HOOK}"}))
    budgets.create(ME, policy("monthly"))
    assert files.poll_once()
    monthly, weekly = (msgspec.convert(one, Policy) for one in kept(tmp_path))
    assert (monthly.filter, monthly.name, weekly.name) == ("budget", "monthly", "weekly")
    assert monthly.on.consumers == ["acme/*"]
    assert weekly.config["webhook"] == "${env:HOOK}", "references are resolved where the document is served"
    assert not files.poll_once(), "nothing has changed"
    budgets.replace(ME, policy("weekly", 99.0))
    assert files.poll_once()
    assert kept(tmp_path)[1]["config"] == {"usd": 99.0}
    budgets.delete(ME, "weekly")
    budgets.delete(ME, "monthly")
    assert files.poll_once()
    assert not budgets_file(tmp_path).exists()


def test_a_file_that_holds_it_already_is_left_alone(database: Engine, tmp_path: Path) -> None:
    Budgets(database, validate=check_budget, now=FakeClock()).create(ME, policy("monthly"))
    assert ManagedFiles(database, tmp_path).poll_once()
    written = budgets_file(tmp_path).stat().st_ino
    assert not ManagedFiles(database, tmp_path).poll_once(), "a restart changes nothing"
    assert budgets_file(tmp_path).stat().st_ino == written


def test_the_active_version_is_written(database: Engine, tmp_path: Path) -> None:
    configurations = Configurations(
        database, check=check_document, apply=lambda document: [], read_files=None, now=FakeClock()
    )
    configurations.apply(ME, GOOD, expected=0)
    assert ManagedFiles(database, tmp_path).poll_once()
    text = configuration_file(tmp_path).read_text()
    assert text.endswith(GOOD)
    assert text.startswith("# Written by the gateway")


def test_what_cannot_be_read_or_written_is_a_problem_and_no_change(database: Engine, tmp_path: Path) -> None:
    Budgets(database, validate=check_budget, now=FakeClock()).create(ME, policy("monthly"))
    (tmp_path / "managed").write_text("in the way")
    files = ManagedFiles(database, tmp_path)
    assert not files.poll_once()
    assert files.problem is not None
    assert "cannot be written" in files.problem
    (tmp_path / "managed").unlink()
    assert files.poll_once(), "it is made up for"
    assert files.problem is None
